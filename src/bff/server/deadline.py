"""The time by which something must have happened on a connection."""

import asyncio
import math
from collections.abc import Callable


class Deadline:
    """Calls `on_due` at `due_at` (the loop's clock), unless that is moved before; `math.inf`: nothing is due.

    One timer serves for good: it rings at `rings_at`, and is set anew if the deadline is a later one by then. A timer for each
    answer costs 1 us of 50.
    """

    __slots__ = ("_loop", "_on_due", "_timer", "due_at", "rings_at")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, on_due: Callable[[], None]) -> None:
        self._loop = loop
        self._on_due = on_due
        self._timer: asyncio.TimerHandle | None = None
        self.due_at = math.inf
        self.rings_at = math.inf  # no timer runs

    def set(self, seconds: float) -> None:
        """It is due in so many seconds from now."""
        self.due_at = self._loop.time() + seconds
        if self.rings_at <= self.due_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self.rings_at = self.due_at
        self._timer = self._loop.call_later(seconds, self._ring)

    def stop(self) -> None:
        """For good: nothing refers to the connection any more (a cycle would wait for the collector)."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._on_due = None, _ignored
        self.due_at = self.rings_at = math.inf

    def _ring(self) -> None:
        self._timer, self.rings_at = None, math.inf
        left = self.due_at - self._loop.time()
        if left == math.inf:
            return
        if left > 0:
            self.set(left)
        else:
            self._on_due()


def _ignored() -> None:
    """Of a connection that is gone."""
