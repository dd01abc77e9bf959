"""Proof Key for Code Exchange (RFC 7636), S256 only: `plain` proves nothing once the authorization request was seen."""

import hashlib
import secrets
from base64 import urlsafe_b64encode

CODE_CHALLENGE_METHOD = "S256"


def new_code_verifier() -> str:
    """256 random bits in 43 unreserved characters (section 4.1 asks for 43 to 128); one for each request."""
    return secrets.token_urlsafe(32)


def code_challenge(verifier: str) -> str:
    """BASE64URL(SHA256(ASCII(verifier))) without padding (section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
