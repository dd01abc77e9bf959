"""The OpenID Foundation's tests of relying parties, as rows: each module of its basic, form-post, configuration and refresh-token
plans that a fake provider can play, by the module's name, with what the profile wants of us.

`oidcc-client-test-` is left out of the names. The logout plans are rows of `test_logout_profiles.py`, FAPI's of
`test_fapi_profile.py`.
"""

from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from support.fake_provider import Answer, having, without
from support.gateway_world import GatewayWorld, gateway_world
from support.id_token_edits import EC, OTHER_RSA, RSA, broken, published, signed, unsigned

ACCEPTED: dict[str, dict[str, Any]] = {
    "happy path": {},
    "kid-absent-single-jwks": {"jwks": published(RSA, kid=False), "id_token": signed(RSA, "RS256", kid=False)},
    "kid-absent-multiple-jwks": {
        "jwks": published(OTHER_RSA, RSA, kid=False),
        "id_token": signed(RSA, "RS256", kid=False),
    },
    "idtoken-sig-rs256": {"jwks": published(RSA), "id_token": signed(RSA, "RS256")},
    "idtoken-sig-es256": {"jwks": published(RSA, EC), "id_token": signed(EC, "ES256")},
    "idtoken-sig-ps256": {"jwks": published(RSA), "id_token": signed(RSA, "PS256")},
    "missing-athash": {"id_token_claims": without("at_hash")},
    "ignores-unparseable-key-in-jwks, post-quantum": {
        "jwks": published(RSA, kty="AKP", alg="ML-DSA-99", pub="AAAA", kid="pq"),
        "id_token": signed(RSA, "RS256"),
    },
    "ignores-unparseable-key-in-jwks, invented": {
        "jwks": published(RSA, kty="made-up", kid="rsa"),
        "id_token": signed(RSA, "RS256"),
    },
    "aggregated-claims": {"id_token_claims": having(_claim_names={"a": "src"}, _claim_sources={"src": {"JWT": "x"}})},
    "distributed-claims": {"userinfo": having(_claim_names={"a": "src"}, _claim_sources={"src": {"endpoint": "x"}})},
    "aud is a list of us": {"id_token_claims": having(aud=["shop"])},
    "unknown members of the token response": {"token_answer": having(foo={"bar": 1}, scope=["a"])},
}
REFUSED: dict[str, dict[str, Any]] = {
    "invalid-iss": {"id_token_claims": having(iss="https://other.example/")},
    "missing-iss": {"id_token_claims": without("iss")},
    "missing-sub": {"id_token_claims": without("sub")},
    "invalid-aud": {"id_token_claims": having(aud="another-client")},
    "missing-aud": {"id_token_claims": without("aud")},
    "missing-iat": {"id_token_claims": without("iat")},
    "missing-exp": {"id_token_claims": without("exp")},
    "nonce-invalid": {"id_token_claims": having(nonce="another")},
    "nonce missing": {"id_token_claims": without("nonce")},
    "invalid-athash": {"id_token_claims": having(at_hash="AAAAAAAAAAAAAAAAAAAAAA")},
    "idtoken-sig-none": {"id_token": unsigned},
    "invalid-sig-rs256": {"id_token": broken},
    "invalid-sig-rs256, another key in its name": {
        "jwks": published(RSA),
        "id_token": signed(RSA, "RS256", by=OTHER_RSA),
    },
    "invalid-sig-es256": {
        "jwks": published(EC),
        "id_token": signed(EC, "ES256", by=ECKey.generate_key("P-256", {"kid": "ec"})),
    },
    "kid-absent-multiple-jwks, none of them": {
        "jwks": published(OTHER_RSA, kid=False),
        "id_token": signed(RSA, "RS256", kid=False),
    },
    "invalid-sig-hs256": {"id_token_signature": "hs256_public_pem"},
    "userinfo-invalid-sub": {"userinfo": having(sub="another user")},
    "userinfo without sub": {"userinfo": without("sub")},
    "no ID token": {"token_answer": without("id_token")},
    "userinfo is a list": {"answers": {"/userinfo": Answer(body=b"[]")}},
}
SETTINGS = {"userinfo": True, "id_token_algorithms": ["RS256", "PS256", "ES256"]}


async def signs_in(world: GatewayWorld, habits: dict[str, Any]) -> bool:
    """Whether alice is signed in after a sign-in at a provider with these habits."""
    world.corp.misbehave(**habits)
    browser = await world.signed_in()
    return bool((await browser.fetch("/bff/user")).json()["authenticated"])


