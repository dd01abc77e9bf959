"""Thousands of calls through the whole gateway, most in the lane, disturbed at random: each browser sees only bytes of its own.

`tests/proxy/test_forward_canary.py` does the same to the forwarder alone, with cancelled tasks. Here connections are real: they are
reset before the answer, in its middle, and in the middle of what the browser sends.
"""

import asyncio
import random
from collections import Counter
from dataclasses import dataclass

import pytest

from bff.proxy.fields import SESSION_COOKIE
from support.mischief import Mischief, own_content
from support.mixed_traffic import tasks_of_exchanges
from support.pool_usage import usage
from support.raw_browser import RawBrowser, Reply, Truncated
from support.raw_world import RawWorld, raw_world
from support.switched_lane import switched
from support.waiting import until

CONCURRENT = 48
SESSIONS = 4
ROUTE = {
    "path": "/api",
    "upstream": "{raw}",
    "provider": "corp",
    "timeouts": {"connect": "20s", "first_byte": "400ms", "idle": "400ms"},
    "max_connections": 40,
    "max_waiting": 1000,
}


@dataclass(slots=True)
class User:
    """One session; `bearer` is learned from the first answer, and all others must be of it."""

    cookie: bytes
    bearer: bytes = b""


class Traffic:
    """The browsers: each is a connection that is used until its gateway or its fate ends it."""

    def __init__(self, site: RawWorld, users: list[User], chance: random.Random, *, requests: int) -> None:
        self.endings: Counter[str] = Counter()
        self._site = site
        self._users = users
        self._chance = chance
        self._numbers = iter(range(requests))

    async def browse(self) -> None:
        """Connect anew until all requests are made."""
        for number in self._numbers:
            async with self._site.connect() as browser:
                ending = await self._call(browser, number)
                while (
                    ending == "answered" and not browser.ended and (following := next(self._numbers, None)) is not None
                ):
                    self.endings[ending] += 1
                    ending = await self._call(browser, following)
                self.endings[ending] += 1

    async def _call(self, browser: RawBrowser, number: int) -> str:
        user, chance = self._chance.choice(self._users), self._chance
        head, content = self._request(user, number)
        fate = chance.random()
        if fate < 0.05:
            await browser.say(head[: chance.randrange(len(head))])
        elif content and fate < 0.10:
            await browser.say(head, content[: chance.randrange(len(content))])
        else:
            await browser.say(head, *([content] if content else []))
        if fate < 0.2:
            await asyncio.sleep(chance.choice([0, 0, 0.001, 0.01]))
            browser.leave()
            return "left"
        try:
            reply = await browser.reply()
        except Truncated as cut:
            if cut.status == 200 and user.bearer:
                self._is_own(cut.body, user, number)
            return "cut"
        self._judge(reply, user, number)
        return "answered" if reply.status == 200 else str(reply.status)

    def _request(self, user: User, number: int) -> tuple[bytes, bytes]:
        lines = [
            b"Host: " + self._site.host,
            b"Cookie: %b=%b" % (SESSION_COOKIE.encode(), user.cookie),
            b"X-CSRF: 1",
            b"Sec-Fetch-Site: same-origin",
        ]
        if self._chance.random() < 0.7:
            return b"\r\n".join([b"GET /api/%d HTTP/1.1" % number, *lines, b"", b""]), b""
        size = self._chance.choice([1, 5000])
        head = b"\r\n".join([b"POST /api/%d HTTP/1.1" % number, *lines, b"Transfer-Encoding: chunked", b"", b""])
        return head, b"%x\r\n%b\r\n0\r\n\r\n" % (size, b"x" * size)

    def _judge(self, reply: Reply, user: User, number: int) -> None:
        if reply.status != 200:
            assert reply.values("x-owner") == []
            return
        (owner,) = reply.values("x-owner")
        user.bearer = user.bearer or owner.encode()[1:].split(b" ")[0]
        assert owner.encode() == own_content(user.bearer, b"/%d" % number)
        self._is_own(reply.body, user, number)

    def _is_own(self, content: bytes, user: User, number: int) -> None:
        own = own_content(user.bearer, b"/%d" % number)
        assert (own * (len(content) // len(own) + 1)).startswith(content)


@pytest.mark.requirement("R-250", "R-262", "R-279")
@pytest.mark.parametrize("lane", ["on", "off"])
@pytest.mark.parametrize("requests", [1500, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_each_browser_sees_only_its_own(lane: str, requests: int) -> None:
    """Four sessions over few upstream connections; at the end no place, connection or task is left."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")  # shown when the test fails
    with switched(lane):
        async with raw_world(Mischief(seed), routes=[ROUTE]) as site:
            users = [User((await _cookie(site)).encode()) for _ in range(SESSIONS)]
            traffic = Traffic(site, users, random.Random(seed), requests=requests)  # noqa: S311  (to be repeatable is the point)
            await asyncio.gather(*(traffic.browse() for _ in range(CONCURRENT)))
            (pool,) = site.world.app.process.pools
            await until(lambda: usage(pool).active == usage(pool).waiting == 0)
            await until(lambda: usage(pool).connections == usage(pool).idle and not tasks_of_exchanges())
    assert sum(traffic.endings.values()) == requests
    assert traffic.endings["answered"] > requests / 10
    assert {"answered", "left", "cut", "502", "504"} <= traffic.endings.keys()
    assert len({user.bearer for user in users}) == SESSIONS


async def _cookie(site: RawWorld) -> str:
    browser = await site.world.signed_in()
    return browser.cookie(SESSION_COOKIE) or ""
