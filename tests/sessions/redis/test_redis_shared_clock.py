"""Instants that processes share are by the store's clock: each reads them by its own, however wrong that is."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from bff.sessions.model import Session
from bff.sessions.redis.shared_clock import TOLERATED_SECONDS, SharedClock
from bff.sessions.redis.store import RedisStore
from support.session_samples import a_grant, a_session, ahead
from support.valkey_server import ValkeyServer

pytestmark = pytest.mark.requirement("R-349", "R-347")

MakeStore = Callable[..., RedisStore]
CLOSE_SECONDS = 60.0  # a busy machine takes its time between two readings of one clock


def instants(session: Session) -> list[float]:
    """Everything in it that our clocks gave."""
    found: list[float | None] = [session.created_at, session.absolute_expires_at]
    for grant in session.grants:
        found += [grant.granted_at, grant.refresh_token_expires_at]
        for _, token in grant.access_tokens:
            found += [token.expires_at, token.refresh_at]
    return [instant for instant in found if instant is not None]


def at(now: float) -> Session:
    """A session that began at this instant."""
    (sample,) = [a_session(a_grant())]
    by = now - sample.created_at
    clock = SharedClock(time.time)
    clock.ahead_seconds = by
    return clock.to_server(sample)


@pytest.mark.parametrize(("writer", "reader"), [(0, 240), (0, -240), (240, -240), (-240, 0)])
async def test_instants_are_read_by_the_readers_clock(
    valkey: ValkeyServer, redis_store: MakeStore, writer: float, reader: float
) -> None:
    """Each instant of a new session and of a changed one is as far from the reader's now as it was from the writer's."""
    theirs, ours = ahead(writer), ahead(reader)
    writing, reading = redis_store(valkey.url, clock=theirs), redis_store(valkey.url, clock=ours)
    session = await writing.create(at(theirs()), now=theirs())
    for _ in range(2):
        live = await reading.read(session.key, touch=True, now=ours())
        assert live is not None
        moved = [mine - his for mine, his in zip(instants(live.session), instants(session), strict=True)]
        assert len(moved) >= 4
        assert moved == pytest.approx([reader - writer] * len(moved), abs=CLOSE_SECONDS)
        changed = await writing.replace(session, now=theirs())
        assert changed is not None
        session = changed


async def test_session_ends_for_all_at_its_end(valkey: ValkeyServer, redis_store: MakeStore) -> None:
    """Four minutes ahead, a process does not end a session that has two minutes left; as much behind, it does not keep one."""
    theirs = ahead(0)
    writing = redis_store(valkey.url, clock=theirs)
    lives = replace(at(theirs()), absolute_expires_at=theirs() + 120)
    over = replace(at(theirs()), key="over", absolute_expires_at=theirs() + 120)
    for session in (lives, over):
        await writing.create(session, now=theirs())
    fast, slow = redis_store(valkey.url, clock=ahead(240)), redis_store(valkey.url, clock=ahead(-240))
    assert await fast.read(lives.key, touch=True, now=ahead(240)()) is not None
    assert await slow.read(over.key, touch=True, now=ahead(-240)() + 121) is None


async def test_without_the_right_to_ask_for_the_time_nothing_is_moved(redis_store: MakeStore) -> None:
    """An ACL without TIME: records hold what the writers' clocks said."""
    with ValkeyServer("--user", "default", "on", "nopass", "~*", "&*", "+@all", "-time") as server:
        clock = ahead(240)
        store = redis_store(server.url, clock=clock)
        session = await store.create(at(clock()), now=clock())
        live = await store.read(session.key, touch=True, now=clock())
        assert live is not None
        assert live.session == session


def told(shared: SharedClock, server: float, *, asked_at: float) -> float:
    """What is used after an answer with this instant."""
    shared.note(b"%d" % int(server), b"%d" % round(server % 1 * 1_000_000), asked_at=asked_at)
    return shared.ahead_seconds


def test_small_differences_are_not_moved() -> None:
    """Where clocks are kept, records hold what they always held."""
    assert told(SharedClock(lambda: 1000.0), 1000.0 + TOLERATED_SECONDS / 2, asked_at=1000.0) == 0.0


def test_slow_answer_says_little() -> None:
    """A process that was stopped between asking and receiving learns nothing that contradicts what it knows."""
    shared = SharedClock(lambda: 1020.0)
    assert told(shared, 1000.0, asked_at=1000.0) == 0.0
    assert told(shared, 1019.9, asked_at=1000.0) == 0.0


def test_difference_stays_until_an_answer_contradicts_it() -> None:
    """Jitter of the network does not move instants; a clock that is set does, and is told."""
    now = [1000.0]
    shared = SharedClock(lambda: now[0])
    with capture_logs() as logs:
        assert told(shared, 1120.0, asked_at=1000.0) == 120.0
        assert told(shared, 1120.1, asked_at=1000.0) == 120.0
        now[0] = 1120.2
        assert told(shared, 1120.2, asked_at=1120.2) == 0.0
    assert [(line["event"], line["reason"], line["seconds"]) for line in logs] == [
        ("clock.skewed", "store", 120.0),
        ("clock.skewed", "store", 0.0),
    ]


@pytest.mark.parametrize("seconds", [-3600.0, 301.0])
def test_store_that_is_too_far_off_is_not_believed(seconds: float) -> None:
    """A store that lies about the time does not lengthen what is sealed in its records; the operator is told."""
    shared = SharedClock(lambda: 10_000.0)
    with capture_logs() as logs:
        assert told(shared, 10_000.0 + seconds, asked_at=10_000.0) == 0.0
        assert told(shared, 10_000.0 + seconds, asked_at=10_000.0) == 0.0
        assert told(shared, 10_060.0, asked_at=10_000.0) == 60.0
    assert [(line["reason"], line["seconds"]) for line in logs] == [("store_too_far", seconds), ("store", 60.0)]
