"""A worker's own short-lived copies of sessions, so that most requests need no call to the store.

A copy is found by the raw cookie value that the browser sent: a hit needs no signature check and no hash. A copy may be
used

- for at most `max_age_seconds`, and not past the session's idle or absolute end;
- until a change of its session arrives: then it is dropped at once;
- only while the subscription to changes works: when changes may be missed every copy is dropped, and none is made until
  the subscription works again.

A change may arrive while the answer to a read is under way; what was read is then older than the change. So a reader
takes a ticket first, and its copy is kept only if no change of that session has arrived since.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from bff.sessions.model import LiveSession
from bff.sessions.store import Change, ChangeListener

REMEMBERED_CHANGES = 1024


@dataclass(frozen=True, slots=True)
class Ticket:
    """A read of `key` that began after the change with the number `change`."""

    key: str
    change: int


@dataclass(frozen=True, slots=True)
class Copy:
    """A session as it was read. `memo` holds what others have worked out from it, and goes with it."""

    live: LiveSession
    made_at: float
    ends_at: float
    memo: dict[object, object] = field(default_factory=dict, repr=False)


class LocalCopies:
    """Copies of the sessions that this worker saw last; a `ChangeListener`. `max_age_seconds` of 0 makes none."""

    def __init__(self, *, max_age_seconds: float, max_entries: int = 10_000) -> None:
        self.max_age_seconds = max_age_seconds
        self._max_entries = max_entries
        self._copies: OrderedDict[bytes, Copy] = OrderedDict()  # oldest first
        self._cookies: dict[str, set[bytes]] = {}  # by session key
        self._receives_changes = False
        self._change = 0  # number of the latest change
        self._forgotten_change = 0  # every later change is in `_changes`
        self._changes: OrderedDict[str, int] = OrderedDict()  # by session key, oldest first

    def __len__(self) -> int:
        return len(self._copies)

    def get(self, cookie: bytes, *, now: float) -> Copy | None:
        """The copy under this cookie value, if it may be used at `now`."""
        copy = self._copies.get(cookie)
        if copy is None:
            return None
        if copy.made_at <= now < copy.ends_at:  # `made_at <= now`: a clock set back must not lengthen a copy's life
            return copy
        self._drop(cookie)
        return None

    def reading(self, key: str) -> Ticket:
        """Take this before asking the store for the session of `key`, and hand it to `put` with what was read."""
        return Ticket(key, self._change)

    def put(self, cookie: bytes, live: LiveSession, ticket: Ticket, *, now: float) -> None:
        """Keep what was read under this ticket at `now`, unless it may be out of date."""
        if not self._receives_changes or self.max_age_seconds <= 0 or ticket.key != live.session.key:
            return
        if self._changes.get(ticket.key, self._forgotten_change) > ticket.change:
            return
        ends_at = min(now + self.max_age_seconds, live.idle_expires_at, live.session.absolute_expires_at)
        self._drop(cookie)
        self._make_room(now)
        self._copies[cookie] = Copy(live, now, ends_at)
        self._cookies.setdefault(ticket.key, set()).add(cookie)

    def session_changed(self, change: Change) -> None:
        """Drop the copies of this session, and those that reads under way would make."""
        self._change += 1
        self._changes[change.key] = self._change
        self._changes.move_to_end(change.key)
        if len(self._changes) > REMEMBERED_CHANGES:
            _, self._forgotten_change = self._changes.popitem(last=False)
        for cookie in self._cookies.pop(change.key, ()):
            self._copies.pop(cookie, None)

    def changes_interrupted(self) -> None:
        """Drop everything, and make no copies."""
        self._receives_changes = False
        self.forget()

    def forget(self) -> None:
        """Drop everything, also what reads under way would make."""
        self._change += 1
        self._forgotten_change = self._change
        for forgotten in (self._changes, self._copies, self._cookies):
            forgotten.clear()

    def changes_resumed(self) -> None:
        """Make copies again, of what is read from now on."""
        self.forget()  # everything that was read before may miss changes of the interruption
        self._receives_changes = True

    def _make_room(self, now: float) -> None:
        """Drop the oldest copies: all that have ended, so that their tokens leave memory, and one more if it is still full."""
        while self._copies:
            oldest = next(iter(self._copies))
            if len(self._copies) < self._max_entries and now < self._copies[oldest].ends_at:
                return
            self._drop(oldest)

    def _drop(self, cookie: bytes) -> None:
        copy = self._copies.pop(cookie, None)
        if copy is None:
            return
        key = copy.live.session.key
        cookies = self._cookies[key]
        cookies.discard(cookie)
        if not cookies:
            del self._cookies[key]


class ChangeFanout:
    """Calls several listeners for every change, in their order."""

    def __init__(self, listeners: Sequence[ChangeListener]) -> None:
        self._listeners = tuple(listeners)

    def session_changed(self, change: Change) -> None:
        """One session changed or ended."""
        for listener in self._listeners:
            listener.session_changed(change)

    def changes_interrupted(self) -> None:
        """Changes may be missed from now on."""
        for listener in self._listeners:
            listener.changes_interrupted()

    def changes_resumed(self) -> None:
        """Changes arrive again."""
        for listener in self._listeners:
            listener.changes_resumed()
