"""The one seam of this package: what every session store does. `memory.py` and `redis/store.py` pass the same
contract suite.

Rules that every store keeps:

- "Not found" is None or False; "cannot ask" is `StoreUnavailable`. They are never mixed up (invariant 7).
- `replace` succeeds only if the session still exists at the version that was read (invariant 6).
- Reading with `touch` moves the idle deadline, never past the absolute one; nothing else moves it.
- Every change is published with the write, so that local copies and open streams learn of it.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from bff.config.values.secrets import Secret
from bff.sessions.model import LiveSession, Session

USES_KEPT_SECONDS = 30 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A session changed (`ended=False`) or is gone (`ended=True`), here or in another worker."""

    key: str
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A refresh token that is about to be sent to its provider: from now on it may be spent (R-341).

    It binds others until it is dropped, or for `binds_seconds`.
    """

    provider: str
    token_hash: str
    binds_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Another process marked this refresh token so many seconds ago, and its answer is not stored yet."""

    by: str
    age_seconds: float


class Begun(Enum):
    """Whether a renewal may begin."""

    YES = "yes"
    BUSY = "busy"  # another holds the lease


class MarkEnd(Enum):
    """What becomes of a mark when its renewal ends."""

    DROP = "drop"  # the answer is stored, or there was none that spent the token
    KEEP = "keep"  # the answer is here and not stored yet, or we stop before it came


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An entry of the store. `live` is None if it cannot be opened: sealed under a key that is not ours, moved, or broken."""

    key: str
    live: LiveSession | None


class ChangeListener(Protocol):
    """Receives changes. Called on the event loop; must not block or raise."""

    def session_changed(self, change: Change) -> None:
        """One session changed or ended."""
        ...

    def changes_interrupted(self) -> None:
        """Changes may be missed from now on: forget every copy, and make none until `changes_resumed`."""
        ...

    def changes_resumed(self) -> None:
        """Changes arrive again."""
        ...


MessageListener = Callable[[str], None]  # called on the event loop; must not block or raise


def ignored(text: str) -> None:
    """Where no messages of other processes are wanted."""
    del text


class SessionStore(Protocol):
    """Sessions, leases, and what is done. Every method may raise `StoreUnavailable`."""

    async def open(self, listener: ChangeListener, *, on_message: MessageListener = ignored) -> None:
        """Start the subscription to changes. Call once, on the running loop. `on_message` gets what any process tells (`tell`).

        Does not wait for the store, which may become reachable later.
        """
        ...

    async def close(self) -> None:
        """Close every connection and end every task."""
        ...

    def change_settings(self, *, idle_timeout_seconds: float, sealing_keys: Sequence[Secret]) -> None:
        """Use these from the next command on. What the newest of the keys did not seal, any of them opens."""
        ...

    async def ping(self) -> None:
        """Return if the store answers."""
        ...

    async def tell(self, text: str) -> None:
        """Send a message, which holds no secret, to every process that is connected now, this one included. It is not kept."""
        ...

    async def create(self, session: Session, *, now: float) -> Session:
        """Keep a new session and its index entries; returns it at version 1. Its key must be new."""
        ...

    async def read(self, key: str, *, touch: bool, now: float) -> LiveSession | None:
        """The session of this key, if it lives at `now`. `touch` extends its idle deadline in the same step."""
        ...

    async def replace(self, session: Session, *, now: float) -> Session | None:
        """Write `session` if the stored one still has `session.version`; returns it at its new version, else None.

        The idle deadline stays where it was: a refresh in the background keeps no session alive.
        """
        ...

    async def delete(self, key: str) -> bool:
        """End a session; False if there was none."""
        ...

    async def find(self, *, issuer: str, subject: str | None = None, sid: str | None = None) -> list[str]:
        """The keys of the sessions whose users, former ones too, have this subject or `sid` at `issuer` (exactly one is given)."""
        ...

    def survey(self, *, now: float, key_prefix: str = "") -> AsyncIterator[list[Found]]:
        """Every session whose key begins with this text, in portions; one may come twice. Extends no deadline, and keeps no other
        caller waiting."""
        ...

    async def note_use(self, owner: str, digest: str, *, by: str, age_seconds: float) -> None:
        """Note that this process used the secret with this digest so long ago; a use before the noted one changes nothing.

        What was not noted for `USES_KEPT_SECONDS` is forgotten.
        """
        ...

    async def uses(self, owner: str, digest: str) -> dict[str, float]:
        """When the secret was last used, by process."""
        ...

    async def shared_instant(self, instant: float) -> float:
        """This instant of our clock by the clock that all processes share: for what one process notes and another compares."""
        ...

    async def take_lease(self, name: str, holder: str, *, lifetime_seconds: float) -> bool:
        """Become the holder of the lease, or extend it if we are; False while another holder has it."""
        ...

    async def begin_renewal(
        self, name: str, holder: str, *, lifetime_seconds: float, mark: Mark, mark_lifetime_seconds: float
    ) -> Begun | Spent:
        """Take the lease and mark the refresh token as being used, in one step; nothing is changed unless it is `Begun.YES`.

        The mark outlives the lease. A mark of `holder` itself binds others only.
        """
        ...

    async def end_renewal(self, name: str, holder: str, *, provider: str, mark: MarkEnd | float) -> None:
        """Give the lease back, if it is ours. `mark`: what becomes of ours; a number: it binds others for so many seconds more."""
        ...

    async def drop_lease(self, name: str, holder: str) -> None:
        """Give the lease back, if it is still ours."""
        ...

    async def remember(self, name: str, *, value: str = "", lifetime_seconds: float, now: float) -> None:
        """Mark something as done, for all workers; a later `value` takes the place of an earlier one."""
        ...

    async def remember_first(self, name: str, *, lifetime_seconds: float, now: float) -> bool:
        """Mark something as done; of any number of callers in all workers, one gets True."""
        ...

    async def remembers(self, name: str, *, now: float) -> bool:
        """Whether the mark is there and has not expired."""
        ...

    async def recall(self, name: str, *, now: float) -> str | None:
        """The value of the mark; None if there is no mark."""
        ...
