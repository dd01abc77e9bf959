"""The main job at a real Keycloak: from sign-in to both logouts, by the recipe of the providers' page and with each stronger way.

The realm rotates refresh tokens and ends a session whose used token comes again (`revokeRefreshToken`, `refreshTokenMaxReuse: 0`).
The API verifies signature, type, issuer, audience and expiry of each bearer by the realm's published keys.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from joserfc.jwk import ECKey, RSAKey

from support.dpop_api import DpopApi
from support.foreign_world import ForeignWorld, foreign_world
from support.keycloak import Keycloak
from support.strict_browser import Browser
from support.valkey_server import ValkeyServer
from support.waiting import until

pytestmark = pytest.mark.providers

SECRET = "50% of p+ss & w:rds/are=odd, ~this too"
KEYS: dict[str, Callable[[], str]] = {
    "RS256": lambda: json.dumps({**RSAKey.generate_key(2048).as_dict(private=True), "alg": "RS256"}),
    "PS256": lambda: RSAKey.generate_key(2048).as_pem(private=True).decode(),
    "ES256": lambda: ECKey.generate_key("P-256").as_pem(private=True).decode(),
}
BY_KEY: dict[str, Any] = {"client_auth": "private_key_jwt", "client_keys": [{"file": "client-key"}]}


def audience(api: str, *, in_id_token: bool = False) -> dict[str, Any]:
    """A mapper that writes the API into `aud` of the access tokens, and of the ID tokens if asked."""
    config = {
        "included.custom.audience": api,
        "access.token.claim": "true",
        "id.token.claim": str(in_id_token).lower(),
    }
    return {
        "name": "the API",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": config,
    }


def client(gateway: str, api: str, **attributes: str) -> dict[str, Any]:
    """The client as an operator registers it by the providers' page; `attributes` are Keycloak's, with `_` for `.`."""
    return {
        "clientId": "shop",
        "secret": SECRET,
        "publicClient": False,
        "serviceAccountsEnabled": True,
        "redirectUris": [f"{gateway}/bff/callback/corp"],
        "attributes": {
            "post.logout.redirect.uris": f"{gateway}/",
            "backchannel.logout.url": f"{gateway}/bff/backchannel-logout/corp",
            "backchannel.logout.session.required": "true",
            "pkce.code.challenge.method": "S256",
            "access.token.header.type.rfc9068": "true",
            **{name.replace("_", "."): value for name, value in attributes.items()},
        },
        "protocolMappers": [audience(api)],
    }


def at(
    valkey: ValkeyServer,
    keycloak: Keycloak,
    *,
    registered: Callable[[dict[str, Any], str], dict[str, Any]] = lambda client, gateway: client,
    corp: dict[str, Any] | None = None,
    **world: Any,
) -> AbstractAsyncContextManager[ForeignWorld]:
    """A gateway at this Keycloak; `registered` changes the client, `corp` holds keys of the provider."""

    def provider(gateway: str, api: str) -> dict[str, Any]:
        keycloak.register(registered(client(gateway, api), gateway))
        secret = {} if {"client_auth", "client_secrets"} & set(corp or {}) else {"client_secret": {"file": "secret"}}
        return {"issuer": keycloak.issuer, "client_id": "shop", **secret, **(corp or {})}

    files = {"secret": SECRET, **world.pop("files", {})}
    return foreign_world(valkey, provider=provider, issuer=keycloak.issuer, files=files, **world)


def with_key(**attributes: str) -> Callable[[dict[str, Any], str], dict[str, Any]]:
    """A client that authenticates by the keys of our JWKS."""

    def changed(client: dict[str, Any], gateway: str) -> dict[str, Any]:
        own = {"use.jwks.url": "true", "jwks.url": f"{gateway}/bff/jwks/corp"}
        named = {name.replace("_", "."): value for name, value in attributes.items()}
        return {
            **client,
            "clientAuthenticatorType": "client-jwt",
            "attributes": {**client["attributes"], **own, **named},
        }

    return changed


async def signed_in(world: ForeignWorld, keycloak: Keycloak, *, user: str = "alice") -> Any:
    """Sign in; returns the last page, which is the app's."""
    page = await keycloak.sign_in(world.browser, await world.begin(), user=user)
    assert str(page.url) == world.gateway.url + "/", f"{page.status_code} {page.url} {page.text[:600]}"
    return page


async def renewed(world: ForeignWorld, *, times: int, path: str = "/api/orders") -> set[str]:
    """Keep calling until the API has seen as many more tokens; returns what it saw."""
    seen: set[str] = set()
    async with asyncio.timeout(120):
        while len(seen) < times + 1:
            seen.add((await world.claims(path))["jti"])
    return seen


