"""Lists of upstreams over real sockets: who answers, who is left out, and what is sent again elsewhere."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from bff.config.model import HealthConfig, RouteConfig
from bff.config.values.urls import UpstreamUrl, parse_upstream
from bff.errors import UpstreamBroke, UpstreamUnreachable
from support.asgi_browser import AsgiBrowser
from support.forwarding import Forwarding, forwarding
from support.free_ports import free_port
from support.scripted_upstream import (
    Conversation,
    Received,
    ScriptedUpstream,
    answering,
    chunked,
    echo,
    response,
    scripted_upstream,
    silent,
)
from support.standing_clock import standing_clock
from support.waiting import until

Script = Callable[[Conversation], Awaitable[None]]
SAYS_A, SAYS_B = answering(b"a"), answering(b"b")


@asynccontextmanager
async def two(
    first: Script = SAYS_A, second: Script = SAYS_B, **route: object
) -> AsyncIterator[tuple[Forwarding, ScriptedUpstream, ScriptedUpstream]]:
    """A route with a list of two upstreams."""
    async with scripted_upstream(first) as a, scripted_upstream(second) as b:
        config = RouteConfig(path="/api", upstream=[a.url, b.url], **route)  # type: ignore[arg-type]  # keys of a route
        async with forwarding(config) as room:
            yield room, a, b


def dead() -> str:
    """The URL of an upstream that refuses."""
    return f"http://127.0.0.1:{free_port()}"


# --- balance ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("balance", ["round_robin", "least_busy"])
async def test_all_of_a_list_answer(balance: str) -> None:
    """One request after the other goes round."""
    async with two(balance=balance) as (room, _, __):
        answers = Counter([(await room.fetch()).content for _ in range(10)])
    assert answers == {b"a": 5, b"b": 5}


async def test_the_least_busy_one_answers() -> None:
    """While one is at work on a request, the others go to the other."""
    async with two(silent) as (room, a, _):
        slow = asyncio.ensure_future(room.fetch())
        await until(lambda: a.open == 1)
        assert [(await room.fetch()).content for _ in range(5)] == [b"b"] * 5
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)


async def test_one_whose_places_are_taken_is_passed_over() -> None:
    """In turn, but nobody stands in line for one while the other has places."""
    async with two(silent, balance="round_robin", max_connections=1) as (room, a, _):
        slow = asyncio.ensure_future(room.fetch())
        await until(lambda: a.open == 1)
        assert [(await room.fetch()).content for _ in range(5)] == [b"b"] * 5
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)


async def test_each_sees_its_own_host_or_all_the_public_one() -> None:
    """`Host` is that of the one that answers; with `pass_host` it is the browser's."""
    seen: list[list[bytes]] = []

    async def hosts(it: Conversation) -> None:
        while True:
            seen.append((await it.request()).values(b"host"))
            await it.send(response(b""))

    async with two(hosts, hosts) as (room, a, b):
        for _ in range(2):
            await room.fetch()
        assert seen == [[f"127.0.0.1:{one.port}".encode()] for one in (a, b)]
    seen.clear()
    async with two(hosts, hosts, pass_host=True) as (room, _, __):
        for _ in range(2):
            await room.fetch()
    assert seen == [[b"app.example.com"]] * 2


@pytest.mark.requirement("R-360")
async def test_a_redirect_to_any_of_a_list_becomes_public() -> None:
    """One that sends the browser to another of its list does not show an inner host."""
    async with scripted_upstream(echo) as other:
        redirect = answering(b"", f"Location: {other.url}/v2/items/?a=1", status="307 Temporary Redirect")
        async with scripted_upstream(redirect) as one:
            urls = (f"{one.url}/v2", f"{other.url}/v2")
            async with forwarding(RouteConfig(path="/api", upstream=urls)) as room:
                browser = await room.fetch("/api/items")
    assert dict(browser.fields)[b"location"] == b"https://app.example.com/api/items/?a=1"


