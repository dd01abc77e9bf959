"""Everybody at once, everything going wrong at random: nobody ever receives a byte that was meant for somebody else.

The upstream answers with the bearer it was sent, over and over, in any framing, cut anywhere; it over-sends, breaks off, stalls,
answers early. Browsers leave at random, requests are cancelled, responses discarded. Whatever a browser got, status or not, must
be a piece of its own answer; and when all is over, nothing is left.
"""

import asyncio
import random

import pytest

from bff.config.model import RouteConfig, TimeoutConfig
from bff.errors import BffError
from support.asgi_browser import AsgiBrowser
from support.forwarding import Forwarding, forwarding
from support.mischief import Mischief, own_content
from support.pool_usage import usage
from support.scripted_upstream import scripted_upstream
from support.waiting import until

CONCURRENT = 64
USERS = 50


async def _one(room: Forwarding, number: int, chance: random.Random) -> str:
    """One user's request; how it ended, after whatever it got was found to be its own."""
    bearer, target = b"user-%d" % chance.randrange(USERS), b"/%d" % number
    sends = chance.random() < 0.3
    browser = AsgiBrowser([b"x" * chance.choice([1, 5000]) for _ in range(3)] if sends else ())
    fields = [(b"transfer-encoding", b"chunked")] if sends else []
    fetching = asyncio.ensure_future(
        room.fetch(
            f"/api/{number}", *fields, method="POST" if sends else "GET", bearer=bearer.decode(), browser=browser
        )
    )
    await _disturb(fetching, browser, chance)
    try:
        await fetching
        ending = "answered"
    except BffError as error:
        ending = type(error).__name__
    except asyncio.CancelledError:
        ending = "cancelled"
    own = own_content(bearer, target)
    copies = len(browser.content) // len(own) + 1
    assert (own * copies).startswith(browser.content)
    assert {value for name, value in browser.fields if name == b"x-owner"} <= {own}
    assert browser.complete == (ending == "answered")
    return ending


async def _disturb(fetching: "asyncio.Future[AsgiBrowser]", browser: AsgiBrowser, chance: random.Random) -> None:
    fate = chance.random()
    if fate > 0.3:
        return
    await asyncio.sleep(chance.choice([0, 0, 0.001, 0.01, 0.05]))
    if fate < 0.1:
        fetching.cancel()
    elif fate < 0.2:
        browser.leave()
    else:
        browser.reads.clear()
        await asyncio.sleep(chance.choice([0, 0.01]))
        browser.reads.set()


@pytest.mark.requirement("R-250", "R-262", "R-279")
@pytest.mark.parametrize("requests", [3000, pytest.param(20_000, marks=pytest.mark.slow)])
async def test_nobody_receives_anybody_elses_bytes(requests: int) -> None:
    """Thousands of requests of many users over few connections, disturbed at random, and nothing left behind."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # shown when the test fails
    chance = random.Random(seed)  # noqa: S311  (to be repeatable is the point)
    endings: dict[str, int] = {}
    numbers = iter(range(requests))

    async def user() -> None:
        for number in numbers:
            ending = await _one(room, number, chance)
            endings[ending] = endings.get(ending, 0) + 1

    timeouts = TimeoutConfig(connect=20.0, first_byte=0.4, idle=0.4)
    async with scripted_upstream(Mischief(seed)) as upstream:
        tasks = len(asyncio.all_tasks())
        route = RouteConfig(path="/api", upstream=upstream.url, timeouts=timeouts, max_connections=40, max_waiting=1000)
        async with forwarding(route) as room:
            await asyncio.gather(*(user() for _ in range(CONCURRENT)))
            (pool,) = room.pools
            assert usage(pool).active == usage(pool).waiting == 0
            await until(lambda: usage(pool).connections == usage(pool).idle)
        await until(lambda: upstream.open == 0)
        await until(lambda: len(asyncio.all_tasks()) == tasks)
    assert sum(endings.values()) == requests
    assert endings["answered"] > requests / 10
    assert {"answered", "cancelled", "BrowserGone", "UpstreamBroke", "UpstreamTimeout"} <= endings.keys()