def short_lived(client: dict[str, Any], gateway: str) -> dict[str, Any]:
    """Access tokens of this client live four seconds."""
    return {**client, "attributes": {**client["attributes"], "access.token.lifespan": "4"}}


@pytest.mark.requirement("R-001", "R-030", "R-031", "R-071", "R-072", "R-075", "R-100")
async def test_sign_in_and_a_call_by_the_recipe(valkey: ValkeyServer, keycloak: Keycloak) -> None:
    """The page's recipe signs alice in, tells the app who she is, and hands the API a token that verifies."""
    async with at(valkey, keycloak) as world:
        await signed_in(world, keycloak)
        user = await world.user()
        assert user["authenticated"] is True
        assert user["claims"]["email"] == "alice@example.com"
        claims = await world.claims()
        assert claims["azp"] == "shop"
        assert claims["sub"] == user["claims"]["sub"]
        (login,) = keycloak.events("CODE_TO_TOKEN", client="shop")[-1:]
        assert login["details"]["client_auth_method"] == "client-secret"


@pytest.mark.requirement("R-130", "R-132", "R-133")
async def test_tokens_rotate_while_calls_flow(valkey: ValkeyServer, keycloak: Keycloak) -> None:
    """With reuse detection on and calls side by side, every refresh is taken and no refresh token is used twice."""
    async with at(valkey, keycloak, registered=short_lived) as world:
        await signed_in(world, keycloak)
        before = len(keycloak.events("REFRESH_TOKEN", client="shop"))
        await asyncio.gather(*(renewed(world, times=3) for _ in range(4)))
        assert world.gateway.stop() == 0
        assert keycloak.events("REFRESH_TOKEN_ERROR", client="shop") == []
        refreshes = keycloak.events("REFRESH_TOKEN", client="shop")[before:]
        assert len(refreshes) == len(world.gateway.events("session.refreshed")) >= 3
        used = [refresh["details"]["refresh_token_id"] for refresh in refreshes]
        assert len(set(used)) == len(used)


@pytest.mark.requirement("R-165", "R-167")
async def test_client_credentials(valkey: ValkeyServer, keycloak: Keycloak) -> None:
    """A client route gets the gateway's own token once, for the service account of the client."""
    async with at(valkey, keycloak) as world:
        assert (await world.browser.fetch("/machine/x")).status_code == 401
        await signed_in(world, keycloak)
        before = len(keycloak.events("CLIENT_LOGIN", client="shop"))
        answers = await asyncio.gather(*(world.claims("/machine/x") for _ in range(8)))
        assert {claims["preferred_username"] for claims in answers} == {"service-account-shop"}
        assert len(keycloak.events("CLIENT_LOGIN", client="shop")) == before + 1


@pytest.mark.requirement("R-183", "R-201", "R-202", "R-204")
async def test_sign_out_here_and_at_the_provider(valkey: ValkeyServer, keycloak: Keycloak) -> None:
    """The refresh token is revoked, the provider's session ends without a question, and the way back ends on the app."""
    async with at(valkey, keycloak) as world:
        await signed_in(world, keycloak)
        revoked = len(keycloak.events("REVOKE_GRANT", client="shop"))
        url = await world.sign_out()
        await until(lambda: len(keycloak.events("REVOKE_GRANT", client="shop")) == revoked + 1)
        back = await world.browser.navigate(url, from_url=world.gateway.url + "/")
        assert str(back.url).startswith(world.gateway.url + "/?state=")
        assert (await world.browser.fetch("/api/orders")).status_code == 401
        assert 'id="kc-form-login"' in (await world.begin()).text, "the provider still knows who this is"


@pytest.mark.requirement("R-205", "R-213")
async def test_the_back_channel_ends_one_users_session(valkey: ValkeyServer, keycloak: Keycloak) -> None:
    """An administrator ends alice's sessions: hers here is over before her next call, bob's goes on."""
    async with at(valkey, keycloak) as world, Browser(app=world.gateway.url) as bobs:
        await signed_in(world, keycloak)
        asked = await bobs.navigate("/bff/login?return_to=/", from_url=world.gateway.url + "/")
        await keycloak.sign_in(bobs, asked, user="bob")
        await world.claims()
        await asyncio.to_thread(keycloak.end_sessions, "alice")
        await until(lambda: bool(world.gateway.events("backchannel_logout.done")))
        assert (await world.browser.fetch("/api/orders")).status_code == 401
        assert (await world.user())["authenticated"] is False
        assert (await bobs.fetch("/api/orders")).status_code == 200


