"""FAPI 2.0 Security Profile, as rows: each module of the OpenID Foundation's client plan that a fake provider can play, by its name.

`fapi2-security-profile-final-client-test-` is left out of the names. Pushed requests, `private_key_jwt` and nonces of the provider are
walked through at npm `oidc-provider` (`tests/node`) and at Keycloak (`tests/providers`). Modules of signed responses (JARM) and grant
management test what the gateway does not have.
"""

from typing import Any

import pytest

from support.dpop_world import DpopWorld, dpop_world
from support.fake_provider import having, with_parameters, without, without_parameters
from support.id_token_edits import EC, RSA, published, signed, unsigned

SIGNED: dict[str, Any] = {"jwks": published(EC, RSA), "id_token": signed(EC, "ES256")}
SETTINGS: dict[str, Any] = {"id_token_algorithms": ["PS256", "ES256", "EdDSA"]}

ACCEPTED: dict[str, dict[str, Any]] = {
    "happy-path": {},
    "valid-aud-as-array": {"id_token_claims": having(aud=["shop"])},
    "token-endpoint-response-without-expires_in": {"token_answer": without("expires_in")},
    "token-type-case-insensitivity": {"token_answer": having(token_type="dPoP")},
}
REFUSED_RESPONSES: dict[str, Any] = {
    "invalid-authorization-response-iss": with_parameters(iss="https://other.example/"),
    "remove-authorization-response-iss": without_parameters("iss"),
    "ensure-authorization-response-with-invalid-state-fails": with_parameters(state="another"),
    "ensure-authorization-response-with-invalid-missing-state-fails": without_parameters("state"),
}
REFUSED_ID_TOKENS: dict[str, dict[str, Any]] = {
    "invalid-iss": {"id_token_claims": having(iss="https://other.example/")},
    "invalid-aud": {"id_token_claims": having(aud="another-client")},
    "invalid-secondary-aud": {"id_token_claims": having(aud=["shop", "another-client"])},
    "invalid-null-alg": {"id_token": unsigned},
    "invalid-alternate-alg": {"id_token": signed(RSA, "RS256")},
    "invalid-expired-exp": {"id_token_claims": having(exp=1_700_000_000)},
    "invalid-missing-exp": {"id_token_claims": without("exp")},
    "invalid-missing-aud": {"id_token_claims": without("aud")},
    "invalid-missing-iss": {"id_token_claims": without("iss")},
    "invalid-nonce": {"id_token_claims": having(nonce="another")},
    "invalid-missing-nonce": {"id_token_claims": without("nonce")},
}


async def call(world: DpopWorld) -> int:
    """The status of a call after a sign-in."""
    browser = await world.gateway.signed_in()
    return (await browser.fetch("/api/orders")).status_code


@pytest.mark.requirement("R-090", "R-159", "R-161")
@pytest.mark.parametrize("habits", ACCEPTED.values(), ids=ACCEPTED.keys())
async def test_what_the_profile_has_us_accept(habits: dict[str, Any]) -> None:
    """The sign-in works, and the API gets a token that is bound to a key."""
    async with dpop_world(**SETTINGS) as world:
        world.gateway.corp.misbehave(**{**SIGNED, **habits})
        assert await call(world) == 200
        assert len(world.api.keys) == 1


@pytest.mark.requirement("R-160")
@pytest.mark.parametrize("nonce", [None, "n-1"], ids=["happy-path-no-dpop-nonce", "nonce"])
@pytest.mark.parametrize("scheme", ["DPoP", "dpop", "dPoP"])
async def test_rs_dpop_auth_scheme_case_insensitivity(scheme: str, nonce: str | None) -> None:
    """`rs-dpop-auth-scheme-case-insensitivity`: the API's demand for a nonce is understood however it spells the scheme."""
    async with dpop_world(**SETTINGS) as world:
        world.gateway.corp.misbehave(**SIGNED)
        world.api.nonce, world.api.scheme = nonce, scheme
        assert await call(world) == 200
        assert world.api.refused == ([] if nonce is None else ["use_dpop_nonce"])


@pytest.mark.requirement("R-050", "R-052", "R-053")
@pytest.mark.parametrize("edit", REFUSED_RESPONSES.values(), ids=REFUSED_RESPONSES.keys())
async def test_what_the_profile_has_us_refuse_before_the_code_is_used(edit: Any) -> None:
    """Nobody is signed in, and the token endpoint is not asked."""
    async with dpop_world(**SETTINGS) as world:
        world.gateway.corp.misbehave(**SIGNED, authorization_response=edit)
        assert await call(world) == 401
        assert not world.gateway.corp.calls_to("/token")


@pytest.mark.requirement("R-095", "R-096", "R-100", "R-101", "R-102", "R-104", "R-105", "R-108")
@pytest.mark.parametrize("habits", REFUSED_ID_TOKENS.values(), ids=REFUSED_ID_TOKENS.keys())
async def test_what_the_profile_has_us_refuse_in_an_id_token(habits: dict[str, Any]) -> None:
    """Nobody is signed in, and neither UserInfo nor the API is called with the access token."""
    async with dpop_world(**SETTINGS, userinfo=True) as world:
        world.gateway.corp.misbehave(**{**SIGNED, **habits})
        assert await call(world) == 401
        assert len(world.gateway.corp.calls_to("/token")) == 1
        assert not world.gateway.corp.calls_to("/userinfo")
        assert not world.behind.seen
