"""Which keys failed, and how soon each may be tried again."""

from collections.abc import Hashable
from typing import Generic, NamedTuple, TypeVar

from bff.backoff import Backoff
from bff.clock import Clock

BACKOFF = Backoff(first_seconds=1.0, longest_seconds=60.0)
FORGOTTEN_AFTER_SECONDS = 300.0
MAX_KEYS = 10_000

K = TypeVar("K", bound=Hashable)


class _Row(NamedTuple):
    """So many failures in a row, the last one at `failed_at`, and why; not before `due_at` the next try."""

    failures: int
    failed_at: float
    due_at: float
    reason: str | None


class Failures(Generic[K]):
    """Remembers failures by key; bounded, because keys come from browsers."""

    def __init__(self, *, clock: Clock, backoff: Backoff = BACKOFF) -> None:
        self._clock = clock
        self._backoff = backoff
        self._rows: dict[K, _Row] = {}

    def permits(self, key: K) -> bool:
        """Whether `key` may be tried now."""
        return self.wait_seconds(key) <= 0

    def wait_seconds(self, key: K) -> float:
        """After how many seconds `key` may be tried; 0.0: now."""
        row = self._rows.get(key)
        if row is None:
            return 0.0
        now = self._clock()
        # a clock set back must not lengthen a pause
        return row.due_at - now if row.failed_at <= now < row.due_at else 0.0

    def reason(self, key: K) -> str | None:
        """Why `key` failed last, if that was noted."""
        row = self._rows.get(key)
        return None if row is None else row.reason

    def note(self, key: K, *, reason: str | None = None) -> None:
        """`key` failed: the next try is due after a pause, twice as long as the last one."""
        now = self._clock()
        last = self._rows.pop(key, None)
        counts = last is not None and now <= last.due_at + FORGOTTEN_AFTER_SECONDS
        failures = last.failures + 1 if last is not None and counts else 1
        self._rows[key] = _Row(failures, now, now + self._backoff.pause_seconds(failures), reason)
        if len(self._rows) > MAX_KEYS:
            del self._rows[next(iter(self._rows))]  # the one that failed longest ago

    def forget(self, key: K) -> None:
        """`key` works again."""
        self._rows.pop(key, None)
