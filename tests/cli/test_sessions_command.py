"""`bff sessions list | show | end`: an administrator sees and ends the sessions of running gateways, and sees no token."""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import redis

from bff.cli import session_views
from bff.proxy.fields import SESSION_COOKIE
from bff.sessions.model import Session, session_key
from bff.sessions.opening import PATIENCE_OF_COMMANDS_SECONDS, open_store
from support.bff_command import run_bff
from support.free_ports import free_port
from support.gateway_world import Clock, GatewayWorld, gateway_world
from support.session_samples import a_grant
from support.valkey_server import ValkeyServer, cluster_of_one, own_all_slots, sentinel_of


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A server."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
async def world(valkey: ValkeyServer) -> AsyncIterator[GatewayWorld]:
    """A gateway on an empty store, with the clock that commands have."""
    valkey.ask("FLUSHALL")
    async with gateway_world(store=valkey.url, clock=Clock(now=time.time())) as world:
        yield world


async def sessions(world: GatewayWorld, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`bff sessions` with the gateway's own configuration."""
    verb, *others = arguments
    return await asyncio.to_thread(run_bff, "sessions", verb, "-c", str(world.file), *others)


async def listed(world: GatewayWorld, *arguments: str) -> list[dict[str, Any]]:
    """The sessions that `bff sessions list` names."""
    ran = await sessions(world, "list", "--json", *arguments)
    assert ran.returncode == 0, ran.stderr
    found: list[dict[str, Any]] = json.loads(ran.stdout)["sessions"]
    return found


def subjects(found: list[dict[str, Any]]) -> list[str]:
    """Whose they are."""
    return sorted(user["subject"] for session in found for user in session["users"])


async def test_sessions_are_listed_by_user_by_provider_by_id_and_all(world: GatewayWorld) -> None:
    """Each choice lists the sessions that it names, the latest sign-in first."""
    await world.signed_in("alice")
    world.clock.now += 1
    both = await world.signed_in("bob")
    await world.sign_in(both, "alice", provider="partner")
    everything = await listed(world)
    assert [[user["subject"] for user in session["users"]] for session in everything] == [["alice", "bob"], ["alice"]]
    assert [user["provider"] for user in everything[0]["users"]] == ["partner", "corp"]
    newer, older = (session["id"] for session in everything)
    for arguments, ids in (
        (["--subject", "alice"], [older]),  # of the first provider
        (["--provider", "partner", "--subject", "alice"], [newer]),
        (["--provider", "partner", "--subject", "bob"], []),
        (["--provider", "partner"], [newer]),
        (["--issuer", world.partner.issuer, "--subject", "alice"], [newer]),
        ([older], [older]),
        ([older[:8]], [older]),
    ):
        assert [session["id"] for session in await listed(world, *arguments)] == ids
    table = (await sessions(world, "list")).stdout.splitlines()
    assert len(table) == 3
    assert newer in table[1]
    assert "partner,corp" in table[1]


async def test_what_is_shown_opens_nothing(world: GatewayWorld) -> None:
    """Neither list nor show prints a token, a part of a token's signature, or the session's cookie; and no id is one."""
    tokens = world.record_tokens()
    browser = await world.signed_in("alice")
    (session,) = await listed(world)
    printed = ""
    for arguments in (["list"], ["list", "--json"], ["show", session["id"]], ["show", "--json", session["id"]]):
        ran = await sessions(world, *arguments)
        assert ran.returncode == 0
        printed += ran.stdout + ran.stderr
    cookie = browser.cookie(SESSION_COOKIE)
    assert cookie is not None
    assert tokens
    for secret in (*(token for _, token in tokens), *(token.rpartition(".")[2] for _, token in tokens), cookie):
        assert secret not in printed
    assert cookie.partition(".")[0] not in printed
    stranger = await world.browser()
    answer = await stranger.http.get(
        f"{world.url}/api/x", headers={"cookie": f"{SESSION_COOKIE}={session['id']}", "x-csrf": "1"}
    )
    assert answer.status_code == 401


async def test_each_token_is_shown_with_its_api_and_times(valkey: ValkeyServer) -> None:
    """For each token: routes, resource, granted scope, expiry, next renewal, claims of a JWT; and a refusal of the provider."""
    valkey.ask("FLUSHALL")
    routes = [
        {"path": "/api", "upstream": "{upstream}", "provider": "corp", "resource": "https://orders.example.com"},
        {"path": "/more", "upstream": "{upstream}", "provider": "corp", "scope": "openid"},
    ]
    async with gateway_world(store=valkey.url, clock=Clock(now=time.time()), routes=routes) as world:
        browser = await world.signed_in("alice")
        assert (await browser.fetch("/more/x")).status_code == 200
        ran = await sessions(world, "show", "--json", "--subject", "alice")
        (grant,) = json.loads(ran.stdout)["sessions"][0]["grants"]
        orders, more = grant["access_tokens"]
        assert (orders["routes"], orders["resource"]) == (["/api"], "https://orders.example.com")
        assert (more["routes"], more["asked_scope"]) == (["/more"], "openid")
        assert orders["state"] == "fresh"
        assert orders["expires_at"] == int(world.clock.now) + 600
        assert world.clock.now + 300 <= orders["renewed_at"] <= world.clock.now + 545
        assert orders["claims"]["sub"] == "alice"
        assert grant["refresh_token"] is not None
        assert grant["claims"]["sub"] == "alice"
        text = (await sessions(world, "show", "--subject", "alice")).stdout
        assert "routes: [" in text
        assert "expires_at: 20" in text


async def test_an_ended_session_is_over_at_every_gateway_and_its_tokens_are_revoked(world: GatewayWorld) -> None:
    """After `end ID` a running gateway refuses the cookie, the provider knows the tokens no more, and an event says who did it."""
    alice, bob = await world.signed_in("alice"), await world.signed_in("bob")
    assert (await alice.fetch("/api/x")).status_code == 200
    (session,) = await listed(world, "--subject", "alice")
    ran = await sessions(world, "end", session["id"])
    assert (ran.returncode, ran.stdout) == (0, "1 session(s) ended\n")
    event = json.loads(ran.stderr)
    assert (event["event"], event["cause"], event["session"]) == ("session.ended", "command_line", session["id"][:8])
    assert (await alice.fetch("/api/x")).status_code == 401
    assert (await bob.fetch("/api/x")).status_code == 200
    assert [dict(call.form)["token_type_hint"] for call in world.corp.calls_to("/revoke")] == [
        "refresh_token",
        "access_token",
    ]
    again = await sessions(world, "end", session["id"])
    assert (again.returncode, again.stderr) == (1, f"error: there is no session {session['id']}\n")


async def test_a_user_or_all_are_ended_and_nothing_is_revoked_when_told_so(world: GatewayWorld) -> None:
    """`--subject` ends that user's sessions, `--provider` a provider's, `--all` the rest; `--no-revoke` asks no provider."""
    for user in ("alice", "alice", "bob", "bob"):
        await world.signed_in(user)
    await world.signed_in("alice", provider="partner")
    ran = await sessions(world, "end", "--no-revoke", "--json", "--subject", "alice")
    assert len(json.loads(ran.stdout)["ended"]) == 2
    assert (await sessions(world, "end", "--no-revoke", "--provider", "partner")).stdout == "1 session(s) ended\n"
    assert (await sessions(world, "end", "--no-revoke", "--all")).stdout == "2 session(s) ended\n"
    assert world.corp.calls_to("/revoke") == []
    assert await listed(world) == []


async def test_a_sign_in_under_way_of_an_ended_user_leaves_no_session(world: GatewayWorld) -> None:
    """Its code is with the provider while the command runs: it ends on a page. A sign-in that begins afterwards is a new one."""
    browser = await world.browser()
    world.corp.sign_in_as = "alice"
    begun = await browser.open_once("/bff/login", from_url=world.url + "/")
    answered = await browser.open_once(begun.headers["location"], from_url=world.url + "/")
    world.corp.hold("/token")
    under_way = asyncio.create_task(browser.open_once(answered.headers["location"], from_url=world.corp.issuer))
    await world.corp.arrived("/token", count=1)
    ran = await sessions(world, "end", "--subject", "alice")
    assert (ran.returncode, ran.stdout) == (0, "0 session(s) ended\n")
    world.clock.now = time.time()
    world.corp.release("/token")
    assert (await under_way).status_code == 400
    assert await listed(world) == []
    await world.signed_in("alice")
    assert subjects(await listed(world)) == ["alice"]


async def test_a_provider_that_does_not_answer_is_said_and_the_sessions_are_over(world: GatewayWorld) -> None:
    """Sessions end first; what was not revoked is counted by provider, with exit code 1."""
    for _ in range(5):
        await world.signed_in("alice")
    world.corp.misbehave(answers={"/revoke": 503})
    ran = await sessions(world, "end", "--json", "--all")
    assert ran.returncode == 1
    assert json.loads(ran.stdout)["not_revoked"] == {"corp": 5}
    assert "were not revoked" in ran.stderr
    assert await listed(world) == []


async def test_what_cannot_be_opened_is_counted(world: GatewayWorld, valkey: ValkeyServer) -> None:
    """A record of another key, one that was moved, and a planted value are counted; they end with `--all` and not with a user's."""
    await world.signed_in("alice")
    with redis.Redis(port=valkey.port) as client:
        (name,) = client.scan_iter("bff:s:*")
        client.copy(name, b"bff:s:" + b"0" * 64)
        client.copy(name, b"other:s:" + b"1" * 64)
        client.set(b"bff:s:" + b"2" * 64, "planted")
    ran = await sessions(world, "list", "--json")
    assert (ran.returncode, json.loads(ran.stdout)["not_opened"]) == (0, 2)
    assert "2 more that cannot be opened" in (await sessions(world, "list")).stderr
    assert (await sessions(world, "end", "--provider", "corp")).stdout == "1 session(s) ended\n"
    assert (await sessions(world, "end", "--all")).stdout == "2 session(s) ended\n"
    assert valkey.ask("EXISTS", b"other:s:" + b"1" * 64) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["show"], "say an ID"),
        (["end"], "say one of"),
        (["end", "--all", "--subject", "alice"], "say one of"),
        (["end", "0" * 32, "--subject", "alice"], "an ID stands alone"),
        (["list", "--provider", "nowhere"], "there is no provider nowhere; known: corp, partner"),
        (["list", "--issuer", "http://127.0.0.1:9"], "--issuer goes with --subject"),
        (["show", "*"], "an ID is 8 to 64"),
        (["end", "0123"], "an ID is 8 to 64"),
    ],
)
async def test_a_choice_that_names_no_sessions_is_refused(world: GatewayWorld, arguments: list[str], said: str) -> None:
    """Wrong options are exit code 2 and a sentence."""
    ran = await sessions(world, *arguments)
    assert ran.returncode == 2
    assert said in ran.stderr