@pytest.mark.requirement("R-320")
async def test_a_session_that_ended_there_is_a_401_here(valkey: ValkeyServer, keycloak: Keycloak) -> None:
    """Without a back channel, the refusal of the next refresh ends the session: 401 with a `login_url`, and a sign-in mends it."""

    def quiet(client: dict[str, Any], gateway: str) -> dict[str, Any]:
        attributes = {
            name: value
            for name, value in short_lived(client, gateway)["attributes"].items()
            if not name.startswith("backchannel")
        }
        return {**client, "attributes": attributes}

    async with at(valkey, keycloak, registered=quiet) as world:
        await signed_in(world, keycloak)
        await world.claims()
        await asyncio.to_thread(keycloak.end_sessions, "alice")

        async with asyncio.timeout(60):
            while (answer := await world.browser.fetch("/api/orders")).status_code == 200:
                await asyncio.sleep(0.1)
        assert answer.status_code == 401
        assert answer.json()["login_url"].startswith("/bff/login")
        (failed,) = world.gateway.events("session.refresh_failed")
        assert failed["reason"] == "invalid_grant"
        await signed_in(world, keycloak)
        assert (await world.claims())["azp"] == "shop"


@pytest.mark.requirement("R-323")
async def test_signing_in_again_elsewhere_keeps_this_session(valkey: ValkeyServer, keycloak: Keycloak) -> None:
    """The user signs in again at the provider for another application: refreshed ID tokens carry the later `auth_time`, and go on."""
    async with at(valkey, keycloak, registered=short_lived) as world:
        await signed_in(world, keycloak)
        first = (await world.user())["claims"].get("auth_time")
        while first is not None and time.time() < first + 1:  # `auth_time` is in whole seconds
            await asyncio.sleep(0.05)
        keycloak.register({**client(world.gateway.url, "elsewhere"), "clientId": "elsewhere"})
        asked = await world.browser.navigate(_again(keycloak, world))
        callback = await keycloak.sign_in(world.browser, asked, user="alice")
        assert callback.status_code == 400, "a code that is not ours is refused here, and harms nothing"
        await renewed(world, times=2)
        assert (await world.user())["authenticated"] is True
        later = (await world.user())["claims"].get("auth_time")
        assert (first is None and later is None) or later > first


def _again(keycloak: Keycloak, world: ForeignWorld) -> str:
    """An authorization request of another client that asks for the password again."""
    query = httpx2.QueryParams(
        {
            "client_id": "elsewhere",
            "redirect_uri": f"{world.gateway.url}/bff/callback/corp",
            "response_type": "code",
            "scope": "openid",
            "prompt": "login",
            "code_challenge": "x" * 43,
            "code_challenge_method": "S256",
        }
    )
    return f"{keycloak.issuer}/protocol/openid-connect/auth?{query}"


@pytest.mark.requirement("R-326")
async def test_two_host_names(valkey: ValkeyServer, keycloak: Keycloak) -> None:
    """The issuer is the public name; the metadata of the inner address names inner endpoints for what the gateway calls."""
    inner = keycloak.issuer.replace(keycloak.url, keycloak.inner_url) + "/.well-known/openid-configuration"
    metadata = httpx2.get(inner, trust_env=False).json()
    assert metadata["issuer"] == keycloak.issuer
    assert metadata["authorization_endpoint"].startswith(keycloak.url)
    assert metadata["token_endpoint"].startswith(keycloak.inner_url)
    async with at(valkey, keycloak, corp={"metadata_url": inner}, registered=short_lived) as world:
        await signed_in(world, keycloak)
        await renewed(world, times=1)
        back = await world.browser.navigate(await world.sign_out(), from_url=world.gateway.url + "/")
        assert str(back.url).startswith(world.gateway.url + "/?state=")


@pytest.mark.requirement("R-325")
async def test_an_audience_mapper_that_writes_into_id_tokens(valkey: ValkeyServer, keycloak: Keycloak) -> None:
    """`aud` of the ID token names the API too: refused with a reason unless `trusted_audiences` lists it."""

    def mapped(client: dict[str, Any], gateway: str) -> dict[str, Any]:
        api = client["protocolMappers"][0]["config"]["included.custom.audience"]
        more = {**audience("orders-api", in_id_token=True), "name": "another"}
        return {**client, "protocolMappers": [audience(api), more]}

    async with at(valkey, keycloak, registered=mapped) as world:
        refused = await keycloak.sign_in(world.browser, await world.begin(), user="alice")
        assert refused.status_code in {400, 502}
        (declined,) = world.gateway.events("login.declined")
        assert declined["reason"] == "aud"
    async with at(valkey, keycloak, registered=mapped, corp={"trusted_audiences": ["orders-api"]}) as world:
        await signed_in(world, keycloak)
        assert "orders-api" in (await world.claims())["aud"]


