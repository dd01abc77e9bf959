"""The lease: one holder among all workers, for as long as it takes (oauth2-proxy #1992)."""

import asyncio

import pytest

from bff.backoff import Backoff
from bff.clock import Clock, steady
from bff.errors import StoreUnavailable
from bff.sessions.memory import MemoryStore
from bff.tokens.lease import LIFETIME_SECONDS, lease
from support.fake_internet import FakeClock


class LeaseStore(MemoryStore):
    """A memory store that tells of every extension, and fails on request."""

    def __init__(self, *, clock: Clock = steady) -> None:
        super().__init__(idle_timeout_seconds=1800, clock=clock)
        self.holders: list[str] = []
        self.asked = asyncio.Condition()
        self.away = False

    async def take_lease(self, name: str, holder: str, *, lifetime_seconds: float) -> bool:
        """As the memory store, noting who has got it."""
        if self.away:
            raise StoreUnavailable("no answer")
        taken = await super().take_lease(name, holder, lifetime_seconds=lifetime_seconds)
        async with self.asked:
            if taken:
                self.holders.append(holder)
            self.asked.notify_all()
        return taken

    async def extended(self, count: int) -> None:
        """Wait until it was taken or extended so often."""
        async with asyncio.timeout(10), self.asked:
            await self.asked.wait_for(lambda: len(self.holders) >= count)


AT_ONCE = Backoff(first_seconds=0, longest_seconds=0)
BRIEF_SECONDS = 0.003  # how often a lease is extended; its store's time is the test's


@pytest.mark.requirement("R-133")
async def test_holders_take_turns() -> None:
    """Of many who want the lease of one session, one has it at any time, and all get it."""
    store, inside, most, turns = LeaseStore(), 0, 0, 0

    async def want() -> None:
        nonlocal inside, most, turns
        async with lease(store, "session"):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1
            turns += 1

    await asyncio.gather(*(want() for _ in range(10)))
    assert (most, turns) == (1, 10)


async def test_sessions_do_not_wait_for_each_other() -> None:
    """Leases of different sessions are held at the same time."""
    store = LeaseStore()
    async with asyncio.timeout(5), lease(store, "one"), lease(store, "another"):
        pass


@pytest.mark.requirement("R-133")
async def test_long_holder_keeps_it() -> None:
    """A block that runs many lifetimes long keeps the lease: no other task gets in before it ends."""
    clock = FakeClock()
    store, rival_is_in = LeaseStore(clock=clock), asyncio.Event()

    async def rival() -> None:
        async with lease(store, "session", backoff=AT_ONCE):
            rival_is_in.set()

    async with lease(store, "session", lifetime_seconds=BRIEF_SECONDS):
        waiting = asyncio.create_task(rival())
        for extension in range(2, 40):
            await store.extended(extension)
            clock.advance(BRIEF_SECONDS / 2)
            assert not rival_is_in.is_set()
        assert len(set(store.holders)) == 1
    await waiting
    assert rival_is_in.is_set()


@pytest.mark.requirement("R-133")
async def test_lease_of_a_dead_holder_expires() -> None:
    """A worker that died holds the lease for its lifetime and no longer."""
    clock = FakeClock()
    store, got_in = LeaseStore(clock=clock), asyncio.Event()
    assert await store.take_lease("session", "dead worker", lifetime_seconds=LIFETIME_SECONDS)

    async def successor() -> None:
        async with lease(store, "session", backoff=AT_ONCE):
            got_in.set()

    waiting = asyncio.create_task(successor())
    clock.advance(LIFETIME_SECONDS - 0.1)
    for _ in range(50):
        await asyncio.sleep(0)
    assert not got_in.is_set()
    clock.advance(0.2)
    async with asyncio.timeout(10):
        await waiting


@pytest.mark.parametrize("leaves_by", [RuntimeError, asyncio.CancelledError])
async def test_lease_is_given_back_however_the_block_ends(leaves_by: type[BaseException]) -> None:
    """An error or a cancellation in the block gives the lease back at once."""
    store = LeaseStore()
    with pytest.raises(leaves_by):
        async with lease(store, "session"):
            raise leaves_by
    assert await store.take_lease("session", "next", lifetime_seconds=1)


@pytest.mark.requirement("R-133")
async def test_it_is_not_extended_after_the_end() -> None:
    """Once the block has ended its lease is extended no more."""
    store = LeaseStore()
    before = asyncio.all_tasks()
    async with lease(store, "session", lifetime_seconds=BRIEF_SECONDS):
        await store.extended(3)
    assert asyncio.all_tasks() == before


async def test_cancelled_while_waiting_leaves_nothing_behind() -> None:
    """Who stops waiting for a lease neither gets it later nor disturbs its holder."""
    store = LeaseStore()
    async with lease(store, "session"):
        waiter = asyncio.create_task(lease(store, "session").__aenter__())
        await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
    assert await store.take_lease("session", "next", lifetime_seconds=1)


@pytest.mark.requirement("R-190")
async def test_store_that_is_away_is_said_so() -> None:
    """Without the store the holder of the lease is not known: that is an outage, and the block is not entered."""
    store = LeaseStore()
    store.away = True
    with pytest.raises(StoreUnavailable):
        async with lease(store, "session"):
            pytest.fail("the lease was not given")


@pytest.mark.requirement("R-190")
async def test_short_outage_of_the_store_does_not_disturb_the_holder() -> None:
    """An extension that fails is tried again, and the block runs on."""
    store = LeaseStore(clock=FakeClock())
    async with lease(store, "session", lifetime_seconds=BRIEF_SECONDS):
        await store.extended(2)
        store.away = True
        await asyncio.sleep(0)
        store.away = False
        await store.extended(len(store.holders) + 2)
        assert not await store.take_lease("session", "rival", lifetime_seconds=1)
