"""The demo provider's keys: sign and publish."""

from typing import cast

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey


class TokenError(Exception):
    """A JWT that this provider did not sign, or not in this form."""


def new_key(kid: str | None = None) -> RSAKey:
    """An RSA key for RS256; 2048 bits, the least that clients accept. Its `kid` is its thumbprint (RFC 7638).

    A name that counts would name another key after a restart, and clients that cached the old one would refuse ours.
    """
    key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, private=True)
    parameters = {**key.as_dict(private=True), "kid": kid or key.thumbprint()}
    return RSAKey.import_key(parameters)


def sign(key: RSAKey, *, header: dict[str, object], claims: dict[str, object]) -> str:
    """A JWS in compact form; `header` is completed with `alg` and `kid` unless it has them."""
    return jwt.encode({"alg": "RS256", "kid": key.kid, **header}, claims, key, default_type=None)


class SigningKeys:
    """The keys in use, newest first: that one signs. A start of the provider makes one, unless one is given; it is never rotated."""

    def __init__(self, key: RSAKey | None = None) -> None:
        self._keys = [key or new_key()]

    @property
    def current(self) -> RSAKey:
        """The key that signs."""
        return self._keys[0]

    def published(self) -> dict[str, object]:
        """The JWK Set (RFC 7517 section 5): public halves only."""
        return {"keys": [key.as_dict(private=False) for key in self._keys]}

    def verify(self, token: str, *, typ: str) -> dict[str, object]:
        """The claims of a token that we signed ourselves; expiry is the caller's to judge.

        Raises:
            TokenError: not ours, or of another type.
        """
        try:
            decoded = jwt.decode(token, KeySet(list(self._keys)), algorithms=["RS256"])
        except (JoseError, ValueError) as error:
            raise TokenError("signature") from error
        if decoded.header.get("typ") != typ:
            raise TokenError("typ")
        return cast("dict[str, object]", decoded.claims)
