"""Proof Key for Code Exchange (RFC 7636), S256 only: `plain` proves nothing once the authorization request was seen."""

import hashlib

from bff.base64url import base64url

CODE_CHALLENGE_METHOD = "S256"


def code_challenge(verifier: str) -> str:
    """BASE64URL(SHA256(ASCII(verifier))) without padding (section 4.2)."""
    return base64url(hashlib.sha256(verifier.encode("ascii")).digest())
