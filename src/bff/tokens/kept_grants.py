"""Renewed grants that the store has not taken yet (R-340).

The provider has spent the old refresh token, so the new one is never given up while its session can live: it stays here, serves
every request of this process, and is written as soon as the store answers, before any lease is taken for its session. It leaves when
it is written, when the session is gone (then its refresh token is revoked), or at the session's end.

One that was written and is not in the store any more, because the store went back (`recent_grants.py`), is kept again. Only the
process that wrote it can do that, so the others give it a moment: until the store has settled, no refresh begins for a token that
serves for longer than that.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

from bff.backoff import Backoff
from bff.clock import Clock, steady_beside
from bff.errors import StoreUnavailable
from bff.sessions.model import Grant, Session
from bff.sessions.store import Change, MarkEnd, SessionStore
from bff.telemetry import tokens as telemetry
from bff.tokens.background import BackgroundTasks
from bff.tokens.holder import Holder
from bff.tokens.recent_grants import Place, RecentGrants
from bff.tokens.writing import grant_written

# after changes resume here: another process connects again within two (`sessions/redis/changes.py`)
SETTLING_SECONDS = 3.0
DEAF_SECONDS = 10.0  # after an interruption: the store may be well where only changes are not heard
WRITE_BACKOFF = Backoff(first_seconds=0.2, longest_seconds=1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """A grant to be written, the session as it was read, and what to do if the session is gone."""

    grant: Grant
    used: Grant  # the one that it was made of
    session: Session
    discard: Callable[[], Awaitable[None]]


class KeptGrants:
    """The renewed grants that are to be written, by session and provider."""

    def __init__(
        self,
        *,
        store: SessionStore,
        holder: Holder,
        tasks: BackgroundTasks,
        clock: Clock,
        backoff: Backoff = WRITE_BACKOFF,
    ) -> None:
        self._backoff = backoff
        self._store = store
        self._holder = holder
        self._tasks = tasks
        self._clock = clock
        self._kept: dict[Place, _Kept] = {}
        self._durations = steady_beside(clock)
        self._recent = RecentGrants(clock=self._durations)
        self._settled_at: float | None = None  # by the clock of durations; None: changes were not interrupted so far

    def __len__(self) -> int:
        return len(self._kept)

    def newest(self, session: Session, provider: str) -> Grant | None:
        """The session's grant from this provider: the one kept here, if the session still has one."""
        stored = session.grant(provider)
        if stored is None or not self._kept:
            return stored
        kept = self._kept.get((session.key, provider))
        return stored if kept is None else kept.grant

    def keep(self, grant: Grant, *, used: Grant, session: Session, discard: Callable[[], Awaitable[None]]) -> None:
        """Have it until it can be written; `discard` is called if the session is gone by then."""
        place = (session.key, grant.provider)
        self._kept[place] = _Kept(grant=grant, used=used, session=session, discard=discard)
        telemetry.write_delayed(provider=grant.provider, session_key=session.key)
        self._tasks.start(self._write_in_time(place))

    def written(self, grant: Grant, *, used: Grant, session: Session, discard: Callable[[], Awaitable[None]]) -> None:
        """It is in the store now."""
        self._recent.note(grant, used=used, session=session, discard=discard)

    def kept_again(self, session: Session, provider: str) -> bool:
        """Whether the store went back to a grant whose successor this process has written: that one is kept then, to be written."""
        stored = session.grant(provider)
        newer = None if stored is None else self._recent.newer_than(stored, session.key)
        if stored is None or newer is None or (session.key, provider) in self._kept:
            return False
        self.keep(newer.grant, used=stored, session=session, discard=newer.discard)
        return True

    @property
    def settles_in_seconds(self) -> float:
        """When all processes will have had the time to write again what the store may have lost; 0.0: they have had it."""
        return 0.0 if self._settled_at is None else max(self._settled_at - self._durations(), 0.0)

    def session_changed(self, change: Change) -> None:
        """What is kept is written on condition: a change is noticed then."""

    def changes_interrupted(self) -> None:
        """The store may be another one when changes resume."""
        self._settled_at = self._durations() + DEAF_SECONDS

    def changes_resumed(self) -> None:
        """Look whether a new primary has what was written to the old one."""
        if self._settled_at is not None:
            self._settled_at = self._durations() + SETTLING_SECONDS
        if not self._tasks.stopping:
            self._tasks.start(self._look())

    async def _look(self) -> None:
        with suppress(StoreUnavailable):  # the next refresh of each session looks again
            for session_key, provider in self._recent.places():
                live = await self._store.read(session_key, touch=False, now=self._clock())
                if live is not None:
                    self.kept_again(live.session, provider)

    async def flush(self, session_key: str) -> None:
        """Write what is kept for this session now. The caller has its turn.

        Raises:
            StoreUnavailable: it cannot be written now.
        """
        for place in [place for place in self._kept if place[0] == session_key]:
            await self._write(place)

    async def _write_in_time(self, place: Place) -> None:
        tries = 0
        try:
            while place in self._kept:
                tries += 1
                await asyncio.sleep(self._backoff.pause_seconds(tries))
                await self._try(place)
        except asyncio.CancelledError:  # the process stops, and the store has not answered in time
            if place in self._kept:
                telemetry.abandoned(provider=place[1], session_key=place[0], cause="not_written")
            raise

    async def _try(self, place: Place) -> None:
        async with self._holder.turn(place[0]):
            try:
                await self._write(place)
            except StoreUnavailable:
                kept = self._kept[place]
                if self._clock() >= kept.session.absolute_expires_at:
                    del self._kept[place]
                    telemetry.refresh_lost(provider=place[1], session_key=place[0])

    async def _write(self, place: Place) -> None:
        kept = self._kept.get(place)
        if kept is None:
            return
        session_key, provider = place

        done = await grant_written(self._store, kept.session, kept.grant, used=kept.used, clock=self._clock)
        self._kept.pop(place, None)
        await self._holder.end(session_key, provider=provider, mark=MarkEnd.DROP)
        if done:
            self.written(kept.grant, used=kept.used, session=kept.session, discard=kept.discard)
            telemetry.refreshed(provider=provider, session_key=session_key)
            return
        await kept.discard()
