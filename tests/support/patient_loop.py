"""The event loop of the tests: its clock stands still while the machine does, and a test lets time pass on it at once.

A process that gets no CPU for a second reaches every limit of a second in that moment, though what it waits for is there already.
Here time is what the loop waited, and of the work of one turn no more than a busy turn takes.
"""

import asyncio
import math
import selectors
import time
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

Outcome = TypeVar("Outcome")

BUSY_TURN_SECONDS = 0.01


class PatientLoop(asyncio.SelectorEventLoop):
    """`time()` begins at 0."""

    def __init__(self) -> None:
        self._counted = 0.0
        self._counted_at = time.monotonic()
        super().__init__(_Counting(self))

    def time(self) -> float:
        """Seconds."""
        return self._counted + min(time.monotonic() - self._counted_at, BUSY_TURN_SECONDS)

    def jump(self, seconds: float) -> None:
        """Let so much time pass: the timers that are due by then ring in the next turn."""
        self._counted += seconds

    def count(self, *, at_most: float) -> None:
        """Add what has passed since the last count."""
        now = time.monotonic()
        self._counted += min(now - self._counted_at, at_most)
        self._counted_at = now


class _Counting(selectors.DefaultSelector):
    """Counts how long the loop waits."""

    def __init__(self, loop: PatientLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        """What is ready. If something is, half of the time until the next timer stays: what came is worked on before that rings."""
        self._loop.count(at_most=BUSY_TURN_SECONDS)
        ready = super().select(timeout)
        left = math.inf if timeout is None else max(timeout, 0.0)
        self._loop.count(at_most=left / 2 if ready else left)
        return ready


async def hastened(work: Coroutine[Any, Any, Outcome]) -> Outcome:
    """The outcome of `work` on a `PatientLoop` on which a tenth of a second passes in each turn, so that its limits are reached."""
    loop, task = cast(PatientLoop, asyncio.get_running_loop()), asyncio.create_task(work)
    while not task.done():
        loop.jump(0.1)
        await asyncio.sleep(0)
    return await task
