"""Keys that joserfc warns of, for tests of what refuses them."""

import warnings

from joserfc.jwk import RSAKey


def small_rsa() -> RSAKey:
    """An RSA key of 1024 bits."""
    with warnings.catch_warnings(action="ignore"):
        return RSAKey.generate_key(1024)
