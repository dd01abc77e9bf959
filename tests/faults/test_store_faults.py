"""No fault of the store ends a session: several gateways, a provider that rotates and detects reuse, load with canaries."""

import asyncio
import time

import pytest

from support.fault_judging import LONG, SESSIONS, judge, warm
from support.fault_world import fault_world

pytestmark = [pytest.mark.faults, pytest.mark.asyncio]


@pytest.mark.requirement("R-345")
async def test_store_that_stands_still_for_five_seconds() -> None:
    """A paused store: requests wait or are refused, and all are served soon after it goes on."""
    async with fault_world(sessions=SESSIONS) as world:
        await warm(world)
        world.valkey.pause()
        await asyncio.sleep(5)
        world.valkey.go_on()
        world.over()
        judge("store paused 5 s", await world.report())


@pytest.mark.requirement("R-340", "R-341")
async def test_store_that_is_away_during_refreshes() -> None:
    """A store that takes no connection while answers with rotated tokens come in: they are kept, and written when it is back."""
    away = 30 if LONG else 10
    async with fault_world(sessions=SESSIONS) as world:
        world.provider.delay_seconds = 1.5
        await warm(world)
        world.relay.go_away()
        await asyncio.sleep(away)
        world.relay.come_back()
        world.over()
        judge(f"store away {away} s during refreshes", await world.report())


@pytest.mark.requirement("R-340")
async def test_store_that_is_full() -> None:
    """`maxmemory` is reached with `noeviction`: nobody is signed out, and all are served when there is room again."""
    full = 20 if LONG else 8
    async with fault_world(sessions=SESSIONS) as world:
        world.provider.delay_seconds = 0.5
        await warm(world)
        world.valkey.ask("CONFIG", "SET", "maxmemory", "1mb")
        await asyncio.sleep(full)
        world.valkey.ask("CONFIG", "SET", "maxmemory", "0")
        world.over()
        judge(f"store full {full} s", await world.report())


@pytest.mark.requirement("R-340", "R-341")
async def test_store_that_fails_over_during_refreshes() -> None:
    """The primary dies while answers with rotated tokens come in, and a replica takes its place: no token is lost or used twice."""
    async with fault_world(sessions=SESSIONS, replicated=True) as world:
        world.provider.delay_seconds = 0.7
        await warm(world)
        world.valkey.stop()
        await asyncio.sleep(3)  # the Sentinel has noticed, and decided
        world.over()
        judge("store failed over during refreshes", await world.report(), recovered_within=6.0)


@pytest.mark.requirement("R-340", "R-342")
async def test_store_that_is_slow() -> None:
    """Every answer of the store comes 900 ms late: requests are slow, and nobody is signed out."""
    async with fault_world(sessions=SESSIONS) as world:
        await warm(world)
        world.relay.delay_seconds = 0.45  # each way
        await asyncio.sleep(20 if LONG else 8)
        world.relay.delay_seconds = 0.0
        world.over()
        judge("store slow, 900 ms", await world.report())


@pytest.mark.requirement("R-340", "R-345")
async def test_store_whose_connections_are_half_open() -> None:
    """No byte comes through for a time, and the connections of that time stay dead: new ones are made, and all are served."""
    async with fault_world(sessions=SESSIONS) as world:
        world.provider.delay_seconds = 0.5
        await warm(world)
        world.relay.swallow()
        await asyncio.sleep(20 if LONG else 6)
        world.relay.cut_swallowed()
        world.over()
        judge("store half open", await world.report())


@pytest.mark.requirement("R-205", "R-340")
async def test_back_channel_logouts_and_streams_while_the_store_is_away() -> None:
    """The provider repeats a logout that failed, and it ends the session and its open stream; the other streams go on, each its own
    user's."""
    async with fault_world(sessions=SESSIONS) as world:
        await warm(world)
        leaver, *others = [seat for seat in world.load.seats if not seat.leaving][:6]
        seen: dict[str, list[str]] = {seat.user: [] for seat in (leaver, *others)}
        streams = [asyncio.create_task(world.load.stream(seat, seen=seen[seat.user])) for seat in (leaver, *others)]
        await asyncio.sleep(1)
        world.relay.go_away()
        leaver.leaving = True
        telling = asyncio.create_task(world.signed_out_by_the_provider(leaver))
        await asyncio.sleep(20 if LONG else 6)
        world.relay.come_back()
        world.over()
        await telling
        leaver.signed_out_at = time.time()
        judge("back-channel logout, store away", await world.report())
        async with asyncio.timeout(30):
            await streams[0]
        assert [set(lines) for lines in seen.values()] == [{user} for user in seen]
        assert not any(stream.done() for stream in streams[1:])
        for stream in streams[1:]:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)
