"""Streams that live longer than a request should (WebSockets, server-sent events) end when their session ends.

Sign-out and back-channel logout arrive as changes of the store, made in this worker or another. Absolute and idle expiry, and changes
that were missed while the subscription was interrupted, are found by reading the sessions every `LOOK_SECONDS`. Reading does not
extend a session: an open stream is no activity.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bff.clock import Clock
from bff.errors import StoreUnavailable
from bff.sessions.store import Change, SessionStore
from bff.telemetry import running as telemetry

LOOK_SECONDS = 10.0


class OpenStreams:
    """The streams open in this worker, by the key of their session."""

    def __init__(self, *, store: SessionStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._ends: dict[str, set[Callable[[], None]]] = {}

    @contextmanager
    def opened(self, session_key: str, *, end: Callable[[], None]) -> Iterator[None]:
        """For the length of the block, `end` is called once the session is gone. It must not block, and may be called twice."""
        ends = self._ends.setdefault(session_key, set())
        ends.add(end)
        telemetry.STREAMS.number += 1
        try:
            yield
        finally:
            telemetry.STREAMS.number -= 1
            ends.discard(end)
            if not ends and self._ends.get(session_key) is ends:
                del self._ends[session_key]

    def session_changed(self, change: Change) -> None:
        """A change listener's call: end the streams of a session that is gone."""
        if change.ended:
            self._end(change.key, cause="session_ended")

    def changes_interrupted(self) -> None:
        """Log it; sessions are read every `LOOK_SECONDS` all the same."""
        telemetry.changes_interrupted()

    def changes_resumed(self) -> None:
        """Log it."""
        telemetry.changes_resumed()

    async def look(self) -> None:
        """Look after every open stream's session, for as long as the application runs."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look_once()

    async def look_once(self) -> None:
        """End the streams whose session is gone; a store that does not answer ends nothing."""
        for key in list(self._ends):
            try:
                live = await self._store.read(key, touch=False, now=self._clock())
            except StoreUnavailable:
                return
            if live is None:
                self._end(key, cause="session_expired")

    def _end(self, key: str, *, cause: str) -> None:
        ends = tuple(self._ends.pop(key, ()))  # a stream may leave the set while its `end` runs
        for end in ends:
            end()
        if ends:
            telemetry.streams_ended(session_key=key, count=len(ends), cause=cause)
