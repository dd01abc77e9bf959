"""bff.oauth.request_object: the authorization request as a signed JWT."""

from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import JWKRegistry

from bff import signing_key
from bff.oauth.client_auth import Client
from bff.oauth.request_object import outside_too, signed_request

KEY = signing_key.generate()
CLIENT = Client(provider="corp", client_id="shop", issuer="https://p")
NOW = 1_800_000_000.0
PARAMETERS = (
    ("response_type", "code"),
    ("client_id", "shop"),
    ("scope", "openid"),
    ("state", "the-state"),
    ("max_age", "300"),
)


def signed(*parameters: tuple[str, str]) -> Any:
    """The request object of these parameters, as a provider reads it."""
    sent = dict(signed_request((*PARAMETERS, *parameters), client=CLIENT, key=KEY, alg="ES256", now=NOW))
    assert sent.keys() == {"client_id", "request"}
    return jwt.decode(sent["request"], JWKRegistry.import_key(dict(KEY.public)), algorithms=["ES256"])


def test_every_parameter_is_signed() -> None:
    """RFC 9101 section 4: the parameters are claims, from us, for this provider, for five minutes, under the type of section 10.8."""
    token = signed()
    assert token.header == {"alg": "ES256", "kid": KEY.kid, "typ": "oauth-authz-req+jwt"}
    assert token.claims.pop("jti")
    assert token.claims == {
        "response_type": "code",
        "client_id": "shop",
        "scope": "openid",
        "state": "the-state",
        "max_age": 300,
        "iss": "shop",
        "aud": "https://p",
        "iat": int(NOW),
        "nbf": int(NOW),
        "exp": int(NOW) + 300,
    }


def test_repeated_and_structured_parameters_keep_their_form() -> None:
    """Resources become a list (RFC 8707 section 2), `claims` an object (Core section 6.1)."""
    token = signed(("resource", "https://a"), ("resource", "https://b"), ("claims", '{"userinfo": {"name": null}}'))
    assert token.claims["resource"] == ["https://a", "https://b"]
    assert token.claims["claims"] == {"userinfo": {"name": None}}


@pytest.mark.parametrize("name", ["iss", "aud", "exp", "iat", "nbf", "jti"])
def test_the_operators_parameters_do_not_replace_ours(name: str) -> None:
    """`authorization_params` cannot change whose request it is, for whom and for how long."""
    assert signed((name, "other")).claims[name] != "other"


def test_two_requests_differ() -> None:
    """Each request object has a `jti` of its own."""
    assert signed().claims["jti"] != signed().claims["jti"]


def test_the_browsers_url_names_what_openid_wants_outside() -> None:
    """Core section 6.1: response_type and scope stand beside `request`; RFC 9101 does not read them."""
    assert outside_too(PARAMETERS) == (("response_type", "code"), ("scope", "openid"))
