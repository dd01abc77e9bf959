"""Streams end with their session, however it ends (R-256)."""

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from bff.errors import StoreUnavailable
from bff.sessions.local_copies import ChangeFanout
from bff.sessions.memory import MemoryStore
from bff.sessions.model import LiveSession, Session
from bff.sessions.store import Change
from bff.web.streams import OpenStreams
from support.fake_internet import FakeClock
from support.session_samples import OTHER_ISSUER, a_grant, a_session


class MuteStore(MemoryStore):
    """A memory store that can be away, and remembers how it was read."""

    def __init__(self) -> None:
        super().__init__(idle_timeout_seconds=1800)
        self.away = False
        self.touched: list[bool] = []

    async def read(self, key: str, *, touch: bool, now: float) -> LiveSession | None:
        """As the memory store."""
        self.touched.append(touch)
        if self.away:
            raise StoreUnavailable("no answer")
        return await super().read(key, touch=touch, now=now)


async def a_stream() -> tuple[OpenStreams, MuteStore, FakeClock, Session]:
    """Streams over a store with one session that lives."""
    clock, store = FakeClock(), MuteStore()
    streams = OpenStreams(store=store, clock=clock)
    await store.open(ChangeFanout([streams]))
    return streams, store, clock, await store.create(a_session(), now=clock())


@pytest.mark.requirement("R-256", "R-183")
async def test_sign_out_ends_every_stream_of_the_session_and_no_other() -> None:
    """All streams of the session that ended are ended, those of others go on."""
    streams, store, clock, session = await a_stream()
    other = await store.create(a_session(), now=clock())
    ended: list[str] = []
    with (
        streams.opened(session.key, end=lambda: ended.append("one")),
        streams.opened(session.key, end=lambda: ended.append("two")),
        streams.opened(other.key, end=lambda: ended.append("other")),
        capture_logs() as logs,
    ):
        await store.delete(session.key)
        assert sorted(ended) == ["one", "two"]
    assert [(entry["event"], entry["count"]) for entry in logs] == [("streams.ended", 2)]
    assert session.key not in repr(logs)


async def test_change_that_is_no_end_ends_nothing() -> None:
    """A refreshed session keeps its streams."""
    streams, store, clock, session = await a_stream()
    ended: list[bool] = []
    with streams.opened(session.key, end=lambda: ended.append(True)):
        await store.replace(session, now=clock())
        streams.session_changed(Change(key=session.key, ended=False))
        streams.changes_interrupted()
        streams.changes_resumed()
    assert ended == []


@pytest.mark.requirement("R-256", "R-182")
async def test_expiry_is_found_by_looking_and_looking_is_no_activity() -> None:
    """An open stream does not keep its session alive: it ends with the idle timeout."""
    streams, store, clock, session = await a_stream()
    ended: list[bool] = []
    with streams.opened(session.key, end=lambda: ended.append(True)):
        for _ in range(17):
            clock.advance(100)
            await streams.look_once()
        assert ended == []
        clock.advance(100)
        await streams.look_once()
        assert ended == [True]
    assert set(store.touched) == {False}


@pytest.mark.requirement("R-256", "R-135")
async def test_streams_end_with_the_sign_in_whose_token_they_have() -> None:
    """The session goes on at another provider: the streams with that one's token, and those with none, go on too."""
    streams, store, clock, session = await a_stream()
    partner = a_grant(provider="partner", issuer=OTHER_ISSUER)
    both = await store.replace(session.with_grant(partner), now=clock())
    assert both is not None
    ended: list[str] = []
    with (
        streams.opened(session.key, provider="corp", end=lambda: ended.append("corp")),
        streams.opened(session.key, provider="partner", end=lambda: ended.append("partner")),
        streams.opened(session.key, end=lambda: ended.append("none")),
        capture_logs() as logs,
    ):
        await streams.look_once()
        assert ended == []
        await store.replace(both.without_grant("corp"), now=clock())
        await streams.look_once()
        await streams.look_once()
        assert ended == ["corp"]
        await store.delete(session.key)
        assert sorted(ended) == ["corp", "none", "partner"]
    assert [(entry["cause"], entry["count"]) for entry in logs] == [("sign_in_ended", 1), ("session_ended", 2)]


@pytest.mark.requirement("R-022", "R-256")
async def test_streams_end_with_the_refresh_token_of_their_sign_in() -> None:
    """Its own end, where the provider says one, is that of the sign-in."""
    streams, store, clock, session = await a_stream()
    grant = replace(a_grant(), refresh_token_expires_at=clock() + 100)
    await store.replace(session.with_grant(grant), now=clock())
    ended: list[bool] = []
    with streams.opened(session.key, provider="corp", end=lambda: ended.append(True)):
        clock.advance(99)
        await streams.look_once()
        assert ended == []
        clock.advance(1)
        await streams.look_once()
        assert ended == [True]


@pytest.mark.requirement("R-190")
async def test_store_that_does_not_answer_ends_no_stream() -> None:
    """While the store is away nobody is signed out, and so no stream ends."""
    streams, store, clock, session = await a_stream()
    ended: list[bool] = []
    with streams.opened(session.key, end=lambda: ended.append(True)):
        store.away = True
        clock.advance(10_000)
        await streams.look_once()
        assert ended == []
        store.away = False
        await streams.look_once()
        assert ended == [True]


async def test_closed_stream_is_forgotten() -> None:
    """A stream that has closed is told nothing, and nobody looks after its session any more."""
    streams, store, _, session = await a_stream()
    ended: list[bool] = []
    with streams.opened(session.key, end=lambda: ended.append(True)):
        pass
    await store.delete(session.key)
    await streams.look_once()
    assert ended == []
    assert store.touched == []
