"""Under what names things lie in the server. No name tells a reader of a dump anything.

The keys of sessions and transactions are hashes of random secrets already, and nobody can guess those. Who is signed
in can be guessed: so the names of indexes are keyed (`Sealer.names`), and a dump does not even confirm a guess. An
index is written under the first key only, like a record, and asked for under every key.
"""

import hashlib

from bff.sessions.model import Session

SESSION = b"bff:s:"
TRANSACTION = b"bff:t:"
INDEX = b"bff:i:"
LEASE = b"bff:l:"
DONE = b"bff:d:"


def session_name(key: str) -> bytes:
    """Where the session of this key lies."""
    return SESSION + key.encode()


def binding(key: str, version: int | str) -> bytes:
    """What the record of a session is bound to (invariant 9)."""
    return session_name(key) + f":{version}".encode()


def transaction_name(key: str) -> bytes:
    """Where the login transaction of this key lies."""
    return TRANSACTION + key.encode()


def lease_name(name: str) -> bytes:
    """Where the holder of a lease is written."""
    return LEASE + _hash(name)


def done_name(name: str) -> bytes:
    """Where it is written that something is done."""
    return DONE + _hash(name)


def index(issuer: str, *, subject: str | None = None, sid: str | None = None) -> bytes:
    """What an index is of: one user of an issuer, or one `sid`; to be keyed before anybody sees it."""
    kind, value = ("subject", subject) if sid is None else ("sid", sid)
    return f"{kind}\0{issuer}\0{value}".encode()


def indexes(session: Session) -> set[bytes]:
    """The indexes in which this session belongs."""
    subjects = {index(grant.issuer, subject=grant.subject) for grant in session.grants if grant.subject is not None}
    return subjects | {index(grant.issuer, sid=grant.sid) for grant in session.grants if grant.sid is not None}


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).hexdigest().encode()
