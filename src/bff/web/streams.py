"""Streams that live longer than a request should (WebSockets, server-sent events) end when their session ends, and those that were
opened with a user's token when the sign-in that gave it has ended.

Sign-out and back-channel logout arrive as changes of the store, made in this worker or another. Absolute and idle expiry, the end of a
sign-in, and changes that were missed while the subscription was interrupted, are found by reading the sessions every `LOOK_SECONDS`.
Reading does not extend a session: an open stream is no activity.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bff.clock import Clock
from bff.errors import StoreUnavailable
from bff.sessions.store import Change, SessionStore
from bff.telemetry import running as telemetry
from bff.tokens import grants

LOOK_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stream:
    """`provider`: whose token it was opened with."""

    provider: str | None
    end: Callable[[], None]


class OpenStreams:
    """The streams open in this worker, by the key of their session."""

    def __init__(self, *, store: SessionStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._streams: dict[str, set[_Stream]] = {}

    @contextmanager
    def opened(self, session_key: str, *, end: Callable[[], None], provider: str | None = None) -> Iterator[None]:
        """For the length of the block, `end` is called once the session is gone, or its sign-in at `provider`. It must not block, and
        may be called twice."""
        streams = self._streams.setdefault(session_key, set())
        stream = _Stream(provider=provider, end=end)
        streams.add(stream)
        telemetry.STREAMS.number += 1
        try:
            yield
        finally:
            telemetry.STREAMS.number -= 1
            streams.discard(stream)
            if not streams and self._streams.get(session_key) is streams:
                del self._streams[session_key]

    def session_changed(self, change: Change) -> None:
        """A change listener's call: end the streams of a session that is gone."""
        if change.ended:
            self._end(change.key, cause="session_ended")

    def changes_interrupted(self) -> None:
        """Sessions are read every `LOOK_SECONDS` all the same."""

    def changes_resumed(self) -> None:
        """What was missed is found by looking."""

    async def look(self) -> None:
        """Look after every open stream's session, for as long as the application runs."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.look_once()

    async def look_once(self) -> None:
        """End the streams whose session is gone, or their sign-in; a store that does not answer ends nothing."""
        for key in list(self._streams):
            now = self._clock()
            try:
                live = await self._store.read(key, touch=False, now=now)
            except StoreUnavailable:
                return
            if live is None:
                self._end(key, cause="session_expired")
                continue
            known = {grant.provider for grant in live.session.grants if not grants.ended(grant, now=now)}
            over = {one for one in self._streams.get(key, ()) if one.provider is not None and one.provider not in known}
            self._streams.get(key, set()).difference_update(over)
            _end_all(over, session_key=key, cause="sign_in_ended")

    def _end(self, key: str, *, cause: str) -> None:
        _end_all(self._streams.pop(key, set()), session_key=key, cause=cause)


def _end_all(streams: Iterable[_Stream], *, session_key: str, cause: str) -> None:
    ending = tuple(streams)  # a stream may leave the set while its `end` runs
    for stream in ending:
        stream.end()
    if ending:
        telemetry.streams_ended(session_key=session_key, count=len(ending), cause=cause)
