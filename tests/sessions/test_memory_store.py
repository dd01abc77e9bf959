"""What only the memory store promises: time is `now`, and nothing piles up."""

import pytest

from bff.sessions.memory import MemoryStore
from bff.sessions.store import Change
from support.session_samples import ISSUER, NOW, Heard, a_session, end_all


@pytest.mark.requirement("R-182", "R-183")
async def test_an_unused_session_ends_after_the_idle_time() -> None:
    """At its idle deadline a session is gone for every method."""
    store = MemoryStore(idle_timeout_seconds=1800)
    session = await store.create(a_session(), now=NOW)
    assert await store.read(session.key, touch=True, now=NOW + 1000) is not None
    assert await store.read(session.key, touch=False, now=NOW + 2799) is not None
    assert await store.read(session.key, touch=True, now=NOW + 2800) is None
    assert await store.replace(session, now=NOW + 2800) is None
    assert await store.find(issuer=ISSUER, subject="alice-subject") == []
    assert not await store.delete(session.key)
    assert await end_all(store) == 0


async def test_what_expired_is_not_kept() -> None:
    """Ten thousand marks that have expired do not stay in memory."""
    store = MemoryStore(idle_timeout_seconds=1800)
    for number in range(10_000):
        await store.remember(str(number), lifetime_seconds=10, now=NOW + number)
    assert store.kept <= 20


async def test_living_sessions_are_not_swept() -> None:
    """However many entries expire around it, what lives stays."""
    store = MemoryStore(idle_timeout_seconds=1800)
    living = [await store.create(a_session(lifetime_seconds=10**6), now=NOW) for _ in range(50)]
    for second in range(3000):
        await store.create(a_session(lifetime_seconds=1), now=NOW + second)
        if second % 500 == 0:
            for session in living:
                assert await store.read(session.key, touch=True, now=NOW + second) is not None
    assert store.kept <= 200


async def test_a_lease_that_ran_out_is_free() -> None:
    """A holder that vanished blocks nobody for longer than its lease."""
    store = MemoryStore(idle_timeout_seconds=1800)
    assert await store.take_lease("refresh", "vanished", lifetime_seconds=0.0)
    assert await store.take_lease("refresh", "next", lifetime_seconds=60)


@pytest.mark.requirement("R-212")
async def test_what_is_done_is_forgotten_after_its_time() -> None:
    """Nothing is remembered for longer than it was to be, nor kept."""
    store = MemoryStore(idle_timeout_seconds=1800)
    for second in range(200):
        await store.remember(f"done {second}", lifetime_seconds=1, now=NOW + second)
        assert await store.remembers(f"done {second}", now=NOW + second)
        assert not await store.remembers(f"done {second}", now=NOW + second + 1)
    assert store.kept <= 20


@pytest.mark.requirement("R-183", "R-213")
async def test_a_clock_that_was_set_back_hides_no_session() -> None:
    """After a clock that ran ahead for a moment, a session that lives is found, ended, and told to be so."""
    store, heard = MemoryStore(idle_timeout_seconds=1800), Heard()
    await store.open(heard)
    session = await store.create(a_session(), now=NOW)
    assert await store.read(session.key, touch=False, now=NOW + 10**6) is None
    assert await store.read(session.key, touch=False, now=NOW + 1) is not None
    assert await store.find(issuer=ISSUER, subject="alice-subject") == [session.key]
    assert await store.delete(session.key)
    assert Change(key=session.key, ended=True) in heard.events


async def test_memory_always_hears_its_changes() -> None:
    """There is no connection to lose, so copies may be made at once."""
    store, heard = MemoryStore(idle_timeout_seconds=1800), Heard()
    await store.open(heard)
    assert heard.events == ["resumed"]
