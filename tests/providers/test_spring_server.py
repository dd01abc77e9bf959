"""The main job at Spring Authorization Server, in Java: consent, rotation, keys, bound and exchanged tokens, machines, sign-out."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from support import spring_server
from support.certified_provider import submit
from support.foreign_world import ForeignWorld, foreign_world
from support.spring_server import CLIENT_SECRET, OTHER_SECRET, USER, SpringServer
from support.valkey_server import ValkeyServer

pytestmark = pytest.mark.providers

BY_KEY: dict[str, Any] = {"client_id": "key", "client_keys": [{"file": "client-key"}]}
KEYS = {
    "PS256": json.dumps({**RSAKey.generate_key(2048).as_dict(private=True), "alg": "PS256"}),
    "ES256": ECKey.generate_key("P-256").as_pem(private=True).decode(),
}


@asynccontextmanager
async def at(
    valkey: ValkeyServer, *, algorithm: str = "ES256", api_route: dict[str, Any] | None = None, **corp: Any
) -> AsyncIterator[tuple[ForeignWorld, SpringServer]]:
    """A gateway and a server of its own, whose login page is asked for; `corp` holds keys of the provider, else as in the recipe."""
    if (reason := spring_server.missing()) is not None:
        pytest.skip(reason)
    by_secret = {} if "client_keys" in corp or "client_secrets" in corp else {"client_secret": {"file": "secret"}}
    with ExitStack() as servers:
        started: list[SpringServer] = []

        def provider(gateway: str, api: str) -> dict[str, Any]:
            started.append(servers.enter_context(SpringServer(gateway, algorithm=algorithm)))
            recipe = {"client_id": "secret", "scope": "openid profile", "userinfo": True}
            return {"issuer": started[0].issuer, **recipe, **by_secret, **corp}

        async with foreign_world(
            valkey,
            provider=provider,
            files={
                "secret": CLIENT_SECRET,
                "other": OTHER_SECRET,
                "next": "not-in-force-yet",
                "client-key": KEYS[algorithm],
            },
            behind=lambda url, api: None,
            api_route=api_route,
        ) as world:
            yield world, started[0]


async def signed_in(world: ForeignWorld, spring: SpringServer) -> None:
    """Sign alice in; ends on the app."""
    page = await spring.sign_in(world.browser, await world.begin())
    assert str(page.url) == world.gateway.url + "/", f"{page.url} {world.gateway.events('login.declined')}"


async def renewed(world: ForeignWorld, *, times: int) -> list[str]:
    """Keep calling until the API has seen as many more tokens; returns what it saw, each once."""
    seen: dict[str, None] = {}
    async with asyncio.timeout(120):
        while len(seen) < times + 1:
            assert (await world.browser.fetch("/echo/x")).status_code == 200
            seen[world.echo.seen[-1].bearer or ""] = None
    return list(seen)


@pytest.mark.requirement("R-001", "R-072", "R-100", "R-130", "R-132")
@pytest.mark.parametrize("client_auth", ["client_secret_basic", "client_secret_post"])
async def test_the_recipe_signs_in_and_renews(valkey: ValkeyServer, client_auth: str) -> None:
    """The code flow with PKCE ends on the app; a call gets a token that works there, and each refresh token is used once."""
    async with at(valkey, client_auth=client_auth) as (world, spring):
        await signed_in(world, spring)
        assert (await world.user())["claims"]["sub"] == USER
        tokens = await renewed(world, times=2)
        assert spring.alive(tokens[-1])
        assert world.gateway.events("session.refresh_failed") == []


async def test_a_person_is_asked_for_consent(valkey: ValkeyServer) -> None:
    """The provider's own page lies between its login form and the app."""
    async with at(valkey, client_id="consent", client_secret={"file": "other"}) as (world, spring):
        page = await spring.sign_in(world.browser, await world.begin())
        page = await submit(world.browser, page, scope="profile")
        assert str(page.url) == world.gateway.url + "/"
        assert (await world.user())["authenticated"] is True


@pytest.mark.requirement("R-090")
@pytest.mark.parametrize("algorithm", KEYS)
async def test_private_key_jwt(valkey: ValkeyServer, algorithm: str) -> None:
    """Our public key is taken from the gateway's JWKS: for the code, for refreshes, and for the gateway's own token."""
    async with at(valkey, algorithm=algorithm, **BY_KEY) as (world, spring):
        await signed_in(world, spring)
        await renewed(world, times=1)
        assert (await world.browser.fetch("/machine/x")).status_code == 200


@pytest.mark.requirement("R-159")
async def test_dpop(valkey: ValkeyServer) -> None:
    """Tokens are bound to a key of the session, and are renewed with it."""
    async with at(valkey, dpop="on") as (world, spring):
        await signed_in(world, spring)
        tokens = await renewed(world, times=1)
        assert [spring.alive(token) for token in tokens] == [False, False]  # without its proof


async def test_an_exchanged_token(valkey: ValkeyServer) -> None:
    """A route's token is another than the user's own (RFC 8693), and is kept."""
    async with at(valkey, api_route={"exchange": {"audience": "orders"}}) as (world, spring):
        await signed_in(world, spring)
        for path in ("/echo/x", "/api/x", "/api/x"):
            assert (await world.browser.fetch(path)).status_code == 200
        own, exchanged, kept = (seen.bearer for seen in world.echo.seen[-3:])
        assert own != exchanged == kept


@pytest.mark.requirement("R-165")
async def test_client_credentials(valkey: ValkeyServer) -> None:
    """A `token: client` route gets the gateway's own token."""
    async with at(valkey) as (world, spring):
        await signed_in(world, spring)
        assert (await world.browser.fetch("/machine/x")).status_code == 200
        assert world.echo.seen[-1].bearer


@pytest.mark.requirement("R-170")
async def test_a_secret_that_is_not_in_force_yet_troubles_nobody(valkey: ValkeyServer) -> None:
    """Of two secrets the server knows the second: sign-in and refreshes go on."""
    async with at(valkey, client_secrets=[{"file": "next"}, {"file": "secret"}]) as (world, spring):
        await signed_in(world, spring)
        await renewed(world, times=1)
        assert [event["position"] for event in world.gateway.events("provider.secret_switched")] == [1]


@pytest.mark.requirement("R-183", "R-202")
async def test_sign_out_ends_both_sessions(valkey: ValkeyServer) -> None:
    """Sign-out revokes; the provider's end-session endpoint ends its own session and leads back to the app."""
    async with at(valkey) as (world, spring):
        await signed_in(world, spring)
        await world.browser.fetch("/echo/x")
        token = world.echo.seen[-1].bearer or ""
        url = await world.sign_out()
        assert url.startswith(f"{spring.issuer}/connect/logout?")
        page = await world.browser.navigate(url, from_url=world.gateway.url + "/")
        assert str(page.url).startswith(world.gateway.url + "/")
        assert (await world.user())["authenticated"] is False
        assert "/login" in str((await world.begin()).url)  # it asks who it is again
        assert world.gateway.stop() == 0  # revocation is done by then
        assert world.gateway.events("token.revocation_failed") == []
        assert not spring.alive(token)


@pytest.mark.parametrize("corp", [{}, BY_KEY, {"dpop": "on"}], ids=["secret", "key", "dpop"])
async def test_the_configuration_is_found_to_be_right_online(valkey: ValkeyServer, corp: dict[str, Any]) -> None:
    """`bff check --online` is content with store, metadata, keys, redirect URI and client authentication."""
    async with at(valkey, **corp) as (world, _):
        checked = await asyncio.to_thread(world.gateway.check_online)
        assert checked.returncode == 0, checked.stdout
