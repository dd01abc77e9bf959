"""`bff secrets status`: which secrets and keys of a running gateway are in use, by whom, and since when not any more."""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bff.instance import instance
from bff.secret_uses import digest, fingerprint
from bff.web.gateway import settle
from support.bff_command import run_bff
from support.free_ports import free_port
from support.gateway_world import CLIENT_SECRET, SESSION_KEY, Clock, GatewayWorld, gateway_world
from support.http_client import http_client
from support.scripted_upstream import echo, scripted_upstream
from support.tls_certificates import Authority
from support.valkey_server import ValkeyServer

OLD_KEY = "an old session key that is long enough 9876543210"
OLD_SECRET = "an old secret of the shop that is long enough"


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A server."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
async def world(valkey: ValkeyServer) -> AsyncIterator[GatewayWorld]:
    """A gateway in the middle of both rotations."""
    valkey.ask("FLUSHALL")
    session, corp = {"keys": [SESSION_KEY, OLD_KEY]}, {"client_secrets": [CLIENT_SECRET, OLD_SECRET]}
    async with gateway_world(store=valkey.url, clock=Clock(now=time.time()), session=session, corp=corp) as world:
        yield world


async def status(world: GatewayWorld, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`bff secrets status` with the gateway's own configuration."""
    return await asyncio.to_thread(run_bff, "secrets", "status", "-c", str(world.file), *arguments)


async def secrets(world: GatewayWorld, *, used: int) -> dict[tuple[str, str], dict[str, Any]]:
    """What it says, by owner and position, once so many secrets are in use."""
    async with asyncio.timeout(60):
        while True:
            ran = await status(world, "--json")
            assert ran.returncode == 0, ran.stderr
            told = {(secret["owner"], secret["position"]): secret for secret in json.loads(ran.stdout)["secrets"]}
            if sum(secret["last_used_at"] is not None for secret in told.values()) >= used:
                return told


async def test_the_secrets_in_use_are_told_from_those_that_are_not(world: GatewayWorld) -> None:
    """A sign-in uses the newest key and secret: they have a time and a process; old ones and another provider's have none."""
    await world.signed_in("alice")
    told = await secrets(world, used=2)
    key, secret = told["session", "keys[0]"], told["corp", "client_secrets[0]"]
    for used, value in ((key, SESSION_KEY), (secret, CLIENT_SECRET)):
        assert used["fingerprint"] == fingerprint(value)
        assert used["last_used_by"] == instance()
        assert list(used["uses"]) == [instance()]
        assert abs(datetime.fromisoformat(used["last_used_at"]).astimezone(UTC).timestamp() - time.time()) < 120
    unused = {place for place, one in told.items() if one["last_used_at"] is None}
    assert unused == {("session", "keys[1]"), ("corp", "client_secrets[1]"), ("partner", "client_secrets[0]")}
    lines = (await status(world)).stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [list(place) for place in told]
    assert lines[2].split()[3:] == ["never", "-"]


async def test_no_secret_and_no_digest_that_confirms_a_guess_is_in_the_store(
    world: GatewayWorld, valkey: ValkeyServer
) -> None:
    """Notes lie under keyed names: who reads the store learns when something was used, and not what."""
    await world.signed_in("alice")
    await secrets(world, used=2)
    dump = repr(valkey.dump())
    assert "bff:u:" in dump
    for value in (SESSION_KEY, CLIENT_SECRET):
        assert value not in dump
        assert fingerprint(value) not in dump


async def test_a_secret_that_the_provider_refuses_is_not_in_use(world: GatewayWorld) -> None:
    """The provider knows the old secret only: the old one has a time, and the new one, which was tried first, has none."""
    known = world.corp.clients["shop"]
    world.corp.clients["shop"] = replace(known, secret=OLD_SECRET)
    await world.signed_in("alice")
    told = await secrets(world, used=2)
    assert told["corp", "client_secrets[0]"]["last_used_at"] is None
    assert told["corp", "client_secrets[1]"]["last_used_at"] is not None


async def test_the_metric_says_the_same(world: GatewayWorld) -> None:
    """`bff_secret_last_used_timestamp_seconds` has the instants, by provider and position."""
    await world.signed_in("alice")
    await secrets(world, used=2)
    async with http_client() as client:
        metrics = (await client.get(f"{world.management_url}/metrics")).text
    for provider, position in (("session", "keys[0]"), ("corp", "client_secrets[0]")):
        labels = f'{{position="{position}",provider="{provider}"}}'
        (line,) = [
            line for line in metrics.splitlines() if line.startswith(f"bff_secret_last_used_timestamp_seconds{labels}")
        ]
        assert abs(float(line.rpartition(" ")[2]) - world.clock.now) < 1


async def test_a_certificate_that_an_upstream_is_shown_is_listed(valkey: ValkeyServer, tmp_path: Path) -> None:
    """By the route's path: never used before a call, and used once a connection was made with it."""
    valkey.ask("FLUSHALL")
    authority = Authority(tmp_path)
    file = authority.server_file("client")
    context = authority.asking_server("127.0.0.1")
    async with scripted_upstream(echo, tls=context) as upstream:
        shown = {"certificate": str(file), "key": str(file)}
        route = {"path": "/orders", "upstream": upstream.url, "ca_file": str(authority.file), "token": "none"}
        routes = [{**route, "client_certificate": shown}, {"path": "/", "files": "dist"}]
        async with gateway_world(store=valkey.url, clock=Clock(now=time.time()), routes=routes) as world:
            place = ("routes", "/orders client_certificate")
            unused = (await secrets(world, used=0))[place]
            assert (unused["last_used_at"], unused["fingerprint"]) == (None, fingerprint(file.read_text()))
            browser = await world.signed_in("alice")
            assert (await browser.fetch("/orders/1")).status_code == 200
            assert (await secrets(world, used=3))[place]["last_used_by"] == instance()
            settle(world.app.process, world.config)
            assert "routes" in {use.owner for use in world.app.process.secret_uses.all()}


async def test_a_reload_forgets_no_use_of_what_is_still_configured(tmp_path: Path) -> None:
    """Its time in the metric stands until the next use; what the file does not name any more has none."""
    (tmp_path / "token").write_text("an.assertion.x")
    corp = {"client_auth": "client_assertion", "client_assertion": {"file": str(tmp_path / "token")}}
    async with gateway_world(corp=corp) as world:
        uses = world.app.process.secret_uses
        for position in ("client_assertion", "client_secrets[7]"):
            uses.note("corp", position, digest(position))
        settle(world.app.process, world.config)
        assert {use.position for use in uses.all() if use.owner == "corp"} == {"client_assertion"}


async def test_an_assertion_of_a_workload_is_listed(valkey: ValkeyServer, tmp_path: Path) -> None:
    """By the present text of its file."""
    valkey.ask("FLUSHALL")
    file = tmp_path / "token"
    file.write_text("first.assertion.x")
    corp = {"client_auth": "client_assertion", "client_assertion": {"file": str(file)}}
    async with gateway_world(store=valkey.url, clock=Clock(now=time.time()), corp=corp) as world:
        for text in ("first.assertion.x", "second.assertion.x"):
            file.write_text(text)
            assert (await secrets(world, used=0))["corp", "client_assertion"]["fingerprint"] == fingerprint(text)


async def test_a_store_in_memory_knows_no_uses_of_other_processes() -> None:
    """The fingerprints are told all the same, with a note on standard error."""
    async with gateway_world() as world:
        ran = await status(world)
    assert ran.returncode == 0
    assert fingerprint(SESSION_KEY) in ran.stdout
    assert "memory:// keeps uses inside the gateway's process" in ran.stderr


async def test_a_store_that_does_not_answer_is_said() -> None:
    """Exit code 1 and one line."""
    async with gateway_world(store=f"redis://127.0.0.1:{free_port()}") as world:
        ran = await status(world)
    assert ran.returncode == 1
    assert ran.stderr.startswith("error: the session store:")
    assert ran.stdout == ""
