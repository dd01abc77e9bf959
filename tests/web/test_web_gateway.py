"""A gateway is replaced whole: what is under way goes on with the former one, and what did not change is kept."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from bff.web.gateway import Gateway, build_gateway
from support.pool_usage import usage
from support.raw_world import RawWorld, raw_world
from support.scripted_upstream import Conversation, Received, response
from support.switched_lane import switched
from support.waiting import until

REJECTED = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"


@dataclass(slots=True)
class Slow:
    """An upstream's script that answers when it may, with the next of `answers` or with `200`."""

    may_answer: asyncio.Event = field(default_factory=asyncio.Event)
    answers: list[bytes] = field(default_factory=list)
    seen: list[Received] = field(default_factory=list)

    async def __call__(self, it: Conversation) -> None:
        """Serve one connection."""
        while True:
            self.seen.append(await it.request())
            await self.may_answer.wait()
            await it.send(self.answers.pop(0) if self.answers else response(b"fine"))


@pytest.fixture(params=["on", "off"])
def lane(request: pytest.FixtureRequest) -> Iterator[str]:
    """With the fast lane and without it."""
    with switched(request.param):
        yield request.param


@asynccontextmanager
async def a_site() -> AsyncIterator[tuple[RawWorld, Slow]]:
    """A gateway, and an idle connection to its upstream."""
    upstream = Slow()
    upstream.may_answer.set()
    async with raw_world(upstream) as site:
        assert (await site.ask(site.request("GET /api/first"))).status == 200
        upstream.seen.clear()
        upstream.may_answer.clear()
        yield site, upstream


def without_api(site: RawWorld) -> Gateway:
    """A gateway that has the route `/open` only."""
    routes = site.world.config.routes[2:3]
    return build_gateway(site.world.config.model_copy(update={"routes": routes}), site.world.app.process)


@pytest.mark.usefixtures("lane")
@pytest.mark.parametrize("answers", [[], [REJECTED]], ids=["plain", "token rejected"])
async def test_a_call_goes_on_with_the_gateway_that_judged_it(answers: list[bytes]) -> None:
    """A call that waits for its upstream is served to its end, also if it has to be sent again; the next one is not found."""
    async with a_site() as (site, upstream), site.connect() as browser:
        upstream.answers = answers
        await browser.say(site.request("GET /api/x"))
        await until(lambda: bool(upstream.seen))
        site.world.app.replace(without_api(site))
        upstream.may_answer.set()
        assert (await browser.reply()).status == 200
        await browser.say(site.request("GET /api/x"))
        assert (await browser.reply()).status == 404


@pytest.mark.usefixtures("lane")
async def test_content_follows_its_head() -> None:
    """Content that comes after the gateway was replaced goes to the route that was found for its head."""
    async with a_site() as (site, upstream), site.connect() as browser:
        upstream.may_answer.set()
        await browser.say(site.request("POST /api/x", b"Content-Length: 8"), b"half")
        await until(lambda: any(usage(pool).active for pool in site.world.app.process.pools))
        site.world.app.replace(without_api(site))
        await browser.say(b"half")
        assert (await browser.reply(to="POST")).status == 200
        assert upstream.seen[-1].content == b"halfhalf"


async def test_copies_of_sessions_are_made_anew() -> None:
    """What was found by a cookie that the former gateway accepted is looked up again."""
    async with a_site() as (site, upstream):
        upstream.may_answer.set()
        process = site.world.app.process
        assert len(process.copies) == 1
        site.world.app.replace(build_gateway(site.world.config, process))
        assert len(process.copies) == 0
        assert (await site.ask(site.request("GET /api/x"))).status == 200


async def test_what_did_not_change_is_kept() -> None:
    """Providers, their documents, the tokens held in memory and the connections are those of before."""
    async with a_site() as (site, _):
        process, former = site.world.app.process, site.world.app.gateway
        route = former.routes.routes[0]
        other = build_gateway(site.world.config.model_copy(update={"trusted_proxies": ()}), process)
        assert other is not former
        assert other.providers == former.providers
        assert other.tokens == former.tokens
        assert (
            other.forwarder.upstreams[route.prefix].members[0].pool
            is former.forwarder.upstreams[route.prefix].members[0].pool
        )


async def test_a_provider_that_changed_is_a_new_one() -> None:
    """So are its tokens that are held in memory; the other provider is the one of before, with its tokens."""
    async with a_site() as (site, _):
        process, former, config = site.world.app.process, site.world.app.gateway, site.world.config
        corp = config.providers["corp"].model_copy(update={"client_id": "another"})
        other = build_gateway(config.model_copy(update={"providers": {**config.providers, "corp": corp}}), process)
        assert other.providers["corp"] is not former.providers["corp"]
        assert other.providers["partner"] is former.providers["partner"]
        assert other.tokens["corp"] is not former.tokens["corp"]
        assert other.tokens["partner"] is former.tokens["partner"]
