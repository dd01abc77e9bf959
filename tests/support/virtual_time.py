"""An event loop whose time jumps to the next timer when nothing else is to be done: hours pass in no time, in a fixed order.

For what needs no real socket. A loop that waits with neither a timer nor an event would wait for ever: that is an error here.
"""

import asyncio
import selectors
from typing import Any


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """`time()` is virtual; it begins at 0."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(_Jumping(self))

    def time(self) -> float:
        """Virtual seconds."""
        return self._now

    def jump(self, seconds: float) -> None:
        """Let so much time pass."""
        self._now += seconds


class _Jumping(selectors.DefaultSelector):
    """Looks for events, and does not wait for them."""

    def __init__(self, loop: VirtualTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        """What is ready now; if nothing is, the time of the timeout passes."""
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("the loop waits for nothing")
            self._loop.jump(max(timeout, 0.0))
        return ready