@pytest.mark.parametrize("verb", [["list"], ["show", "--subject", "alice"], ["end", "--all"]])
async def test_a_store_in_memory_is_refused(verb: list[str]) -> None:
    """No command sees the memory of another process."""
    async with gateway_world() as world:
        ran = await sessions(world, *verb)
    assert ran.returncode == 2
    assert "memory:// keeps its sessions inside the gateway's process" in ran.stderr


async def test_a_store_that_does_not_answer_is_said() -> None:
    """Exit code 1 and one line, with the cause and what to look at."""
    async with gateway_world(store=f"redis://127.0.0.1:{free_port()}") as world:
        ran = await sessions(world, "list")
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: the session store:")
    assert "; no connection to session.store" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize("topology", ["cluster", "sentinel"])
async def test_a_cluster_and_a_primary_behind_a_sentinel_are_looked_through(topology: str) -> None:
    """The same commands work for every topology."""
    with (
        cluster_of_one() if topology == "cluster" else ValkeyServer() as server,
        sentinel_of(server, name="shop") as sentinel,
    ):
        if topology == "cluster":
            own_all_slots(server)
        cluster = f"redis+cluster://127.0.0.1:{server.port}"
        store = cluster if topology == "cluster" else f"redis+sentinel://127.0.0.1:{sentinel.port}/shop"
        async with gateway_world(store=store, clock=Clock(now=time.time())) as world:
            await world.signed_in("alice")
            await world.signed_in("bob")
            assert subjects(await listed(world)) == ["alice", "bob"]
            assert (await sessions(world, "end", "--subject", "alice")).stdout == "1 session(s) ended\n"
            assert (await sessions(world, "end", "--all")).stdout == "1 session(s) ended\n"


