"""No fault ends a session (issue of the same name): several gateways on one Valkey, a provider that rotates and detects reuse, load
with canaries, and one fault at a time. `make faults` runs the long form, `make faults-short` the one for CI.

Each run prints a line of figures; `docs/reliability.md` holds them. What the clock of a busy machine decides has wide limits here.
"""

import asyncio
import os
import signal
import time

import pytest

from bff.tokens.holder import LIFETIME_SECONDS
from support.fault_world import LIFETIME_SECONDS as LIFETIME_OF_TOKENS
from support.fault_world import FaultWorld, Report, fault_world

LONG = os.environ.get("FAULTS") == "long"
MEASURING = os.environ.get("FAULTS_MEASURE") == "1"  # print figures, judge nothing
SESSIONS = 60 if LONG else 30
WARM_SECONDS = 4.0
SOON_SECONDS = 3.0
SLOW = {"lifetime_seconds": 40} if LONG else {}  # an access token has to outlive an answer that comes after 14 s
SLOW_WARM_SECONDS = 22.0 if LONG else WARM_SECONDS  # to when the first refreshes are under way
SLACK_SECONDS = 2.0  # of a busy machine
IN_TRANSIT_SECONDS = 0.3

pytestmark = [pytest.mark.faults, pytest.mark.asyncio]


def judge(name: str, report: Report, *, recovered_within: float = SOON_SECONDS, inherent: int = 0) -> None:
    """The goals; `inherent` is how many sessions may be lost because their answer was lost with a process."""
    print(report.line(name), flush=True)
    if MEASURING:
        return
    assert report.wrong_users == 0
    assert report.resurrected == 0
    assert report.used_twice == 0
    assert report.lost <= inherent
    assert report.recovered_seconds <= recovered_within + SLACK_SECONDS or inherent


async def warm(world: FaultWorld, *, seconds: float = WARM_SECONDS) -> None:
    """Let every session be refreshed at least once, and two of them sign out."""
    await asyncio.sleep(seconds)
    await world.load.sign_out(2)


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


@pytest.mark.requirement("R-342")
async def test_provider_whose_answers_come_after_the_timeout() -> None:
    """Answers later than a request waits for are kept: nobody is signed out."""
    async with fault_world(sessions=SESSIONS, patience="1s") as world:
        await warm(world)
        world.provider.delay_seconds = 3.3
        await asyncio.sleep(30 if LONG else 10)
        world.provider.recover()
        world.over()
        judge("answers at 3.3 s, timeout 1 s", await world.report(), recovered_within=6.0)


@pytest.mark.requirement("R-343")
async def test_tokens_of_many_that_expire_at_once() -> None:
    """After an outage 150 sessions need a token at the same time, and each answer takes 2.5 s: all get theirs, and no one is lost."""
    async with fault_world(sessions=150, patience="6s", pause_seconds=1.0) as world:
        world.provider.refuse(503)
        await warm(world, seconds=LIFETIME_OF_TOKENS + 1)  # all have expired
        world.provider.recover()
        world.provider.delay_seconds = 2.5
        await asyncio.sleep(8)
        world.provider.recover()
        world.over()
        judge("150 expired at once, answers of 2.5 s", await world.report(), recovered_within=6.0)


@pytest.mark.requirement("R-342", "R-346")
async def test_provider_whose_connections_are_cut() -> None:
    """Before a request is read: nothing is lost. A call whose answer was on the way then is the inherent case."""
    async with fault_world(sessions=SESSIONS) as world:
        await warm(world)
        answering = len(world.provider.answering)
        world.way_to_provider.go_away()
        await asyncio.sleep(20 if LONG else 6)
        world.way_to_provider.come_back()
        world.over()
        judge("connections to the provider cut", await world.report(), recovered_within=5.0, inherent=answering)


@pytest.mark.requirement("R-342")
async def test_provider_that_hangs() -> None:
    """It takes requests and says nothing, not even a status: what it did is heard out when it goes on."""
    async with fault_world(sessions=SESSIONS, patience="2s") as world:
        await warm(world)
        held = world.provider.hold("/token")
        await asyncio.sleep(25 if LONG else 8)
        world.provider.release("/token")
        world.over()
        assert held.is_set()
        judge("provider hangs", await world.report())


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
        judge("browsers leave early", await world.report())


