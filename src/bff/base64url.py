"""Base64url without padding, as all of JOSE, PKCE and DPoP write bytes (RFC 7515 section 2)."""

from base64 import urlsafe_b64encode


def base64url(data: bytes) -> str:
    """The text of these bytes."""
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
