"""How long an exchange may take to get on, phase by phase. Pure: `now` is an argument, in seconds of any clock.

    phase       waits for                             no longer than
    QUEUED      a connection, all being in use        timeouts.connect
    CONNECTING  (the pool's own timeout)              -
    UPLOAD      content from the browser, or room     timeouts.idle
    HEAD        the final status and all fields       timeouts.first_byte
    CONTENT     content, or the browser to take it    timeouts.idle
    any         the end                               timeouts.total

Content of a request must also come at `MIN_RATE` over `RATE_SECONDS`: one byte every few seconds would hold a place for as long as a
browser likes (R-366). Time in which the upstream has no place or no room for it does not count.

Time counts from when the exchange was last seen to get on: into another phase, or by a byte. A byte of a head that is not complete
does not count, or a byte now and then would buy any time.
"""

import math
from enum import IntEnum

from bff.config.model import TimeoutConfig

MIN_RATE = 1024  # bytes a second
RATE_SECONDS = 30.0


class Phase(IntEnum):
    """Where an exchange stands."""

    QUEUED = 0
    CONNECTING = 1
    UPLOAD = 2
    HEAD = 3
    CONTENT = 4


class Patience:
    """With one exchange, from when it was first looked at."""

    __slots__ = ("_counted", "_counts_from", "_due_at", "_ends_at", "_moved", "_phase", "_timeouts")

    def __init__(self, timeouts: TimeoutConfig, *, now: float) -> None:
        self._timeouts = timeouts
        self._ends_at = math.inf if timeouts.total is None else now + timeouts.total
        self._phase: Phase | None = None
        self._moved = 0
        self._due_at = math.inf
        self._counts_from = now
        self._counted = 0  # bytes of content that had come by then

    def is_over(self, *, now: float, phase: Phase, moved: int) -> bool:
        """Whether the exchange has taken too long; `moved` is a number that changes as long as bytes get anywhere."""
        if phase is not self._phase or moved != self._moved:
            self._phase, self._moved = phase, moved
            self._due_at = now + self._seconds(phase)
        return now >= self._due_at or now >= self._ends_at

    def drips(self, *, now: float, taken: int, held: bool) -> bool:
        """Whether content came more slowly than `MIN_RATE`; `taken` bytes have come, `held`: no more could come."""
        if held:
            self._counts_from, self._counted = now, taken
        if now - self._counts_from < RATE_SECONDS:
            return False
        too_slow = taken - self._counted < MIN_RATE * RATE_SECONDS
        self._counts_from, self._counted = now, taken
        return too_slow

    def _seconds(self, phase: Phase) -> float:
        if phase is Phase.QUEUED:
            return self._timeouts.connect
        if phase is Phase.CONNECTING:
            return math.inf
        return self._timeouts.first_byte if phase is Phase.HEAD else self._timeouts.idle
