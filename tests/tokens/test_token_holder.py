"""This process as a holder of leases and marks: what the store did not answer is undone when it answers again."""

import asyncio

import pytest

from bff.errors import StoreUnavailable
from bff.sessions.memory import MemoryStore
from bff.sessions.store import Begun, Mark, MarkEnd, Spent
from bff.tokens.holder import Holder

LIFETIME = 600.0


class LosingStore(MemoryStore):
    """A memory store whose answers to renewals are lost while it is `away`, `after` or before they took effect."""

    def __init__(self, *, after: bool) -> None:
        super().__init__(idle_timeout_seconds=1800)
        self.after = after
        self.away = False

    async def begin_renewal(
        self, name: str, holder: str, *, lifetime_seconds: float, mark: Mark, mark_lifetime_seconds: float
    ) -> Begun | Spent:
        """As the memory store, if it answers."""
        if self.away and not self.after:
            raise StoreUnavailable("no answer")
        begun = await super().begin_renewal(
            name, holder, lifetime_seconds=lifetime_seconds, mark=mark, mark_lifetime_seconds=mark_lifetime_seconds
        )
        if self.away:
            raise StoreUnavailable("no answer")
        return begun

    async def end_renewal(self, name: str, holder: str, *, provider: str, mark: MarkEnd | float) -> None:
        """As the memory store, if it answers; what is lost takes no effect."""
        if self.away:
            raise StoreUnavailable("no answer")
        await super().end_renewal(name, holder, provider=provider, mark=mark)


def a_holder(store: MemoryStore) -> Holder:
    """One process, which tries at once again what it has to undo."""
    return Holder(store=store, undo_pause_seconds=0.0)


async def begin(holder: Holder) -> Begun | Spent:
    """Begin a renewal of one refresh token."""
    return await holder.begin("session", provider="corp", refresh_token="r", mark_lifetime_seconds=LIFETIME)


async def until_free(other: Holder) -> None:
    """Wait until another process may begin."""
    async with asyncio.timeout(5):
        while await begin(other) is not Begun.YES:
            await asyncio.sleep(0)


@pytest.mark.requirement("R-345")
@pytest.mark.parametrize("after", [True, False], ids=["taken, answer lost", "not taken"])
async def test_a_take_of_unknown_outcome_is_undone(after: bool) -> None:
    """Lease and mark that may have been taken are given back when the store answers: another process need not wait for their end."""
    store = LosingStore(after=after)
    ours, theirs = a_holder(store), a_holder(store)
    store.away = True
    with pytest.raises(StoreUnavailable):
        await begin(ours)
    store.away = False
    await until_free(theirs)
    await ours.close()


@pytest.mark.requirement("R-345")
@pytest.mark.parametrize("mark", [MarkEnd.DROP, 0.0], ids=["dropped", "of unknown outcome"])
async def test_an_end_that_the_store_did_not_hear_is_repeated(mark: MarkEnd | float) -> None:
    """A lease that could not be given back is given back when the store answers."""
    store = LosingStore(after=False)
    ours, theirs = a_holder(store), a_holder(store)
    assert await begin(ours) is Begun.YES
    store.away = True
    await ours.end("session", provider="corp", mark=mark)
    store.away = False
    await until_free(theirs)
    await ours.close()


@pytest.mark.requirement("R-341")
async def test_a_mark_that_is_to_stay_stays() -> None:
    """The lease goes, the mark binds other processes on, and not our own."""
    store = LosingStore(after=False)
    ours, theirs = a_holder(store), a_holder(store)
    assert await begin(ours) is Begun.YES
    store.away = True
    await ours.end("session", provider="corp", mark=MarkEnd.KEEP)
    store.away = False
    async with asyncio.timeout(5):
        while await begin(theirs) is Begun.BUSY:
            await asyncio.sleep(0)
    spent = await begin(theirs)
    assert isinstance(spent, Spent)
    assert spent.by == ours.name
    assert await begin(ours) is Begun.YES


@pytest.mark.requirement("R-345")
async def test_a_renewal_that_began_anew_is_not_undone() -> None:
    """Who takes the lease again while an undoing is owed keeps it."""
    store = LosingStore(after=True)
    ours, theirs = a_holder(store), a_holder(store)
    store.away = True
    with pytest.raises(StoreUnavailable):
        await begin(ours)
    store.away = False
    async with ours.turn("session"):
        assert await begin(ours) is Begun.YES
        for _ in range(20):
            await asyncio.sleep(0)
        assert await begin(theirs) is Begun.BUSY
    await ours.close()


async def test_names_of_processes_differ() -> None:
    """Two processes never take each other's lease for their own."""
    store = MemoryStore(idle_timeout_seconds=1)
    assert len({Holder(store=store).name for _ in range(100)}) == 100
