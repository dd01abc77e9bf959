"""The main job at the server of Zitadel's library, in Go: sign-in, UserInfo, a second API's token, two secrets, sign-out.

Also without a secret, silently, and with the time of the authentication.
"""

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from support import zitadel as zitadel_server
from support.foreign_world import ForeignWorld, foreign_world
from support.valkey_server import ValkeyServer
from support.zitadel import CLIENT_ID, CLIENT_SECRET, PUBLIC_CLIENT_ID, USER, Zitadel

pytestmark = pytest.mark.providers


@asynccontextmanager
async def at(valkey: ValkeyServer, **corp: Any) -> AsyncIterator[tuple[ForeignWorld, Zitadel]]:
    """A gateway and a server of its own, where the user is signed in; `corp` holds keys of the provider."""
    if (reason := zitadel_server.missing()) is not None:
        pytest.skip(reason)
    secret = (
        {} if "client_secrets" in corp or corp.get("client_auth") == "none" else {"client_secret": {"file": "secret"}}
    )
    with ExitStack() as servers:
        started: list[Zitadel] = []

        def provider(gateway: str, api: str) -> dict[str, Any]:
            started.append(servers.enter_context(Zitadel(gateway)))
            scope = "openid profile email offline_access"
            return {
                "issuer": started[0].issuer,
                "client_id": CLIENT_ID,
                "scope": scope,
                "userinfo": True,
                **secret,
                **corp,
            }

        async with foreign_world(
            valkey,
            provider=provider,
            files={"secret": CLIENT_SECRET, "next": "not-in-force-yet"},
            behind=lambda url, api: None,
            api_route={"scope": "openid profile"},
        ) as world:
            page = await started[0].sign_in(world.browser, await world.begin())
            assert str(page.url) == world.gateway.url + "/", f"{page.status_code} {page.url} {page.text[:300]}"
            yield world, started[0]


@pytest.mark.requirement("R-001", "R-072", "R-074", "R-100")
@pytest.mark.parametrize("client_auth", ["auto", "client_secret_basic", "client_secret_post"])
async def test_sign_in_and_who_it_is(valkey: ValkeyServer, client_auth: str) -> None:
    """The code flow with PKCE ends on the app, which reads the user from UserInfo; a call gets a token that works there."""
    async with at(valkey, **({} if client_auth == "auto" else {"client_auth": client_auth})) as (world, zitadel):
        user = await world.user()
        assert user["authenticated"] is True
        assert user["claims"]["preferred_username"] == USER
        assert (await world.browser.fetch("/echo/x")).status_code == 200
        assert zitadel.alive(world.echo.seen[-1].bearer or "")


async def test_another_api_gets_a_token_of_its_own_by_a_refresh(valkey: ValkeyServer) -> None:
    """A refresh with a narrower scope gives the second API its token, and leaves the first one's."""
    async with at(valkey) as (world, zitadel):
        for path in ("/echo/x", "/api/x", "/echo/x", "/api/x"):
            assert (await world.browser.fetch(path)).status_code == 200
        first, narrow, again, cached = (seen.bearer for seen in world.echo.seen[-4:])
        assert (first, narrow) == (again, cached)
        assert first != narrow
        assert zitadel.alive(narrow or "")


@pytest.mark.requirement("R-170")
async def test_a_secret_that_is_not_in_force_yet_troubles_nobody(valkey: ValkeyServer) -> None:
    """Of two secrets the server knows the second: sign-in and refreshes go on."""
    async with at(valkey, client_secrets=[{"file": "next"}, {"file": "secret"}]) as (world, _):
        assert (await world.browser.fetch("/api/x")).status_code == 200
        assert [event["position"] for event in world.gateway.events("provider.secret_switched")] == [1]


@pytest.mark.requirement("R-183", "R-202")
async def test_sign_out_revokes(valkey: ValkeyServer) -> None:
    """Sign-out revokes without a warning: the token is dead there; the provider's end-session endpoint is named."""
    async with at(valkey) as (world, zitadel):
        await world.browser.fetch("/echo/x")
        token = world.echo.seen[-1].bearer or ""
        assert (await world.sign_out()).startswith(f"{zitadel.issuer}end_session?")
        assert (await world.user())["authenticated"] is False
        assert world.gateway.stop() == 0  # revocation is done by then
        assert world.gateway.events("token.revocation_failed") == []
        assert not zitadel.alive(token)


async def test_a_client_without_a_secret(valkey: ValkeyServer) -> None:
    """PKCE alone protects it; sign-in, a refresh and revocation need no credential."""
    async with at(valkey, client_id=PUBLIC_CLIENT_ID, client_auth="none", insecure_public_client=True) as (
        world,
        zitadel,
    ):
        assert (await world.browser.fetch("/api/x")).status_code == 200
        token = world.echo.seen[-1].bearer or ""
        assert zitadel.alive(token)
        await world.sign_out()
        assert world.gateway.stop() == 0
        assert world.gateway.events("token.revocation_failed") == []
        assert not zitadel.alive(token)


@pytest.mark.requirement("R-315")
async def test_a_silent_sign_in_that_the_provider_declines(valkey: ValkeyServer) -> None:
    """This server never answers `prompt=none` with a user: the browser is back where it came from, signed in as before."""
    async with at(valkey, login_params={"prompt": ["none"]}) as (world, _):
        page = await world.begin(more="&prompt=none")
        assert (page.status_code, str(page.url)) == (200, world.gateway.url + "/")
        assert (await world.user())["authenticated"] is True
        (answered,) = [url for url in world.browser.visited if "error=login_required" in url]
        assert answered.startswith(f"{world.gateway.url}/bff/callback/corp?")
        assert world.gateway.events("login.declined") == []


async def test_the_time_of_the_authentication(valkey: ValkeyServer) -> None:
    """With `max_age` the ID token proves when the user signed in."""
    async with at(valkey, max_age="1h") as (world, _):
        assert (await world.user())["authenticated"] is True