@pytest.mark.requirement("R-098", "R-109", "R-112", "R-082")
@pytest.mark.parametrize("habits", ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_what_the_profile_has_us_accept(habits: dict[str, Any]) -> None:
    """The sign-in works: the provider keeps the rules, in its own way."""
    async with gateway_world(corp=SETTINGS) as world:
        assert await signs_in(world, habits) is True
        (asked,) = world.corp.calls_to("/userinfo")
        assert dict(asked.headers)["authorization"].startswith("Bearer ")  # never in the query (RFC 6750 section 2.3)
        assert not asked.query


@pytest.mark.requirement("R-095", "R-096", "R-100", "R-101", "R-102", "R-104", "R-105", "R-108", "R-124")
@pytest.mark.parametrize("habits", REFUSED.values(), ids=REFUSED.keys())
async def test_what_the_profile_has_us_refuse(habits: dict[str, Any]) -> None:
    """Nobody is signed in, no API sees the token, and an ID token that is refused leaves UserInfo unasked."""
    async with gateway_world(corp=SETTINGS) as world:
        assert await signs_in(world, habits) is False
        assert not world.upstream.seen
        if not {"userinfo", "answers"} & set(habits):
            assert not world.corp.calls_to("/userinfo")


REFUSED_AT_A_REFRESH: dict[str, Any] = {
    "refresh-token-invalid-issuer": having(iss="https://other.example/"),
    "refresh-token-invalid-sub": having(sub="another user"),
    "refresh-token-invalid-aud": having(aud="another-client"),
    "refresh-token-invalid-azp": having(aud=["shop", "orders"], azp="orders"),
}


@pytest.mark.requirement("R-137")
@pytest.mark.parametrize("edit", REFUSED_AT_A_REFRESH.values(), ids=REFUSED_AT_A_REFRESH.keys())
async def test_what_the_profile_has_us_refuse_at_a_refresh(edit: Any) -> None:
    """The session ends, and no API sees the new access token."""
    async with gateway_world(corp=SETTINGS) as world:
        browser = await world.signed_in()
        world.corp.misbehave(refreshed_id_token_claims=edit)
        world.clock.now += 601
        assert (await browser.fetch("/api/orders")).status_code == 401
        assert len(world.token_calls("refresh_token")) == 1
        assert not world.upstream.seen


@pytest.mark.requirement("R-137")
async def test_refresh_token() -> None:
    """`refresh-token`: the refresh brings a new ID token without nonce, and calls go on with the new access token."""
    async with gateway_world(corp=SETTINGS) as world:
        browser = await world.signed_in()
        assert (await browser.fetch("/api/orders")).status_code == 200
        world.corp.misbehave(refreshed_id_token_claims=without("nonce"))
        world.clock.now += 601
        assert (await browser.fetch("/api/orders")).status_code == 200
        first, second = (seen.bearer for seen in world.upstream.seen)
        assert first != second


@pytest.mark.requirement("R-120", "R-330")
async def test_discovery_issuer_mismatch() -> None:
    """`discovery-issuer-mismatch`: the browser is not sent to a provider whose metadata names another issuer."""
    async with gateway_world(corp=SETTINGS) as world:
        world.corp.misbehave(metadata=having(issuer="https://other.example/"))
        refused = await (await world.browser()).open_once("/bff/login?provider=corp", from_url=world.url + "/")
        assert refused.status_code == 502
        assert world.corp.calls_to("/authorize") == []


@pytest.mark.requirement("R-333")
async def test_signing_key_rotation() -> None:
    """`signing-key-rotation` and `-just-before-signing`: each ID token under a new key, with nothing else published."""
    async with gateway_world(corp=SETTINGS) as world:
        for number in range(3):
            key = RSAKey.generate_key(2048, {"kid": f"key-{number}"})
            assert await signs_in(world, {"jwks": published(key), "id_token": signed(key, "RS256")}) is True


@pytest.mark.requirement("R-071")
async def test_client_secret_basic() -> None:
    """`client-secret-basic`: our id and secret arrive as they are registered, in the Authorization field alone."""
    async with gateway_world(corp={**SETTINGS, "client_auth": "client_secret_basic"}) as world:
        assert await signs_in(world, {}) is True
        (call,) = world.token_calls("authorization_code")
        assert dict(call.headers)["authorization"].startswith("Basic ")
        assert "client_secret" not in dict(call.form)


@pytest.mark.requirement("R-332")
async def test_form_post_error() -> None:
    """`form-post-error`: asked with max_age=0 and prompt=none; an error that is posted ends in a page, not in a loop."""
    params = {"response_mode": "form_post", "max_age": "0s", "authorization_params": {"prompt": "none"}}
    async with gateway_world(corp={**SETTINGS, **params}) as world:
        browser = await world.browser()
        begun = await browser.open_once("/bff/login?provider=corp", from_url=world.url + "/")
        assert "max_age=0" in begun.headers["location"]
        assert "prompt=none" in begun.headers["location"]
        state = begun.headers["location"].partition("state=")[2].partition("&")[0]
        form = {"state": state, "error": "login_required", "iss": world.corp.issuer}
        page = await browser.navigate("/bff/callback/corp", method="POST", form=form, from_url=world.corp.issuer)
        assert page.status_code == 400


@pytest.mark.requirement("R-314")
async def test_third_party_initiated_login() -> None:
    """`3rd-party-init-login`: a link to `/login` with nothing but `iss` begins a sign-in there."""
    async with gateway_world(corp=SETTINGS) as world:
        browser = await world.browser()
        world.corp.sign_in_as = "alice"
        page = await browser.navigate(f"/bff/login?iss={world.corp.issuer}", from_url="https://third.example/")
        assert page.status_code == 200
        assert (await browser.fetch("/bff/user")).json()["authenticated"] is True
