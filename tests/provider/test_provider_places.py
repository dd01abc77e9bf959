"""A share of a provider's connections."""

import asyncio

import pytest

from bff.errors import ProviderUnavailable
from bff.provider.places import Places


class Renewals:
    """Calls that take a place each, and leave when they are let go."""

    def __init__(self, places: Places) -> None:
        self.places = places
        self.began: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    def start(self, name: str) -> asyncio.Task[None]:
        """A call of this name, which asks for its place now."""
        self.ends[name] = asyncio.Event()
        return asyncio.create_task(self._call(name))

    async def _call(self, name: str) -> None:
        async with self.places.place():
            self.began.append(name)
            await self.ends[name].wait()


async def _settled() -> None:
    for _ in range(10):  # turns of the loop, more than a notification takes
        await asyncio.sleep(0)


@pytest.mark.requirement("R-343")
async def test_calls_queue_in_their_order() -> None:
    """As many calls as there are places run at a time, and a place that becomes free goes to the one that waits longest."""
    calls = Renewals(Places(2, provider="corp"))
    tasks = [calls.start(name) for name in "abcd"]
    await _settled()
    assert calls.began == ["a", "b"]
    calls.ends["b"].set()
    await _settled()
    assert calls.began == ["a", "b", "c"]
    for end in calls.ends.values():
        end.set()
    async with asyncio.timeout(10):
        await asyncio.gather(*tasks)
    assert calls.began == ["a", "b", "c", "d"]


async def test_place_of_a_failed_call_is_free_again() -> None:
    """An error in the block gives the place back."""
    places = Places(1, provider="corp")
    with pytest.raises(ValueError, match="broken"):
        async with places.place():
            raise ValueError("broken")
    async with asyncio.timeout(10), places.place():
        pass


async def test_queue_is_given_up_when_the_process_stops() -> None:
    """`close` ends the calls that queue, and those that come later; the one that has its place goes on."""
    calls = Renewals(Places(1, provider="corp"))
    running, queued = calls.start("a"), calls.start("b")
    await _settled()
    await calls.places.close()
    for late in (queued, calls.start("c")):
        with pytest.raises(ProviderUnavailable) as refused:
            await late
        assert refused.value.reason == "stopping"
    calls.ends["a"].set()
    await running
    assert calls.began == ["a"]
