"""No end or standstill of a process, no clock and no browser that leaves ends a session, but for refreshes that died with it."""

import asyncio
import signal
import time

import pytest

from bff.tokens.holder import LIFETIME_SECONDS
from bff.tokens.renewal import GRACE_SECONDS
from support.fault_judging import (
    LONG,
    MEASURING,
    SESSIONS,
    SLACK_SECONDS,
    SLOW,
    SLOW_WARM_SECONDS,
    SOON_SECONDS,
    WARM_SECONDS,
    judge,
    warm,
)
from support.fault_load import Seat
from support.fault_world import FaultWorld, fault_world

pytestmark = [pytest.mark.faults, pytest.mark.asyncio]

CALL_LIMIT_SECONDS = 10  # short, so that the end of the wait for a lost answer comes soon


@pytest.mark.requirement("R-324", "R-349")
async def test_clocks_two_minutes_apart() -> None:
    """One process is two minutes behind, another two minutes ahead: they refresh more often than they have to, and end no session."""
    async with fault_world(sessions=SESSIONS, ahead_seconds=(0.0, -120.0, 120.0)) as world:
        await warm(world)
        await asyncio.sleep(20 if LONG else 8)
        world.over()
        judge("clocks two minutes apart", await world.report(), recovered_within=6.0)
        assert any(gateway.events("clock.skewed") for gateway in world.balancer.gateways)


@pytest.mark.requirement("R-139", "R-344")
async def test_browsers_that_leave_before_the_answer() -> None:
    """Connections are closed while their sessions are refreshed: the refreshes go on, and the others get their answers."""
    async with fault_world(sessions=SESSIONS) as world:
        world.provider.delay_seconds = 1.0
        leaving = [asyncio.create_task(world.load.leave_early(after_seconds=0.2)) for _ in range(10)]
        await warm(world, seconds=2 * WARM_SECONDS)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
        world.over()
        judge("browsers leave early", await world.report(), recovered_within=6.0)


@pytest.mark.requirement("R-344")
@pytest.mark.parametrize("signals", [1, 2])
async def test_stopping_while_the_provider_is_slow(signals: int) -> None:
    """SIGTERM while refreshes are under way: their answers are heard and written before the process ends, also if it is told twice."""
    async with fault_world(sessions=SESSIONS, patience="30s" if LONG else "5s", **SLOW) as world:
        world.provider.delay_seconds = 14.0 if LONG else 4.0
        await warm(world, seconds=SLOW_WARM_SECONDS)
        gateway = world.balancer.gateways[1]
        gateway.signal(signal.SIGTERM)
        if signals > 1:
            await asyncio.sleep(0.5)
            gateway.signal(signal.SIGTERM)
        await gateway.ended()
        world.provider.recover()
        gateway.start()
        await asyncio.sleep(4)
        world.over()
        judge(f"SIGTERM {'twice ' if signals > 1 else ''}during slow refreshes", await world.report())


@pytest.mark.requirement("R-344")
async def test_signing_in_while_the_process_stops() -> None:
    """SIGTERM while a code is being redeemed: the sign-in ends well, and its session is served by the other processes."""
    async with fault_world(sessions=2) as world:
        (newcomer,) = world.provider.people(1)
        before = len(world.provider.calls_to("/token"))
        world.provider.hold("/token")
        signing_in = asyncio.create_task(world.signed_in(newcomer))
        await world.provider.arrived("/token", count=before + 1)
        gateway = world.balancer.gateways[0]
        gateway.signal(signal.SIGTERM)
        await asyncio.sleep(1)
        world.provider.release("/token")
        seat = await signing_in
        await gateway.ended()
        assert await who_is(world, seat) == newcomer


@pytest.mark.requirement("R-344")
async def test_rolling_restart_under_load() -> None:
    """Every process is replaced in turn while the provider is slow: no request stays without an answer."""
    async with fault_world(sessions=SESSIONS, pause_seconds=0.2, patience="30s", **SLOW) as world:
        await warm(world, seconds=SLOW_WARM_SECONDS)
        world.provider.delay_seconds = 14.0 if LONG else 1.5
        for gateway in world.balancer.gateways:
            gateway.signal(signal.SIGTERM)
            await gateway.ended()
            gateway.start()
            async with asyncio.timeout(30):
                while not gateway.ready:
                    await asyncio.sleep(0.05)
        world.over()
        report = await world.report()
        judge("rolling restart", report, recovered_within=8.0)
        assert MEASURING or report.broken == 0


