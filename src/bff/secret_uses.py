"""When this process last used each of its secrets, so that an operator sees that an old one stands still before it is revoked.

A use is noted in memory, where the secret is used; `sessions/secret_notes.py` carries it to the store from time to time. A secret is
known by a digest and never by its value.

    session key          opened or sealed a record in the store, or verified or signed a session cookie
    client secret, key   the provider took it: it answered anything but `invalid_client`; a client key also when it signs a request
    client assertion     the provider took it; one of a workload changes within hours, and is known by the file's present text
    client certificate   was shown in TLS to a provider that answered, or to an upstream with which TLS was agreed on

What is not counted signs no user out when the key is gone: sign-ins under way, and login cookies, which last for minutes.
"""

import asyncio
import hashlib
from collections.abc import Container, Iterator
from dataclasses import dataclass

from bff.clock import Clock

SESSION = "session"  # the owner of session keys
ROUTES = "routes"  # the owner of certificates that upstreams are shown; all other owners are providers
CLIENT_CERTIFICATE = "client_certificate"
PROXY_CREDENTIALS = "proxy_credentials"
FINGERPRINT_DIGITS = 8
_LABEL = b"bff secret fingerprint\0"


def digest(value: str) -> str:
    """By what a secret is known: a hash with a label of its own, so that it equals no other hash of the same value."""
    return hashlib.sha256(_LABEL + value.strip().encode()).hexdigest()


def fingerprint(value: str) -> str:
    """What people compare: the beginning of the digest."""
    return digest(value)[:FINGERPRINT_DIGITS]


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretUse:
    """When a secret was last used here, and at which place of the configuration."""

    owner: str
    position: str  # as the configuration names it: `client_secrets[0]`
    digest: str
    at: float


class SecretUses:
    """The uses of one process. `news` is set when a secret is used for the first time."""

    def __init__(self, *, clock: Clock) -> None:
        self.news = asyncio.Event()
        self._clock = clock
        self._used_at: dict[tuple[str, str, str], float] = {}

    def note(self, owner: str, position: str, secret: str) -> None:
        """The secret with this digest is used now. Called for each record that is opened: a dictionary is all that it may cost."""
        used = (owner, position, secret)
        if used not in self._used_at:
            self.news.set()
        self._used_at[used] = self._clock()

    def note_shown(self, certificate: str) -> None:
        """This certificate was shown to an upstream."""
        self.note(ROUTES, CLIENT_CERTIFICATE, digest(certificate))

    def all(self) -> Iterator[SecretUse]:
        """Every use that is known."""
        for (owner, position, secret), at in list(self._used_at.items()):
            yield SecretUse(owner=owner, position=position, digest=secret, at=at)

    def keep(self, places: Container[tuple[str, str]]) -> None:
        """Forget the uses of secrets at other places than these, each its owner and position: nothing uses them any more."""
        self._used_at = {used: at for used, at in self._used_at.items() if used[:2] in places}

    def forget(self, use: SecretUse) -> None:
        """Drop a use that is long past and written down."""
        self._used_at.pop((use.owner, use.position, use.digest), None)