@pytest.mark.requirement("R-346")
async def test_provider_that_is_away() -> None:
    """An outage with 503 to every refresh: all are served within three seconds of its end."""
    away = 45 if LONG else 12
    async with fault_world(sessions=SESSIONS) as world:
        await warm(world)
        world.provider.refuse(503)
        await asyncio.sleep(away)
        world.provider.recover()
        world.over()
        judge(f"provider 503 for {away} s", await world.report())


@pytest.mark.requirement("R-346")
async def test_provider_that_says_when_to_come_back() -> None:
    """After a 429 with Retry-After nobody asks before that time, but for the calls that were under way."""
    async with fault_world(sessions=SESSIONS) as world:
        await warm(world)
        began = time.time()
        world.provider.refuse(429, retry_after=8)
        await asyncio.sleep(8)
        early = [use.at for use in world.provider.uses if use.at > began and not use.served]
        sooner = sum(1 for at in early if early[0] + 0.5 < at < early[0] + 7.5)
        world.provider.recover()
        world.over()
        report = await world.report(within_seconds=25)
        judge(f"429, Retry-After 8 s ({sooner} of {len(early)} calls came sooner)", report, recovered_within=11.0)
        assert MEASURING or sooner <= 1  # one process learns of it by its call, and tells the others


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
        headers = {"host": world.load.host, "cookie": seat.cookie, "x-csrf": "1", "sec-fetch-site": "same-origin"}
        answer = await world.balancer.gateways[1].client.get("/api/who", headers=headers)
        assert answer.json()["sub"] == newcomer


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


async def kill_one(world: FaultWorld) -> tuple[float, set[str]]:
    """Kill a process in the middle of its refreshes and start it again: when, and whose refreshes were under way, in any process."""
    gateway = world.balancer.gateways[1]
    delay, under_way, at = world.provider.delay_seconds, set(world.provider.answering), time.time()
    gateway.signal(signal.SIGKILL)
    await gateway.ended()
    world.provider.recover()
    gateway.start()
    await asyncio.sleep(8)
    world.over()
    just_sent = {use.user for use in world.provider.uses if abs(use.at - at) < IN_TRANSIT_SECONDS}
    just_answered = {use.user for use in world.provider.uses if abs(use.at + delay - at) < IN_TRANSIT_SECONDS}
    return at, under_way | just_sent | just_answered


@pytest.mark.requirement("R-341")
async def test_process_that_is_killed() -> None:
    """A process is killed: only sessions whose refresh it had sent may be lost, and no token is used twice for them. Their access
    tokens serve until they expire, and the other sessions notice nothing."""
    async with fault_world(sessions=SESSIONS) as world:
        world.provider.delay_seconds = 2.0
        await warm(world)
        at, victims = await kill_one(world)
        judge(f"SIGKILL ({len(victims)} refreshes under way)", await world.report(), inherent=len(victims))
        for seat in [] if MEASURING else world.load.seats:
            refused = [then for then in seat.refused_at if then > at]
            assert not refused or seat.leaving or seat.user in victims
            assert not refused or seat.leaving or refused[0] > seat.token_ends_at - SLACK_SECONDS


@pytest.mark.requirement("R-341")
async def test_process_that_is_killed_at_a_provider_that_does_not_rotate() -> None:
    """The refresh tokens of the killed process's sessions are good: they are sent again when its leases have run out."""
    async with fault_world(sessions=SESSIONS) as world:
        world.provider.misbehave(rotate=False)
        world.provider.delay_seconds = 2.0
        await warm(world, seconds=2 * WARM_SECONDS)  # each process sees that it does not rotate
        _, victims = await kill_one(world)
        report = await world.report(within_seconds=30)
        judge(f"SIGKILL, no rotation ({len(victims)} refreshes under way)", report, recovered_within=LIFETIME_SECONDS)
