"""Edits of a fake provider's ID tokens and keys: signed by whom, under which header, with what published."""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Any

from joserfc.jwk import ECKey, Key, RSAKey

from support.signed_jwts import compact

EC, RSA, OTHER_RSA = (
    ECKey.generate_key("P-256", {"kid": "ec"}),
    RSAKey.generate_key(2048, {"kid": "rsa"}),
    RSAKey.generate_key(2048, {"kid": "other"}),
)


def claims_of(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified."""
    segment = token.split(".")[1]
    return dict(json.loads(urlsafe_b64decode(segment + "=" * (-len(segment) % 4))))


def signed(key: Key, alg: str, *, kid: bool = True, by: Key | None = None) -> Callable[[str], str]:
    """An edit of the ID token: signed by `by` in the name of `key`."""
    header = {"alg": alg, **({"kid": key.kid} if kid else {})}
    return lambda token: compact(header, claims_of(token), key=by or key, alg=alg)


def published(*keys: Key, kid: bool = True, **more: Any) -> Callable[[Any], Any]:
    """An edit of the JWKS: these public keys, `more` members of an unusable one in front."""
    jwks = [key.as_dict(private=False) for key in keys]
    if not kid:
        jwks = [{name: value for name, value in jwk.items() if name != "kid"} for jwk in jwks]
    return lambda _: {"keys": [*([more] if more else []), *jwks]}


def broken(token: str) -> str:
    """The token with another signature."""
    head, payload, _ = token.split(".")
    return f"{head}.{payload}.{urlsafe_b64encode(b'x' * 256).rstrip(b'=').decode()}"


def unsigned(token: str) -> str:
    """The token under `alg: none`."""
    header = urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode()
    return f"{header}.{token.split('.')[1]}."