# --- left out, and sent elsewhere -------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
async def test_where_no_connection_can_be_made_another_one_answers(method: str) -> None:
    """Nothing was sent, so it does not matter what the request does; the one that failed gets no further request now."""
    async with scripted_upstream(echo) as alive:
        gone = dead()
        async with forwarding(RouteConfig(path="/api", upstream=[gone, alive.url])) as room:
            content = [] if method == "GET" else [b"half ", b"and half"]
            for _ in range(3):
                browser = AsgiBrowser(content)
                length = (b"content-length", b"13")
                await room.fetch("/api/x", *([length] if content else []), method=method, browser=browser)
                assert browser.content == b"/x|" + b"".join(content)
            assert room.watching.told == [(gone, "refused")]


async def test_one_that_breaks_is_left_out_and_tried_again() -> None:
    """A request without content goes to another; after the pause one request tries it, and its answer takes it back."""
    breaks = True

    async def wavering(it: Conversation) -> None:
        while True:
            await it.request()
            if breaks:
                it.close()
                return
            await it.send(response(b"a"))

    async with two(wavering) as (room, a, _):
        standing_clock(room.forwarder, room.pools, 100.0)
        assert [(await room.fetch()).content for _ in range(4)] == [b"b"] * 4
        assert room.watching.told == [(a.url, "lost")]
        breaks = False
        standing_clock(room.forwarder, room.pools, 101.0)
        assert {(await room.fetch()).content for _ in range(4)} == {b"a", b"b"}
    assert room.watching.told == [(a.url, "lost"), (a.url, None)]


@pytest.mark.parametrize(("method", "content"), [("POST", []), ("PUT", [b"x"])])
async def test_what_may_have_been_carried_out_is_not_sent_elsewhere(method: str, content: list[bytes]) -> None:
    """The connection took the request and broke: it is answered with the failure."""

    async def takes_and_breaks(it: Conversation) -> None:
        await it.request()
        it.close()

    async with two(takes_and_breaks) as (room, _, b):
        length = [(b"content-length", b"1")] if content else []
        with pytest.raises(UpstreamBroke):
            await room.fetch("/api/x", *length, method=method, browser=AsgiBrowser(content))
        assert b.conversations == []


async def test_an_answer_that_has_begun_is_not_asked_for_again() -> None:
    """A byte of it forbids that; the one that broke off is left out."""

    async def breaks_off(it: Conversation) -> None:
        await it.request()
        await it.send(chunked(b"half")[:-8])
        it.close()

    async with two(breaks_off) as (room, a, _):
        with pytest.raises(UpstreamBroke):
            await room.fetch()
        assert room.watching.told == [(a.url, "lost")]


async def test_if_all_are_left_out_all_are_tried() -> None:
    """Each request finds the one that is alive again, without waiting for a pause to end; each is tried once."""
    gone, port = dead(), free_port()
    async with forwarding(RouteConfig(path="/api", upstream=[gone, f"http://127.0.0.1:{port}"])) as room:
        standing_clock(room.forwarder, room.pools, 100.0)
        for _ in range(2):
            with pytest.raises(UpstreamUnreachable):
                await room.fetch()
        async with scripted_upstream(answering(b"alive"), port=port):
            assert [(await room.fetch()).content for _ in range(3)] == [b"alive"] * 3
    assert [reason for _, reason in room.watching.told] == ["refused", "refused", None]


async def test_one_that_is_alone_is_always_tried() -> None:
    """It is said to be away, and the next request finds it back."""
    port = free_port()
    async with forwarding(RouteConfig(path="/api", upstream=f"http://127.0.0.1:{port}")) as room:
        with pytest.raises(UpstreamUnreachable):
            await room.fetch()
        async with scripted_upstream(answering(b"alive"), port=port) as upstream:
            assert (await room.fetch()).content == b"alive"
        assert room.watching.told == [(upstream.url, "refused"), (upstream.url, None)]


