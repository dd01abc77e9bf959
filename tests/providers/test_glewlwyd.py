"""The main job at glewlwyd, a provider in C: sign-in, UserInfo, rotation while calls flow, revocation."""

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from support.foreign_world import ForeignWorld, foreign_world
from support.glewlwyd import CLIENT_ID, CLIENT_SECRET, Glewlwyd
from support.valkey_server import ValkeyServer

pytestmark = pytest.mark.providers


def at(valkey: ValkeyServer, glewlwyd: Glewlwyd) -> AbstractAsyncContextManager[ForeignWorld]:
    """A gateway at this provider."""

    def provider(gateway: str, api: str) -> dict[str, Any]:
        glewlwyd.register(gateway)
        return {
            "issuer": glewlwyd.issuer,
            "client_id": CLIENT_ID,
            "client_secret": {"file": "secret"},
            "scope": "openid",
            "userinfo": True,
        }

    return foreign_world(
        valkey,
        provider=provider,
        files={"secret": CLIENT_SECRET},
        behind=lambda url, api: None,
    )


async def signed_in(world: ForeignWorld, glewlwyd: Glewlwyd) -> None:
    """Sign alice in; ends on the app."""
    page = await glewlwyd.sign_in(world.browser, await world.begin())
    assert str(page.url) == world.gateway.url + "/", f"{page.status_code} {page.url} {page.text[:300]}"


@pytest.mark.requirement("R-001", "R-072", "R-100")
async def test_sign_in_and_who_it_is(valkey: ValkeyServer, glewlwyd: Glewlwyd) -> None:
    """The code flow with PKCE ends on the app, which reads the name from UserInfo; a call gets a token that works there."""
    async with at(valkey, glewlwyd) as world:
        await signed_in(world, glewlwyd)
        user = await world.user()
        assert user["authenticated"] is True
        assert user["claims"]["name"] == "Alice Adams"
        assert (await world.browser.fetch("/echo/x")).status_code == 200
        assert glewlwyd.alive(world.echo.seen[-1].bearer or "")


@pytest.mark.requirement("R-130", "R-132", "R-133")
async def test_tokens_rotate_while_calls_flow(valkey: ValkeyServer, glewlwyd: Glewlwyd) -> None:
    """Refresh tokens are used once: calls side by side see three new access tokens, and none fails."""
    async with at(valkey, glewlwyd) as world:
        await signed_in(world, glewlwyd)
        await world.call_until_renewed(times=3)
        assert world.gateway.events("session.refresh_failed") == []


@pytest.mark.requirement("R-183", "R-202")
async def test_sign_out_revokes(valkey: ValkeyServer, glewlwyd: Glewlwyd) -> None:
    """Sign-out revokes without a warning, and names the provider's end-session endpoint."""
    async with at(valkey, glewlwyd) as world:
        await signed_in(world, glewlwyd)
        assert (await world.sign_out()).startswith(f"{glewlwyd.issuer}/end_session?")
        assert (await world.user())["authenticated"] is False
        assert world.gateway.stop() == 0  # revocation is done by then
        assert world.gateway.events("token.revocation_failed") == []
