"""Pools in tests: one pool to a scripted upstream, and requests as the rewrite would make them."""

import itertools
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bff.config.model import TimeoutConfig
from bff.config.values.urls import parse_upstream
from bff.proxy.browser import Receive
from bff.proxy.dialing import Dialer, TlsSettings, UpstreamTls
from bff.proxy.places import Owner
from bff.proxy.pool import UpstreamPool
from bff.proxy.response import UpstreamResponse
from bff.proxy.upstream import Member, Upstream
from bff.proxy.upstream_request import UpstreamRequest
from bff.request_head import NO_FIELDS, field_block
from support.asgi_browser import AsgiBrowser
from support.pool_usage import usage
from support.scripted_upstream import ScriptedUpstream
from support.waiting import until

_numbers = itertools.count()


def a_new_owner() -> Owner:
    """One who has no place yet."""
    return Owner(True, f"session {next(_numbers)}")


class Clock:
    """A clock that stands still until a test moves it; `later` also waits until the pool has looked at it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.looks = 0

    def __call__(self) -> float:
        """Seconds."""
        self.looks += 1
        return self.now

    async def looked_at(self) -> None:
        """Returns after the next look."""
        looks = self.looks
        await until(lambda: self.looks > looks)

    async def later(self, seconds: float) -> None:
        """Lets the pool see what is under way, and then that so much time has passed."""
        await self.looked_at()
        self.now += seconds
        await self.looked_at()


UNHURRIED = TimeoutConfig(connect=20.0, first_byte=20.0, idle=20.0)
# On a test's own clock the size of a limit does not matter, but the pool looks at the clock four times in the shortest one.
MS = 0.001
LIMITS = TimeoutConfig(connect=20.0, first_byte=20 * MS, idle=20 * MS, total=100 * MS)


def a_request(
    method: bytes = b"GET", target: bytes = b"/", *, length: int | None = None, chunked: bool = False
) -> UpstreamRequest:
    """A rewritten request."""
    fields = [(b"authorization", b"Bearer abc")]
    if length is not None:
        fields.append((b"content-length", b"%d" % length))
    if chunked:
        fields.append((b"transfer-encoding", b"chunked"))
    return UpstreamRequest(method, target, b"upstream", NO_FIELDS, (field_block(fields),), length, chunked)


def an_upstream_tls(settings: TlsSettings = TlsSettings()) -> UpstreamTls:  # noqa: B008 - frozen
    """TLS towards an upstream, by the system's roots unless said."""
    return UpstreamTls(settings, unusable=print)


class WholeUpstream(UpstreamPool):
    """A pool that is all of an upstream."""

    async def send(
        self, request: UpstreamRequest, receive: Receive, *, max_body: int, owner: Owner
    ) -> UpstreamResponse:
        """The response to one request."""
        upstream = Upstream([Member(self, request.authority)])
        return await upstream.send(request, receive, max_body=max_body, owner=owner)


@asynccontextmanager
async def pool_to(
    upstream: ScriptedUpstream | str,
    *,
    timeouts: TimeoutConfig = UNHURRIED,
    max_connections: int = 8,
    max_waiting: int = 8,
    max_age: float = 3600.0,
    tls: UpstreamTls | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[WholeUpstream]:
    """A pool that must have nothing under way when the test is over."""
    url = parse_upstream(upstream if isinstance(upstream, str) else upstream.url)
    pool = WholeUpstream(
        Dialer(url, tls=tls, clock=clock),
        timeouts=timeouts,
        max_connections=max_connections,
        max_waiting=max_waiting,
        max_age=max_age,
        clock=clock,
    )
    try:
        yield pool
        assert usage(pool).active == 0
        assert usage(pool).waiting == 0
    finally:
        await pool.aclose()
    await until(lambda: usage(pool).connections == 0)


async def fetch(
    pool: WholeUpstream, request: UpstreamRequest, browser: AsgiBrowser | None = None, *, max_body: int = 1 << 30
) -> AsgiBrowser:
    """One exchange from end to end; the browser that saw it."""
    browser = browser or AsgiBrowser()
    answer: UpstreamResponse = await pool.send(request, browser.receive, max_body=max_body, owner=a_new_owner())
    await answer.relay(browser.send)
    return browser
