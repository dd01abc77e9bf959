"""Keys for tests: those that joserfc warns of, for what refuses them, and keys as a JWK."""

import json
import warnings

from joserfc.jwk import ECKey, RSAKey


def small_rsa() -> RSAKey:
    """An RSA key of 1024 bits."""
    with warnings.catch_warnings(action="ignore"):
        return RSAKey.generate_key(1024)


def private_jwk() -> str:
    """A new key for ES256 as the text of a private JWK."""
    return json.dumps(ECKey.generate_key("P-256").as_dict(private=True))
