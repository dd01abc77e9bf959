"""No fault of the provider ends a session: several gateways on one Valkey, load with canaries, and one fault at a time."""

import asyncio
import time

import pytest

from support.fault_judging import LONG, MEASURING, SESSIONS, judge, warm
from support.fault_world import LIFETIME_SECONDS as LIFETIME_OF_TOKENS
from support.fault_world import fault_world

pytestmark = [pytest.mark.faults, pytest.mark.asyncio]


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
    """Nothing is lost by connections that break before a token is rotated. The provider answers 503 for a moment first, because a
    rotated token whose answer is cut off is the inherent case."""
    async with fault_world(sessions=SESSIONS) as world:
        await warm(world)
        world.provider.refuse(503)
        await asyncio.sleep(0.5)
        world.way_to_provider.go_away()
        world.provider.recover()
        await asyncio.sleep(20 if LONG else 6)
        world.way_to_provider.come_back()
        world.over()
        judge("connections to the provider cut", await world.report(), recovered_within=5.0)


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
