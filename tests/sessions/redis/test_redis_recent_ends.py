"""A store that goes back, because a replica without the last writes or an older snapshot took its place: what had ended stays away."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from bff.sessions.redis.recent_ends import MAX_REMEMBERED, REMEMBERED_SECONDS, RecentEnds
from bff.sessions.redis.store import RedisStore
from bff.sessions.store import Change
from support.cutting_relay import CuttingRelay
from support.fake_internet import FakeClock
from support.session_samples import ISSUER, NOW, Heard, a_session, once_it_answers
from support.valkey_server import ValkeyServer

MakeStore = Callable[..., RedisStore]


@pytest.fixture
async def old() -> AsyncIterator[ValkeyServer]:
    """The primary."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
async def new() -> AsyncIterator[ValkeyServer]:
    """The server that takes its place."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture
async def way(old: ValkeyServer) -> AsyncIterator[CuttingRelay]:
    """By which the stores find the primary."""
    async with CuttingRelay(old.port) as relay:
        yield relay


def copied(old: ValkeyServer, new: ValkeyServer) -> None:
    """The new server gets what the old one holds now, and nothing of what follows."""
    for name in old.ask("KEYS", "*"):
        new.ask("RESTORE", name, max(old.ask("PTTL", name), 0), old.ask("DUMP", name))


def takes_its_place(new: ValkeyServer, old: ValkeyServer, way: CuttingRelay) -> None:
    """The old server dies, and its name leads to the new one."""
    way.leads_to(new.port)
    old.stop()


async def heard_again(heard: Heard) -> None:
    """Return once changes are heard of the new server."""
    await heard.until(lambda events: "interrupted" in events and events[-1] != "interrupted")


@pytest.mark.requirement("R-183", "R-340")
async def test_session_that_has_ended_is_ended_again(
    old: ValkeyServer, new: ValkeyServer, way: CuttingRelay, redis_store: MakeStore
) -> None:
    """The server that takes the place of the primary lacks the sign-out. A process that only heard of it makes it there as well,
    and the log says so."""
    store, other, heard = redis_store(way.url), redis_store(way.url), Heard()
    await store.open(Heard())
    await other.open(heard)
    await heard.resumed()
    session, stays = await store.create(a_session(), now=NOW), await store.create(a_session(), now=NOW)
    copied(old, new)
    assert await store.delete(session.key)
    await heard.until(lambda events: any(getattr(event, "ended", False) for event in events))
    await store.close()
    with capture_logs() as logs:
        takes_its_place(new, old, way)
        await heard_again(heard)
        async with asyncio.timeout(30):
            while new.ask("EXISTS", f"bff:s:{session.key}"):
                await asyncio.sleep(0.01)
        await other.close()
    assert new.ask("EXISTS", f"bff:s:{stays.key}")
    assert [line["session"] for line in logs if line["event"] == "session.ended_again"] == [session.key[:8]]


@pytest.mark.requirement("R-183", "R-340")
async def test_session_that_has_ended_is_not_read(
    old: ValkeyServer, new: ValkeyServer, way: CuttingRelay, redis_store: MakeStore
) -> None:
    """Before it is ended again it is not there for its process: not to a request, not to a refresh, not to the list of sessions."""
    store = redis_store(way.url)
    session = await store.create(a_session(), now=NOW)
    copied(old, new)
    assert await store.delete(session.key)
    takes_its_place(new, old, way)
    assert await once_it_answers(lambda: store.read(session.key, touch=True, now=NOW)) is None
    assert await store.replace(session, now=NOW) is None
    assert await store.find(issuer=ISSUER, subject="alice-subject") == []
    assert await store.delete(session.key)
    assert not new.ask("EXISTS", f"bff:s:{session.key}")


async def test_session_that_only_changed_is_read(valkey: ValkeyServer, redis_store: MakeStore) -> None:
    """Nothing but an end is remembered, and no end that there was not."""
    store = redis_store(valkey.url)
    session = await store.create(a_session(), now=NOW)
    assert await store.replace(session, now=NOW) is not None
    assert not await store.delete("0" * 64)
    assert await store.read(session.key, touch=True, now=NOW) is not None


async def nothing_there(key: str) -> bool:
    """A store without sessions."""
    del key
    return False


def test_ends_are_remembered_for_an_hour() -> None:
    """The newest come first, and no more than so many are kept."""
    clock = FakeClock()
    ends = RecentEnds(end=nothing_there, clock=clock)
    for key in ("a", "b"):
        ends.session_changed(Change(key=key, ended=True))
        clock.advance(REMEMBERED_SECONDS / 2)
    assert "a" not in ends
    assert list(ends) == ["b"]
    for number in range(MAX_REMEMBERED + 1):
        ends.session_changed(Change(key=str(number), ended=True))
    assert "0" not in ends
    assert len(list(ends)) == MAX_REMEMBERED
    assert next(iter(ends)) == str(MAX_REMEMBERED)