async def test_an_idle_connection_that_was_closed_says_nothing() -> None:
    """Servers close idle connections: that is no failure, also where the request may not be repeated."""

    async def one_answer(it: Conversation) -> None:
        await it.request()
        await it.send(response(b"once"))
        await it.head()
        it.close()

    async with (
        scripted_upstream(one_answer) as upstream,
        forwarding(RouteConfig(path="/api", upstream=upstream.url)) as room,
    ):
        await room.fetch()
        with pytest.raises(UpstreamBroke):
            await room.fetch(method="POST")
        assert room.watching.told == []


# --- health -----------------------------------------------------------------------------------------------------------

QUICK = HealthConfig(path="/healthz?full=1", interval=0.01, timeout=5.0)


class Ready:
    """An application with a health page."""

    def __init__(self, name: bytes) -> None:
        self.name, self.status, self.asked = name, "200 OK", list[Received]()

    async def __call__(self, it: Conversation) -> None:
        """The script."""
        while True:
            seen = await it.request()
            if seen.target.startswith(b"/healthz"):
                self.asked.append(seen)
                await it.send(response(b"", status=self.status))
            else:
                await it.send(response(self.name))


@pytest.mark.parametrize("status", ["503 Unavailable", "404 Not Found", "500 Oops"])
async def test_one_that_is_not_well_gets_no_requests(status: str) -> None:
    """Its check says so, though it would answer; the next check that passes takes it back. The question holds no token."""
    a, b = Ready(b"a"), Ready(b"b")
    async with two(a, b, health=QUICK) as (room, first, _):
        room.pools.follow([route.config for route in room.table.routes])
        a.status = status
        await until(lambda: room.watching.told == [(first.url, f"status {status[:3]}")])
        assert [(await room.fetch()).content for _ in range(4)] == [b"b"] * 4
        a.status = "302 Found"
        await until(lambda: room.watching.told[1:] == [(first.url, None)])
        assert {(await room.fetch()).content for _ in range(4)} == {b"a", b"b"}
        asked = a.asked[0]
        assert (asked.method, asked.target) == (b"GET", b"/healthz?full=1")
        assert asked.values(b"host") == [f"127.0.0.1:{first.port}".encode()]
        assert asked.values(b"authorization") == []


@pytest.mark.parametrize(
    ("script", "reason"), [(silent, "first_byte"), (answering(b"", status="200 OK"), None), (None, "refused")]
)
async def test_what_is_not_well(script: Script | None, reason: str | None) -> None:
    """No answer in time, and no connection."""
    health = HealthConfig(path="/", interval=0.01, timeout=60.0 if reason is None else 0.1)
    async with scripted_upstream(script or silent) as upstream:
        url = upstream.url if script is not None else dead()
        async with forwarding(RouteConfig(path="/api", upstream=url, health=health)) as room:
            room.pools.follow([route.config for route in room.table.routes])
            if reason is None:
                await until(lambda: len(upstream.conversations) > 2)
            else:
                await until(lambda: room.watching.told)
            assert room.watching.told == ([] if reason is None else [(url, reason)])


async def test_checks_follow_the_configuration() -> None:
    """What is no longer in it is asked no more; what stays is not asked twice as often; at the end no question is left."""
    a, b = Ready(b"a"), Ready(b"b")
    async with two(a, b, health=QUICK) as (room, first, _):
        (config,) = (route.config for route in room.table.routes)
        room.pools.follow([config])
        room.pools.follow([config])
        await until(lambda: a.asked and b.asked)
        assert len(room.pools._checks._tasks) == 2
        room.pools.follow([config.model_copy(update={"upstream": (parse_upstream(first.url),)})])
        await asyncio.sleep(0)
        assert len(room.pools._checks._tasks) == 1
        await room.pools.aclose()
        asked = len(a.asked)
        for _ in range(20):
            await asyncio.sleep(0.002)
        assert len(a.asked) == asked


def test_members_are_named_by_their_origin() -> None:
    """What is told of an upstream names no path."""
    assert isinstance(parse_upstream("http://api/v2"), UpstreamUrl)
    assert parse_upstream("http://api/v2").origin == "http://api"