@pytest.mark.requirement("R-341")
async def test_process_that_stands_still() -> None:
    """A process is stopped in the middle of its refreshes and goes on later: its tokens are not used by the others meanwhile."""
    still = 20 if LONG else 8
    async with fault_world(sessions=SESSIONS) as world:
        world.provider.delay_seconds = 1.0
        await warm(world)
        gateway = world.balancer.gateways[1]
        gateway.signal(signal.SIGSTOP)
        await asyncio.sleep(still)
        gateway.signal(signal.SIGCONT)
        world.over()
        judge(f"SIGSTOP {still} s", await world.report(), recovered_within=6.0)


async def kill_one(world: FaultWorld) -> tuple[float, int]:
    """Kill a process in the middle of its refreshes and start it again: when, and how many refreshes were under way, in all."""
    gateway = world.balancer.gateways[1]
    at, under_way = time.time(), world.provider.under_way
    gateway.signal(signal.SIGKILL)
    await gateway.ended()
    world.provider.recover()
    gateway.start()
    await asyncio.sleep(8)
    world.over()
    return at, under_way


def refused_since(world: FaultWorld, at: float) -> dict[str, Seat]:
    """The sessions that had an answer other than 200, by user."""
    return {seat.user: seat for seat in world.load.seats if any(then > at for then in seat.refused_at)}


@pytest.mark.requirement("R-341")
async def test_process_that_is_killed() -> None:
    """A process is killed: only sessions whose refresh it had sent are lost, and no token is used twice for them. Their access tokens
    serve until they expire, and the other sessions notice nothing. When no answer can come any more, their users are asked to sign in,
    which they can at the processes that are left."""
    async with fault_world(sessions=SESSIONS, call_limit=f"{CALL_LIMIT_SECONDS}s") as world:
        world.provider.delay_seconds = 1.5
        await warm(world)
        at, under_way = await kill_one(world)
        report = await world.report(without=refused_since(world, at))
        served_again_at = world.fault_ended_at + SOON_SECONDS + SLACK_SECONDS
        async with asyncio.timeout(CALL_LIMIT_SECONDS + GRACE_SECONDS + SOON_SECONDS + SLACK_SECONDS):
            while any(seat.last_status not in {200, 401} for seat in refused_since(world, at).values()):
                await asyncio.sleep(0.05)
        refused = refused_since(world, served_again_at)
        refreshed_since = {use.user for use in world.provider.uses if use.at > at + SLACK_SECONDS}
        judge(
            f"SIGKILL ({under_way} refreshes under way, {len(refused)} sessions refused)", report, inherent=len(refused)
        )
        assert not refused.keys() & refreshed_since, "a session whose refresh token was good"
        for seat in refused.values():
            assert MEASURING or min(then for then in seat.refused_at if then > at) > seat.token_ends_at - SLACK_SECONDS
        assert {seat.user for seat in world.load.lost} <= refused.keys()
        for seat in world.load.lost:
            assert await who_is(world, await world.signed_in(seat.user)) == seat.user


async def who_is(world: FaultWorld, seat: Seat) -> str:
    """Whom the API sees, through another process than that of the sign-in."""
    headers = {"host": world.load.host, "cookie": seat.cookie, "x-csrf": "1", "sec-fetch-site": "same-origin"}
    answer = await world.balancer.gateways[1].client.get("/api/who", headers=headers)
    return str(answer.json()["sub"])


@pytest.mark.requirement("R-341")
async def test_process_that_is_killed_at_a_provider_that_does_not_rotate() -> None:
    """The refresh tokens of the killed process's sessions are good: they are sent again when its leases have run out."""
    async with fault_world(sessions=SESSIONS) as world:
        world.provider.misbehave(rotate=False)
        world.provider.delay_seconds = 1.5
        await warm(world, seconds=2 * WARM_SECONDS)  # each process sees that it does not rotate
        _, under_way = await kill_one(world)
        report = await world.report(within_seconds=30)
        judge(f"SIGKILL, no rotation ({under_way} refreshes under way)", report, recovered_within=LIFETIME_SECONDS)
