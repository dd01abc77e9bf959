"""Proof Key for Code Exchange (RFC 7636), S256 only: `plain` proves nothing once the authorization request was seen."""

import hashlib
from base64 import urlsafe_b64encode

CODE_CHALLENGE_METHOD = "S256"


def code_challenge(verifier: str) -> str:
    """BASE64URL(SHA256(ASCII(verifier))) without padding (section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
