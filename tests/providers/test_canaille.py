"""The main job at Canaille, a provider in Python: each client authentication, a signed request, renewal, machines, sign-out."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from support.canaille import Canaille
from support.foreign_world import ForeignWorld, foreign_world
from support.valkey_server import ValkeyServer

pytestmark = pytest.mark.providers

BY_SECRET: dict[str, Any] = {"client_secret": {"file": "secret"}}
RSA_KEY = json.dumps({**RSAKey.generate_key(2048).as_dict(private=True), "alg": "RS256"})
EC_KEY = ECKey.generate_key("P-256").as_pem(private=True).decode()


def by_key(canaille: Canaille) -> dict[str, Any]:
    """A client that signs; it is told the audience that this provider takes."""
    return {"client_keys": [{"file": "client-key"}], "assertion_audience": f"{canaille.issuer}/oauth/token"}


@asynccontextmanager
async def at(
    valkey: ValkeyServer, canaille: Canaille, corp: dict[str, Any] = BY_SECRET, *, key: str = "", **client: object
) -> AsyncIterator[ForeignWorld]:
    """A gateway whose user is signed in; `corp` holds keys of the provider, `client` what Canaille is told of us."""
    files = {"client-key": key, "next": "not-in-force-yet"}

    def provider(gateway: str, api: str) -> dict[str, Any]:
        by_key = (
            {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": f"{gateway}/bff/jwks/corp"} if key else {}
        )
        registered = canaille.register(gateway, **by_key, **client)
        files["secret"] = registered.get("client_secret", "")
        return {
            "issuer": canaille.issuer,
            "client_id": registered["client_id"],
            "scope": "openid profile email",
            "userinfo": True,
            **corp,
        }

    async with foreign_world(
        valkey,
        provider=provider,
        files=files,
        behind=lambda url, api: None,
        api_route={"scope": "openid profile"},
    ) as world:
        page = await canaille.sign_in(world.browser, await world.begin())
        assert str(page.url) == world.gateway.url + "/", f"{page.url} {world.gateway.events('login.declined')}"
        yield world


@pytest.mark.requirement("R-001", "R-072", "R-100")
@pytest.mark.parametrize("client_auth", ["client_secret_basic", "client_secret_post"])
async def test_sign_in_and_who_it_is(valkey: ValkeyServer, canaille: Canaille, client_auth: str) -> None:
    """The code flow with PKCE ends on the app, which reads the user from UserInfo; a call gets a token that works there."""
    corp = {**BY_SECRET, "client_auth": client_auth}
    async with at(valkey, canaille, corp, token_endpoint_auth_method=client_auth) as world:
        user = await world.user()
        assert user["authenticated"] is True
        assert user["claims"]["name"] == "Alice Adams"
        assert (await world.browser.fetch("/echo/x")).status_code == 200
        assert canaille.alive(world.echo.seen[-1].bearer or "")


async def test_another_api_gets_a_token_of_its_own_by_a_refresh(valkey: ValkeyServer, canaille: Canaille) -> None:
    """A refresh with a narrower scope gives the second API its token, and leaves the first one's."""
    async with at(valkey, canaille) as world:
        for path in ("/echo/x", "/api/x", "/echo/x", "/api/x"):
            assert (await world.browser.fetch(path)).status_code == 200
        first, narrow, again, cached = (seen.bearer for seen in world.echo.seen[-4:])
        assert (first, narrow) == (again, cached)
        assert first != narrow
        assert canaille.alive(narrow or "")


@pytest.mark.requirement("R-090")
@pytest.mark.parametrize("key", [RSA_KEY, EC_KEY], ids=["RS256", "ES256"])
async def test_private_key_jwt(valkey: ValkeyServer, canaille: Canaille, key: str) -> None:
    """Canaille takes our public key from the gateway's JWKS for the code and for a refresh (for client credentials it takes none)."""
    async with at(valkey, canaille, by_key(canaille), key=key) as world:
        for path in ("/echo/x", "/api/x"):
            assert (await world.browser.fetch(path)).status_code == 200
        assert len({seen.bearer for seen in world.echo.seen[-2:]}) == 2


@pytest.mark.requirement("R-165")
async def test_client_credentials(valkey: ValkeyServer, canaille: Canaille) -> None:
    """A `token: client` route gets the gateway's own token, fetched once."""
    async with at(valkey, canaille) as world:
        for _ in range(2):
            assert (await world.browser.fetch("/machine/x")).status_code == 200
        first, second = (seen.bearer for seen in world.echo.seen[-2:])
        assert first == second
        assert first


async def test_a_signed_request(valkey: ValkeyServer, canaille: Canaille) -> None:
    """A client that must sign its authorization requests does (RFC 9101)."""
    corp = {**by_key(canaille), "request_object": "signed"}
    async with at(valkey, canaille, corp, key=EC_KEY, require_signed_request_object=True) as world:
        assert (await world.user())["authenticated"] is True


@pytest.mark.requirement("R-170")
async def test_a_secret_that_is_not_in_force_yet_troubles_nobody(valkey: ValkeyServer, canaille: Canaille) -> None:
    """Of two secrets the server knows the second: sign-in and refreshes go on."""
    async with at(valkey, canaille, {"client_secrets": [{"file": "next"}, {"file": "secret"}]}) as world:
        assert (await world.browser.fetch("/api/x")).status_code == 200
        assert [event["position"] for event in world.gateway.events("provider.secret_switched")] == [1]


@pytest.mark.requirement("R-183", "R-202")
async def test_sign_out_revokes(valkey: ValkeyServer, canaille: Canaille) -> None:
    """Sign-out revokes without a warning: the token is dead there; the provider's end-session endpoint is named."""
    async with at(valkey, canaille) as world:
        await world.browser.fetch("/echo/x")
        token = world.echo.seen[-1].bearer or ""
        assert (await world.sign_out()).startswith(f"{canaille.issuer}/oauth/end_session?")
        assert (await world.user())["authenticated"] is False
        assert world.gateway.stop() == 0  # revocation is done by then
        assert world.gateway.events("token.revocation_failed") == []
        assert not canaille.alive(token)


async def test_the_configuration_is_found_to_be_right_online(valkey: ValkeyServer, canaille: Canaille) -> None:
    """`bff check --online` is content with store, metadata, keys, redirect URI and client authentication."""
    async with at(valkey, canaille) as world:
        checked = await asyncio.to_thread(world.gateway.check_online)
        assert checked.returncode == 0, checked.stdout


async def test_a_refused_audience_is_found_online(valkey: ValkeyServer, canaille: Canaille) -> None:
    """A client that signs for the issuer is refused, and the check says which key to look at."""
    async with at(valkey, canaille, by_key(canaille), key=EC_KEY) as world:
        text = world.gateway.file.read_text()
        world.gateway.file.write_text(text.replace(f"{canaille.issuer}/oauth/token", canaille.issuer))
        checked = await asyncio.to_thread(world.gateway.check_online)
        assert checked.returncode == 1
        assert "assertion_audience" in checked.stdout
