"""No fault of the store ends a session: several gateways, a provider that rotates and detects reuse, load with canaries."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from support.fault_judging import LONG, SESSIONS, judge, warm
from support.fault_world import fault_world
from support.store_refusals import demoted, in_a_script, without_replicas
from support.valkey_server import ValkeyServer

pytestmark = [pytest.mark.faults, pytest.mark.asyncio]

FEW = 30 if LONG else 14


@contextmanager
def without_a_disk(valkey: ValkeyServer) -> Iterator[None]:
    """It cannot write its snapshot, and takes no writes (MISCONF)."""
    valkey.lose_its_disk()
    yield
    valkey.ask("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")


REFUSALS = {
    "store_script_runs": in_a_script,
    "store_no_replicas": without_replicas,
    "store_read_only": demoted,
    "store_cannot_save": without_a_disk,
}


@pytest.mark.requirement("R-183", "R-345")
async def test_store_that_stands_still_for_five_seconds() -> None:
    """A paused store: requests wait or are refused, and all are served soon after it goes on. Who signs out meanwhile is refused until
    the store takes it, whether or not it gets to know of the first try, and is signed out then."""
    async with fault_world(sessions=SESSIONS) as world:
        world.provider.delay_seconds = 0.5
        await warm(world)
        world.valkey.pause()
        leaving = asyncio.create_task(world.load.sign_out(3))
        await asyncio.sleep(5)
        world.valkey.go_on()
        await leaving
        world.over()
        judge("store paused 5 s", await world.report())


@pytest.mark.requirement("R-190", "R-340")
async def test_store_that_refuses() -> None:
    """One refusal after the other, each with its reason in the log: a script that does not end, too few replicas, a replica that takes
    no writes, a disk that is full. Nobody is signed out who does not sign out."""
    async with fault_world(sessions=FEW, processes=2) as world:
        world.provider.delay_seconds = 0.5
        await warm(world)
        leaving = asyncio.create_task(world.load.sign_out(1))
        for reason, refusal in REFUSALS.items():
            with refusal(world.valkey):
                await asyncio.sleep(5 if LONG else 2)
                await world.told(reason)
        world.over()
        await leaving
        judge("store refuses", await world.report())


@pytest.mark.requirement("R-340", "R-341")
async def test_store_whose_answers_are_torn() -> None:
    """Each connection breaks in the middle of an answer, and the scripts are forgotten: no answer is taken for another one's."""
    async with fault_world(sessions=FEW, processes=2) as world:
        world.provider.delay_seconds = 0.5
        await warm(world)
        world.relay.tear(7, 45, 130, 401, 1009, 2503, 5003, 9973)
        for _ in range(40 if LONG else 12):
            await asyncio.sleep(0.5)
            world.valkey.ask("SCRIPT", "FLUSH")
        world.relay.tear()
        world.over()
        judge("store's answers torn", await world.report())


@pytest.mark.requirement("R-183", "R-340")
async def test_store_that_restarts_from_a_snapshot() -> None:
    """Who has signed out since stays signed out, in a process that only heard of it too. Of those whose token was refreshed since, no
    more are lost than that: most are written again in time."""
    async with fault_world(sessions=SESSIONS, processes=2, lifetime_seconds=24) as world:
        await world.refreshed(1)
        world.valkey.ask("SAVE")
        before = len(world.provider.uses)
        await world.load.sign_out(3)
        await world.refreshed(6)
        world.valkey.stop()
        since = {use.user for use in world.provider.uses[before:]} | set(world.provider.answering)
        world.valkey.start()
        world.over()
        report = await world.report()
        print(report.line(f"store restarts from a snapshot ({len(since)} refreshed since)"), flush=True)
        assert (report.wrong_users, report.resurrected, report.late_tokens) == (0, 0, 0)
        assert {seat.user for seat in world.load.lost} <= since
        assert report.used_twice <= len(since)


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
