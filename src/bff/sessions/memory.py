"""Sessions in the memory of one process: for a single worker, the demo and tests. They are lost when it ends.

Used on the event loop only, so every method is one step. Instants are arguments (`now`); methods without one (`delete`,
`find`) compare with the last `now`. Each write also checks a few old entries and drops the expired ones, so the memory
is bounded by the live entries plus a fraction.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from bff.clock import Clock, steady
from bff.config.values.secrets import Secret
from bff.sessions.model import LiveSession, Session
from bff.sessions.store import (
    USES_KEPT_SECONDS,
    Begun,
    Change,
    ChangeListener,
    Found,
    Mark,
    MarkEnd,
    MessageListener,
    Spent,
    ignored,
)

SWEPT_PER_WRITE = 4

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry(Generic[T]):
    value: T
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Noted:
    """A mark: which token, by whom, since when, and from when on no process is bound by it."""

    token_hash: str
    by: str
    since: float
    free_at: float | None

    def binds(self, holder: str, token_hash: str, *, now: float) -> bool:
        """Whether it keeps this holder from using this token."""
        return self.token_hash == token_hash and self.by != holder and (self.free_at is None or now < self.free_at)


class _Expiring(Generic[T]):
    """A map whose entries expire. Each `put` checks the next few entries and drops the expired ones."""

    def __init__(self) -> None:
        self._entries: OrderedDict[str, _Entry[T]] = OrderedDict()  # the first is checked next

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, key: str, value: T, *, expires_at: float, now: float) -> None:
        self._sweep(now)
        self._entries[key] = _Entry(value=value, expires_at=expires_at)

    def get(self, key: str, *, now: float) -> _Entry[T] | None:
        entry = self._entries.get(key)
        return entry if entry is not None and now < entry.expires_at else None

    def pop(self, key: str, *, now: float) -> T | None:
        entry = self.get(key, now=now)
        self._entries.pop(key, None)
        return entry.value if entry is not None else None

    def entries(self, *, now: float) -> list[tuple[str, _Entry[T]]]:
        return [(key, entry) for key, entry in self._entries.items() if now < entry.expires_at]

    def _sweep(self, now: float) -> None:
        for _ in range(min(SWEPT_PER_WRITE, len(self._entries))):
            key = next(iter(self._entries))
            if self.get(key, now=now) is None:
                del self._entries[key]
            else:
                self._entries.move_to_end(key)


class MemoryStore:
    """A `SessionStore` for one process. `idle_timeout_seconds` is how long a session lives unused; leases run by `clock`."""

    def __init__(self, *, idle_timeout_seconds: float, clock: Clock = steady) -> None:
        self._idle_timeout_seconds = idle_timeout_seconds
        self._clock = clock
        self._sessions: _Expiring[Session] = _Expiring()
        self._leases: _Expiring[str] = _Expiring()
        self._marks: _Expiring[_Noted] = _Expiring()
        self._done: _Expiring[str] = _Expiring()
        self._uses: _Expiring[dict[str, float]] = _Expiring()
        self._listener: ChangeListener | None = None
        self._on_message: MessageListener = ignored
        self._last_now = 0.0

    @property
    def kept(self) -> int:
        """How many entries are in memory, expired ones too."""
        fleeting = len(self._leases) + len(self._marks) + len(self._done)
        return len(self._sessions) + fleeting

    async def open(self, listener: ChangeListener, *, on_message: MessageListener = ignored) -> None:
        """Call `listener` for every change from now on, and `on_message` for every message."""
        self._on_message = on_message
        self._listener = listener
        listener.changes_resumed()

    async def close(self) -> None:
        """Drop the listener; there is nothing else to close."""
        self._listener = None

    def change_settings(self, *, idle_timeout_seconds: float, sealing_keys: Sequence[Secret]) -> None:
        """Use the timeout from the next call on; nothing is sealed here."""
        self._idle_timeout_seconds = idle_timeout_seconds

    async def ping(self) -> None:
        """Memory always answers."""

    async def tell(self, text: str) -> None:
        """Hand it to the one process that there is."""
        self._on_message(text)

    async def create(self, session: Session, *, now: float) -> Session:
        """Keep a new session.

        Raises:
            ValueError: its key is taken.
        """
        self._set_now(now)
        if self._sessions.get(session.key, now=now) is not None:
            raise ValueError("a new session needs a new key")
        created = replace(session, version=1)
        self._keep(created, expires_at=self._idle_deadline(created, now), now=now)
        return created

    async def read(self, key: str, *, touch: bool, now: float) -> LiveSession | None:
        """The session, if it lives at `now`."""
        self._set_now(now)
        entry = self._sessions.get(key, now=now)
        if entry is None:
            return None
        if not touch:
            return LiveSession(session=entry.value, idle_expires_at=entry.expires_at)
        deadline = self._idle_deadline(entry.value, now)
        self._keep(entry.value, expires_at=deadline, now=now)
        return LiveSession(session=entry.value, idle_expires_at=deadline)

    async def replace(self, session: Session, *, now: float) -> Session | None:
        """Write `session` if its version is still the stored one."""
        self._set_now(now)
        entry = self._sessions.get(session.key, now=now)
        if entry is None or entry.value.version != session.version:
            return None
        replaced = replace(session, version=session.version + 1)
        self._keep(replaced, expires_at=entry.expires_at, now=now)
        self._notify(session.key, ended=False)
        return replaced

    async def delete(self, key: str) -> bool:
        """End a session; False if there was none."""
        if self._sessions.pop(key, now=self._last_now) is None:
            return False
        self._notify(key, ended=True)
        return True

    async def find(self, *, issuer: str, subject: str | None = None, sid: str | None = None) -> list[str]:
        """The keys of the sessions with such a grant; looks at every session."""
        if (subject is None) == (sid is None):
            raise ValueError("exactly one of subject and sid")
        return [
            key
            for key, entry in self._sessions.entries(now=self._last_now)
            if entry.value.has_user(issuer=issuer, subject=subject, sid=sid)
        ]

    async def survey(self, *, now: float, key_prefix: str = "") -> AsyncIterator[list[Found]]:
        """Every session whose key begins with this text, in one portion."""
        yield [
            Found(key=key, live=LiveSession(session=entry.value, idle_expires_at=entry.expires_at))
            for key, entry in self._sessions.entries(now=now)
            if key.startswith(key_prefix)
        ]

    async def note_use(self, owner: str, digest: str, *, by: str, age_seconds: float) -> None:
        """Note a use."""
        at, now = self._clock() - age_seconds, self._clock()
        known = self._uses.get(f"{owner}\0{digest}", now=now)
        uses = (
            {}
            if known is None
            else {name: then for name, then in known.value.items() if now - then < USES_KEPT_SECONDS}
        )
        uses[by] = max(at, uses.get(by, at))
        self._uses.put(f"{owner}\0{digest}", uses, expires_at=now + USES_KEPT_SECONDS, now=now)

    async def uses(self, owner: str, digest: str) -> dict[str, float]:
        """When the secret was last used, by process."""
        known = self._uses.get(f"{owner}\0{digest}", now=self._clock())
        return {} if known is None else dict(known.value)

    async def take_lease(self, name: str, holder: str, *, lifetime_seconds: float) -> bool:
        """Become the holder of the lease, or extend it if we are."""
        now = self._clock()
        entry = self._leases.get(name, now=now)
        if entry is not None and entry.value != holder:
            return False
        self._leases.put(name, holder, expires_at=now + lifetime_seconds, now=now)
        return True

    async def drop_lease(self, name: str, holder: str) -> None:
        """Give the lease back, if it is still ours."""
        now = self._clock()
        entry = self._leases.get(name, now=now)
        if entry is not None and entry.value == holder:
            self._leases.pop(name, now=now)

    async def begin_renewal(
        self, name: str, holder: str, *, lifetime_seconds: float, mark: Mark, mark_lifetime_seconds: float
    ) -> Begun | Spent:
        """Take the lease and mark the refresh token as being used, in one step."""
        now = self._clock()
        lease = self._leases.get(name, now=now)
        if lease is not None and lease.value != holder:
            return Begun.BUSY
        place = f"{name}\0{mark.provider}"
        known = self._marks.get(place, now=now)
        if known is not None and known.value.binds(holder, mark.token_hash, now=now):
            return Spent(by=known.value.by, age_seconds=now - known.value.since)
        self._leases.put(name, holder, expires_at=now + lifetime_seconds, now=now)
        free_at = None if mark.binds_seconds is None else now + mark.binds_seconds
        noted = _Noted(token_hash=mark.token_hash, by=holder, since=now, free_at=free_at)
        self._marks.put(place, noted, expires_at=now + mark_lifetime_seconds, now=now)
        return Begun.YES

    async def end_renewal(self, name: str, holder: str, *, provider: str, mark: MarkEnd | float) -> None:
        """Give the lease back, and say what becomes of our mark."""
        now = self._clock()
        place = f"{name}\0{provider}"
        known = self._marks.get(place, now=now)
        if known is not None and known.value.by == holder and mark is not MarkEnd.KEEP:
            self._marks.pop(place, now=now)
            if not isinstance(mark, MarkEnd):
                self._marks.put(place, replace(known.value, free_at=now + mark), expires_at=known.expires_at, now=now)
        await self.drop_lease(name, holder)

    async def shared_instant(self, instant: float) -> float:
        """There is one process, and its clock."""
        return instant

    async def remember(self, name: str, *, value: str = "", lifetime_seconds: float, now: float) -> None:
        """Mark something as done."""
        self._set_now(now)
        self._done.put(name, value, expires_at=now + lifetime_seconds, now=now)

    async def remember_first(self, name: str, *, lifetime_seconds: float, now: float) -> bool:
        """Mark something as done; False if it was marked already."""
        if self._done.get(name, now=now) is not None:
            return False
        await self.remember(name, lifetime_seconds=lifetime_seconds, now=now)
        return True

    async def remembers(self, name: str, *, now: float) -> bool:
        """Whether the mark is there and has not expired."""
        return self._done.get(name, now=now) is not None

    async def recall(self, name: str, *, now: float) -> str | None:
        """The value of the mark; None if there is no mark."""
        entry = self._done.get(name, now=now)
        return entry.value if entry is not None else None

    def _set_now(self, now: float) -> None:
        self._last_now = now  # not the highest: after a clock that ran ahead is corrected, the corrected time counts

    def _idle_deadline(self, session: Session, now: float) -> float:
        return min(now + self._idle_timeout_seconds, session.absolute_expires_at)

    def _keep(self, session: Session, *, expires_at: float, now: float) -> None:
        self._sessions.put(session.key, session, expires_at=expires_at, now=now)

    def _notify(self, key: str, *, ended: bool) -> None:
        if self._listener is not None:
            self._listener.session_changed(Change(key=key, ended=ended))