@pytest.mark.requirement("R-327")
async def test_a_user_of_any_tenant_is_found(valkey: ValkeyServer) -> None:
    """Where every tenant of a template is allowed, the index cannot be asked: the store is surveyed."""
    valkey.ask("FLUSHALL")
    template = "http://127.0.0.1:9/{tenantid}/v2.0"
    corp = {"issuer": template, "metadata_url": "http://127.0.0.1:9/metadata", "allowed_tenants": "any"}
    async with gateway_world(store=valkey.url, corp=corp) as world:
        store, now = open_store(world.config.session, patience_seconds=PATIENCE_OF_COMMANDS_SECONDS), time.time()
        for subject in ("alice", "bob"):
            issuer = template.replace("{tenantid}", "5d1b3e0e-3c5f-4bb5-9f1e-000000000001")
            session = Session(
                key=session_key(subject),
                version=0,
                created_at=now,
                absolute_expires_at=now + 1000,
                grants=(a_grant(issuer=issuer, subject=subject),),
            )
            await store.create(session, now=now)
        await store.close()
        assert subjects(await listed(world, "--subject", "alice")) == ["alice"]


def test_a_text_from_outside_does_not_steer_the_terminal() -> None:
    """Control characters, also those that turn a line's direction, are escaped."""
    assert session_views.plain("a\x1b[2Jb\r\nc\u202ed\u00e9") == "a\\x1b[2Jb\\r\\nc\\u202ed\u00e9"