@pytest.mark.requirement("R-090")
@pytest.mark.parametrize("family", KEYS)
async def test_private_key_jwt(valkey: ValkeyServer, keycloak: Keycloak, family: str) -> None:
    """Keycloak takes our public key from the gateway's JWKS; sign-in, refreshes, client credentials and revocation work with it."""

    def registered(client: dict[str, Any], gateway: str) -> dict[str, Any]:
        return short_lived(with_key(token_endpoint_auth_signing_alg=family)(client, gateway), gateway)

    async with at(valkey, keycloak, corp=BY_KEY, registered=registered, files={"client-key": KEYS[family]()}) as world:
        await signed_in(world, keycloak)
        await renewed(world, times=2)
        await world.claims("/machine/x")
        revoked = len(keycloak.events("REVOKE_GRANT", client="shop"))
        await world.sign_out()
        await until(lambda: len(keycloak.events("REVOKE_GRANT", client="shop")) == revoked + 1)
        login = keycloak.events("CODE_TO_TOKEN", client="shop")[-1]
        assert login["details"]["client_auth_method"] == "client-jwt"


@pytest.mark.requirement("R-044")
async def test_pushed_authorization_requests(valkey: ValkeyServer, keycloak: Keycloak) -> None:
    """A client that must push does: the browser carries `client_id` and `request_uri`, and nothing else."""

    def pushes(client: dict[str, Any], gateway: str) -> dict[str, Any]:
        attributes = {**client["attributes"], "require.pushed.authorization.requests": "true"}
        return {**client, "attributes": attributes}

    async with at(valkey, keycloak, registered=pushes, corp={"par": "required"}) as world:
        await signed_in(world, keycloak)
        asked = next(url for url in world.browser.visited if "/protocol/openid-connect/auth?" in url)
        assert set(parse_qs(urlsplit(asked).query)) == {"client_id", "request_uri"}
        assert (await world.claims())["azp"] == "shop"


@pytest.mark.requirement("R-159", "R-160", "R-161")
async def test_dpop(valkey: ValkeyServer, keycloak: Keycloak) -> None:
    """Access and refresh tokens are bound to one key of the session, at each refresh; the API takes no bearer."""

    def bound(client: dict[str, Any], gateway: str) -> dict[str, Any]:
        changed = short_lived(client, gateway)
        return {**changed, "attributes": {**changed["attributes"], "dpop.bound.access.tokens": "true"}}

    def behind(url: str, api: Any) -> DpopApi:
        return DpopApi(url=url, behind=api.app, nonce="api-nonce-1")

    async with at(valkey, keycloak, registered=bound, corp={"dpop": "on"}, behind=behind) as world:
        await signed_in(world, keycloak)
        await renewed(world, times=2)
        claims = await world.claims()
        assert set(world.api.keys) == {claims["cnf"]["jkt"]}
        assert set(world.api.refused) <= {"use_dpop_nonce"}


async def test_fapi_2_0(valkey: ValkeyServer, keycloak: Keycloak) -> None:
    """The documented configuration whole: private_key_jwt, PAR, DPoP and `iss`, renewed while calls flow."""
    required = {"dpop_bound_access_tokens": "true", "require_pushed_authorization_requests": "true"}

    def registered(client: dict[str, Any], gateway: str) -> dict[str, Any]:
        signing = {"token_endpoint_auth_signing_alg": "ES256", "id_token_signed_response_alg": "PS256"}
        return short_lived(with_key(**required, **signing)(client, gateway), gateway)

    async with at(
        valkey,
        keycloak,
        registered=registered,
        corp={**BY_KEY, "par": "required", "dpop": "on", "id_token_algorithms": ["PS256", "ES256", "EdDSA"]},
        behind=lambda url, api: DpopApi(url=url, behind=api.app),
        files={"client-key": KEYS["ES256"]()},
    ) as world:
        await signed_in(world, keycloak)
        await renewed(world, times=2)
        assert "iss=" in next(url for url in world.browser.visited if "/bff/callback/corp?" in url)


async def test_the_configuration_is_found_to_be_right_online(valkey: ValkeyServer, keycloak: Keycloak) -> None:
    """`bff check --online` is content with store, metadata, keys, redirect URI and client authentication."""
    async with at(valkey, keycloak) as world:
        checked = await asyncio.to_thread(world.gateway.check_online)
        assert checked.returncode == 0, checked.stdout


@pytest.mark.requirement("R-170")
async def test_a_secret_that_is_not_in_force_yet_troubles_nobody(valkey: ValkeyServer, keycloak: Keycloak) -> None:
    """With two secrets, of which Keycloak knows the second, sign-in, calls and refreshes go on; it says `unauthorized_client`."""
    both = {"client_secrets": [{"file": "next"}, {"file": "secret"}]}
    files = {"next": "the-next-secret-of-the-shop"}
    async with at(valkey, keycloak, registered=short_lived, corp=both, files=files) as world:
        await signed_in(world, keycloak)
        assert len(await renewed(world, times=2)) == 3
        switched = world.gateway.events("provider.secret_switched")
        assert [event["position"] for event in switched] == [1]
