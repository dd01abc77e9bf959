"""The names of entries in Redis. A dump of the server reveals nothing by them.

Every name begins with the gateway's namespace, and records are bound to their names: several gateways on one server do not see each
other's sessions, also if they share session keys (R-307).

The keys of sessions are hashes of random secrets, which cannot be guessed. The subject of a session
can be guessed: so the names of indexes are keyed hashes (`Sealer.names`), and a dump cannot confirm a guess. An index
is written under the first sealing key only, like a record, and looked up under every sealing key.
"""

import hashlib

from bff.sessions.model import Session


class Names:
    """The names below one namespace, which holds no colon: no namespace is the beginning of another one's names."""

    def __init__(self, namespace: str) -> None:
        prefix = namespace.encode("ascii")
        self.channel = prefix + b":changed"
        self.sessions = prefix + b":s:"
        self._indexes = prefix + b":i:"
        self._leases = prefix + b":l:"
        self._done = prefix + b":d:"
        self._uses = prefix + b":u:"

    def session(self, key: str) -> bytes:
        """The name of the session with this key."""
        return self.sessions + key.encode()

    def binding(self, key: str, version: int | str) -> bytes:
        """The text that a session's record is bound to (invariant 9)."""
        return self.session(key) + f":{version}".encode()

    def key_of(self, session: bytes) -> str:
        """The key of the session with this name."""
        return session[len(self.sessions) :].decode(errors="replace")

    def index(self, hashed: bytes) -> bytes:
        """The name of the index whose plain text has this keyed hash."""
        return self._indexes + hashed

    def uses(self, hashed: bytes) -> bytes:
        """The name of the entry with the uses of the secret whose plain text has this keyed hash."""
        return self._uses + hashed

    def lease(self, name: str) -> bytes:
        """The name of the entry with the holder of a lease."""
        return self._leases + _hash(name)

    def done(self, name: str) -> bytes:
        """The name of the entry that marks something as done."""
        return self._done + _hash(name)


def used_secret(owner: str, digest: str) -> bytes:
    """The plain text that identifies a secret whose uses are noted. Hash it with a key before use as a name."""
    return f"secret\0{owner}\0{digest}".encode()


def mark_field(provider: str) -> str:
    """The field of a lease with the mark of this provider's refresh token."""
    return "spent:" + provider


def index(issuer: str, *, subject: str | None = None, sid: str | None = None) -> bytes:
    """The plain text that identifies an index: one user of an issuer, or one `sid`. Hash it with a key before use as a name."""
    kind, value = ("subject", subject) if sid is None else ("sid", sid)
    return f"{kind}\0{issuer}\0{value}".encode()


def indexes(session: Session) -> set[bytes]:
    """The indexes that this session belongs to."""
    subjects = {index(user.issuer, subject=user.subject) for user in session.users if user.subject is not None}
    return subjects | {index(user.issuer, sid=user.sid) for user in session.users if user.sid is not None}


def _hash(name: str) -> bytes:
    return hashlib.sha256(name.encode()).hexdigest().encode()
