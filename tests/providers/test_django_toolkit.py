"""The main job at Django OAuth Toolkit: sign-in, renewal while calls flow, two secrets, and a sign-out that ends both sessions."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from support.django_toolkit import CLIENT_ID, CLIENT_SECRET, DjangoToolkit
from support.foreign_world import ForeignWorld, foreign_world
from support.valkey_server import ValkeyServer

pytestmark = pytest.mark.providers


@asynccontextmanager
async def at(
    valkey: ValkeyServer, django: DjangoToolkit, corp: dict[str, Any] | None = None
) -> AsyncIterator[ForeignWorld]:
    """A gateway whose user is signed in; `corp` holds more keys of the provider."""

    def provider(gateway: str, api: str) -> dict[str, Any]:
        django.register(gateway)
        return {
            "issuer": django.issuer,
            "client_id": CLIENT_ID,
            "client_secrets": [{"file": "secret"}],
            "scope": "openid profile email",
            **(corp or {}),
        }

    files = {"secret": CLIENT_SECRET, "next": "not in force yet"}
    async with foreign_world(valkey, provider=provider, files=files, behind=lambda url, api: None) as world:
        page = await django.sign_in(world.browser, await world.begin())
        assert str(page.url) == world.gateway.url + "/", f"{page.url} {world.gateway.events('login.declined')}"
        yield world


@pytest.mark.requirement("R-001", "R-072", "R-100")
@pytest.mark.parametrize("client_auth", ["client_secret_basic", "client_secret_post"])
async def test_sign_in_and_who_it_is(valkey: ValkeyServer, django: DjangoToolkit, client_auth: str) -> None:
    """The code flow with PKCE ends on the app, which reads the user; a call gets a token that works at UserInfo."""
    async with at(valkey, django, {"client_auth": client_auth}) as world:
        user = await world.user()
        assert user["authenticated"] is True
        assert user["claims"]["name"] == "Alice Adams"
        assert (await world.browser.fetch("/echo/x")).status_code == 200
        assert django.alive(world.echo.seen[-1].bearer or "")


@pytest.mark.requirement("R-130", "R-132", "R-133")
async def test_tokens_rotate_while_calls_flow(valkey: ValkeyServer, django: DjangoToolkit) -> None:
    """Refresh tokens are used once: calls side by side see three new access tokens, and none fails."""
    async with at(valkey, django) as world:
        await world.call_until_renewed(times=3)
        assert world.gateway.events("session.refresh_failed") == []


@pytest.mark.requirement("R-170")
async def test_a_secret_that_is_not_in_force_yet_troubles_nobody(valkey: ValkeyServer, django: DjangoToolkit) -> None:
    """Of two secrets the site knows the second: sign-in goes on."""
    async with at(valkey, django, {"client_secrets": [{"file": "next"}, {"file": "secret"}]}) as world:
        assert (await world.user())["authenticated"] is True
        assert [event["position"] for event in world.gateway.events("provider.secret_switched")] == [1]


@pytest.mark.requirement("R-202")
async def test_sign_out_ends_the_session_of_the_site_too(valkey: ValkeyServer, django: DjangoToolkit) -> None:
    """The site's end-session endpoint leads back to the app, and the next sign-in asks for the password again."""
    async with at(valkey, django) as world:
        end = await world.sign_out()
        assert end.startswith(f"{django.issuer}/logout/?")
        back = await world.browser.navigate(end, from_url=world.gateway.url + "/")
        assert str(back.url).startswith(world.gateway.url + "/")
        assert 'name="password"' in (await world.begin()).text


@pytest.mark.requirement("R-183")
async def test_sign_out_revokes_at_an_endpoint_that_only_we_name(valkey: ValkeyServer, django: DjangoToolkit) -> None:
    """The metadata name no revocation endpoint; with the key the token is dead after the sign-out."""
    async with at(valkey, django, {"revocation_endpoint": f"{django.issuer}/revoke_token/"}) as world:
        await world.browser.fetch("/echo/x")
        token = world.echo.seen[-1].bearer or ""
        assert django.alive(token)
        await world.sign_out()
        assert world.gateway.stop() == 0  # revocation is done by then
        assert world.gateway.events("token.revocation_failed") == []
        assert not django.alive(token)
