"""The names of entries in Redis. A dump of the server reveals nothing by them.

The keys of sessions are hashes of random secrets, which cannot be guessed. The subject of a session
can be guessed: so the names of indexes are keyed hashes (`Sealer.names`), and a dump cannot confirm a guess. An index
is written under the first sealing key only, like a record, and looked up under every sealing key.
"""

import hashlib

from bff.sessions.model import Session

SESSION = b"bff:s:"
INDEX = b"bff:i:"
LEASE = b"bff:l:"
DONE = b"bff:d:"


def session_name(key: str) -> bytes:
    """The name of the session with this key."""
    return SESSION + key.encode()


def binding(key: str, version: int | str) -> bytes:
    """The text that a session's record is bound to (invariant 9)."""
    return session_name(key) + f":{version}".encode()


def lease_name(name: str) -> bytes:
    """The name of the entry with the holder of a lease."""
    return LEASE + _hash(name)


def mark_field(provider: str) -> str:
    """The field of a lease with the mark of this provider's refresh token."""
    return "spent:" + provider


def done_name(name: str) -> bytes:
    """The name of the entry that marks something as done."""
    return DONE + _hash(name)


def index(issuer: str, *, subject: str | None = None, sid: str | None = None) -> bytes:
    """The plain text that identifies an index: one user of an issuer, or one `sid`. Hash it with a key before use as a name."""
    kind, value = ("subject", subject) if sid is None else ("sid", sid)
    return f"{kind}\0{issuer}\0{value}".encode()


def indexes(session: Session) -> set[bytes]:
    """The indexes that this session belongs to."""
    subjects = {index(grant.issuer, subject=grant.subject) for grant in session.grants if grant.subject is not None}
    return subjects | {index(grant.issuer, sid=grant.sid) for grant in session.grants if grant.sid is not None}


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).hexdigest().encode()
