"""Signed request objects: the authorization request as a JWT that only we can have written (RFC 9101).

Its signature protects every parameter on the way to the provider, also from the browser. It takes the parameters of
`authorization.authorization_parameters` and gives those that are sent in their place.
"""

import json
import secrets

from bff.oauth.client_auth import Client
from bff.oauth.form import Fields
from bff.signing_key import SigningKey

# The browser carries it at once. FAPI 2.0 Message Signing section 5.3.1 allows 60 minutes.
LIFETIME_SECONDS = 300
TYPE = "oauth-authz-req+jwt"  # RFC 9101 section 10.8

# OpenID Connect Core section 6.1 wants these outside as well, RFC 9101 section 5 does not read them there.
_OUTSIDE_TOO = frozenset({"response_type", "scope"})


def signed_request(parameters: Fields, *, client: Client, key: SigningKey, alg: str, now: float) -> Fields:
    """`client_id` and `request`: nothing else may stand beside them in a pushed request (RFC 9126 section 3)."""
    issued_at = int(now)
    # RFC 9101 section 4: "iss" and "aud" as in RFC 7519; section 10.3: the audience keeps it from being used elsewhere.
    claims = {
        **_claims(parameters),
        "iss": client.client_id,
        "aud": client.issuer,
        "iat": issued_at,
        "nbf": issued_at,
        "exp": issued_at + LIFETIME_SECONDS,
        "jti": secrets.token_urlsafe(24),
    }
    header = {"alg": alg, "kid": key.kid, "typ": TYPE}
    return (("client_id", client.client_id), ("request", key.sign(header, claims)))


def outside_too(parameters: Fields) -> Fields:
    """What stands beside `request` in the browser's URL as well, for OpenID Providers."""
    return tuple(pair for pair in parameters if pair[0] in _OUTSIDE_TOO)


def _claims(parameters: Fields) -> dict[str, object]:
    claims: dict[str, object] = {}
    for name, value in parameters:
        if name == "resource":  # RFC 8707 section 2: repeated as a parameter, so a list here
            resources = claims.get(name)
            claims[name] = [*resources, value] if isinstance(resources, list) else [value]
        else:
            claims[name] = _value(name, value)
    return claims


def _value(name: str, value: str) -> object:
    """OpenID Connect Core section 6.1: `max_age` is a number there, and `claims` an object."""
    if name == "max_age":
        return int(value)
    if name != "claims":
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value
