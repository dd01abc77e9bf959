"""The main job at LemonLDAP::NG, a provider in Perl: sign-in, renewal while calls flow, machines, both sign-outs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from typing import Any

import pytest

from support import lemonldap as server
from support.foreign_world import ForeignWorld, foreign_world
from support.lemonldap import CLIENT_ID, CLIENT_SECRET, LemonLdap
from support.valkey_server import ValkeyServer

pytestmark = pytest.mark.providers


@asynccontextmanager
async def at(valkey: ValkeyServer, corp: dict[str, Any] | None = None) -> AsyncIterator[tuple[ForeignWorld, LemonLdap]]:
    """A gateway whose user is signed in, and the portal; `corp` holds more keys of the provider."""
    if (reason := server.missing()) is not None:
        pytest.skip(reason)
    portals: list[LemonLdap] = []
    with ExitStack() as stack:

        def provider(gateway: str, api: str) -> dict[str, Any]:
            portals.append(stack.enter_context(LemonLdap(gateway)))
            return {
                "issuer": portals[0].issuer,
                "client_id": CLIENT_ID,
                "client_secrets": [{"file": "secret"}],
                "scope": "openid profile email",
                "userinfo": True,
                **(corp or {}),
            }

        files = {"secret": CLIENT_SECRET, "next": "not-in-force-yet"}
        async with foreign_world(
            valkey,
            provider=provider,
            files=files,
            behind=lambda url, api: None,
            machine_route={"scope": "profile"},
        ) as world:
            page = await portals[0].sign_in(world.browser, await world.begin())
            assert str(page.url) == world.gateway.url + "/", f"{page.url} {world.gateway.events('login.declined')}"
            yield world, portals[0]


@pytest.mark.requirement("R-001", "R-072", "R-100")
@pytest.mark.parametrize("client_auth", ["client_secret_basic", "client_secret_post"])
async def test_sign_in_and_who_it_is(valkey: ValkeyServer, client_auth: str) -> None:
    """The code flow with PKCE ends on the app, which reads the user; a call gets a token that works at UserInfo."""
    async with at(valkey, {"client_auth": client_auth}) as (world, lemonldap):
        user = await world.user()
        assert user["authenticated"] is True
        assert user["claims"]["name"] == "Doctor Who"
        assert (await world.browser.fetch("/echo/x")).status_code == 200
        assert lemonldap.alive(world.echo.seen[-1].bearer or "")


@pytest.mark.requirement("R-130")
async def test_tokens_are_renewed_while_calls_flow(valkey: ValkeyServer) -> None:
    """Calls side by side see three new access tokens, and none fails."""
    async with at(valkey) as (world, _):
        await world.call_until_renewed(times=3)
        assert world.gateway.events("session.refresh_failed") == []


async def test_client_credentials(valkey: ValkeyServer) -> None:
    """A `token: client` route gets the gateway's own token."""
    async with at(valkey) as (world, _):
        assert (await world.browser.fetch("/machine/x")).status_code == 200
        assert world.echo.seen[-1].bearer


@pytest.mark.requirement("R-170")
async def test_a_secret_that_is_not_in_force_yet_troubles_nobody(valkey: ValkeyServer) -> None:
    """Of two secrets the portal knows the second: sign-in goes on."""
    async with at(valkey, {"client_secrets": [{"file": "next"}, {"file": "secret"}]}) as (world, _):
        assert (await world.user())["authenticated"] is True
        assert [event["position"] for event in world.gateway.events("provider.secret_switched")] == [1]


async def test_sign_out_ends_the_session_of_the_portal_too(valkey: ValkeyServer) -> None:
    """The portal's end-session endpoint takes our request without a question: the next sign-in asks for the password again."""
    async with at(valkey) as (world, lemonldap):
        assert (await world.sign_out()).startswith(f"{lemonldap.issuer}oauth2/logout?")
        assert str((await world.begin()).url) == world.gateway.url + "/"  # the portal's own session goes on
        end = await world.sign_out()
        await world.browser.navigate(end, from_url=world.gateway.url + "/")
        assert (await world.user())["authenticated"] is False
        assert 'name="password"' in (await world.begin()).text


async def test_the_configuration_is_found_to_be_right_online(valkey: ValkeyServer) -> None:
    """`bff check --online` is content with store, metadata, keys, redirect URI and client authentication."""
    async with at(valkey) as (world, _):
        checked = await asyncio.to_thread(world.gateway.check_online)
        assert checked.returncode == 0, checked.stdout
