"""Sessions that ended a while ago, in case the store goes back (R-183).

A replica that becomes the primary may lack the last writes, and a server that starts from a snapshot lacks all since that was made:
sessions that had ended are there again. So each process remembers the ends that it made or heard of, does not read such a session, and
ends it again when changes resume, as they do after every such fault. A session key is never used for another session.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress

from bff.clock import Clock
from bff.errors import StoreUnavailable
from bff.sessions.store import Change
from bff.telemetry.stores import ended_again

# `save 3600 1` is the longest of the servers' own rules: a snapshot that is due is an hour old at most
REMEMBERED_SECONDS = 3600.0
MAX_REMEMBERED = 2_000


class RecentEnds:
    """The keys of these sessions; a `ChangeListener`. `end` ends one in the store, and is False if there was none."""

    def __init__(self, *, end: Callable[[str], Awaitable[bool]], clock: Clock) -> None:
        self._end = end
        self._clock = clock
        self._ends: OrderedDict[str, float] = OrderedDict()  # key -> when; the oldest first
        self._ending: asyncio.Task[None] | None = None

    def __contains__(self, key: str) -> bool:
        self._forget()
        return key in self._ends

    def __iter__(self) -> Iterator[str]:
        """The newest first."""
        self._forget()
        return iter(tuple(reversed(self._ends)))

    def session_changed(self, change: Change) -> None:
        """Remember an end."""
        if change.ended:
            self._ends[change.key] = self._clock()
            self._ends.move_to_end(change.key)
            self._forget()

    def changes_interrupted(self) -> None:
        """The store may be another one when changes resume."""

    def changes_resumed(self) -> None:
        """Look whether what has ended is there again."""
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.create_task(self._end_again()) if self._ends else None

    async def close(self) -> None:
        """Stop looking."""
        if self._ending is not None:
            self._ending.cancel()
            await asyncio.wait([self._ending])

    async def _end_again(self) -> None:
        with suppress(StoreUnavailable):  # then changes are interrupted too, and resume once more
            for key in self:
                if await self._end(key):
                    ended_again(session_key=key)

    def _forget(self) -> None:
        now = self._clock()
        while self._ends and (
            len(self._ends) > MAX_REMEMBERED or now - next(iter(self._ends.values())) >= REMEMBERED_SECONDS
        ):
            self._ends.popitem(last=False)
