"""The fast lane decides nothing by itself: with it and without it a gateway does the same, and a plain call needs no task."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from bff.request_head import Peer
from bff.server.judged_head import Message
from bff.server.lane import Lane
from bff.server.lane_call import LaneCall, LaneSide
from bff.server.request_reader import RequestReader
from support.gateway_world import SERVER
from support.mixed_traffic import ROUTES, Acting, Player, an_episode, tasks_of_exchanges
from support.patient_loop import hastened
from support.pool_usage import usage
from support.raw_browser import Truncated
from support.raw_world import RawWorld, raw_world
from support.scripted_upstream import Conversation, Script, response, saying, scripted_upstream, silent
from support.standing_clock import loops_clock
from support.switched_lane import switched
from support.waiting import standstill, until

pytestmark = pytest.mark.skipif(SERVER != "bff", reason="only our own server has a lane")


@asynccontextmanager
async def player(*, lane: str, tls: bool = False) -> AsyncIterator[Player]:
    """A player against a gateway of its own."""
    upstream = Acting()
    with switched(lane):
        async with raw_world(upstream, routes=ROUTES, log={"access": True}, session=LONG, tls=tls) as site:
            yield Player(site, upstream)


LONG = {"idle_timeout": "300d", "absolute_timeout": "365d"}


@pytest.mark.parametrize(
    ("seed", "episodes", "tls"),
    [
        (1, 250, False),
        (7, 5, True),
        # TLS has no half-close: each refusal of content that still comes costs the browser's ten seconds
        pytest.param(5, 5, True, marks=pytest.mark.slow),
        *(pytest.param(seed, 2000, False, marks=pytest.mark.slow) for seed in (2, 3, 4)),
        pytest.param(6, 30, True, marks=pytest.mark.slow),
    ],
)
async def test_the_lane_and_the_recipe_do_the_same(
    *, seed: int, episodes: int, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same random traffic is the same to browser, upstream, log and metrics, with the lane and without."""
    monkeypatch.setattr(
        "random.random", lambda: 0.5
    )  # pauses and refreshes are due at the same instants in both worlds
    chance = Random(seed)  # noqa: S311  (to be repeatable is the point)
    async with player(lane="on", tls=tls) as fast, player(lane="off", tls=tls) as slow:
        for number in range(episodes):
            episode = an_episode(chance, number)
            with_lane, without = await fast.play(episode), await slow.play(episode)
            assert with_lane == without, episode


@pytest.mark.parametrize(("seed", "rounds"), [(1, 10), pytest.param(2, 200, marks=pytest.mark.slow)])
async def test_many_connections_at_once_are_the_same(seed: int, rounds: int) -> None:
    """So are sixteen connections at a time, but for the order in which the upstream gets their requests."""
    chance = Random(seed)  # noqa: S311  (to be repeatable is the point)
    async with player(lane="on") as fast, player(lane="off") as slow:
        for number in range(rounds):
            episodes = [an_episode(chance, 16 * number + at, renews=False) for at in range(16)]
            with_lane, without = await fast.play_together(episodes), await slow.play_together(episodes)
            assert with_lane == without


# --- when it is used --------------------------------------------------------------------------------------------------


class Watching:
    """An upstream's script that notes whether a task waits for its answer, and answers with what the next of `answers` says."""

    def __init__(self) -> None:
        self.in_task: list[bool] = []
        self.answers: list[bytes] = []

    async def __call__(self, it: Conversation) -> None:
        """Serve one connection."""
        while True:
            await it.request()
            self.in_task.append(bool(tasks_of_exchanges()))
            await it.send(self.answers.pop(0) if self.answers else response(b"fine"))


@asynccontextmanager
async def watched(*, lane: str = "on", **settings: Any) -> AsyncIterator[tuple[RawWorld, Watching]]:
    """A gateway with a session that it has a copy of, and an idle connection to the upstream."""
    watching = Watching()
    with switched(lane):
        async with raw_world(watching, routes=ROUTES, **settings) as site:
            assert (await site.ask(site.request("GET /api/first"))).status == 200
            await until(lambda: not tasks_of_exchanges())
            watching.in_task.clear()
            yield site, watching


@pytest.mark.parametrize(
    ("path", "tls"), [("/api/x", False), ("/open/x", False), ("/maybe/x", False), ("/pages/x", False), ("/api/x", True)]
)
async def test_a_plain_call_needs_no_task(*, path: str, tls: bool) -> None:
    """With a copied session, a fresh token and an idle connection a call is forwarded without a task."""
    async with watched(tls=tls) as (site, watching):
        for method in ("GET", "DELETE", "OPTIONS", "HEAD"):  # no connection is kept after HEAD
            assert (await site.ask(site.request(f"{method} {path}"), to=method)).status == 200
        assert watching.in_task == [False] * 4


@pytest.mark.parametrize("framing", [b"Content-Length: 5", b"Transfer-Encoding: chunked"])
@pytest.mark.parametrize("together", [True, False])
async def test_content_needs_no_task_either(*, framing: bytes, together: bool) -> None:
    """Whether it comes with its head or after it."""
    content = b"hello" if b"Length" in framing else b"5\r\nhello\r\n0\r\n\r\n"
    async with watched() as (site, watching):
        head = site.request("POST /api/x", framing)
        pieces = (head + content,) if together else (head, content)
        assert (await site.ask(*pieces)).status == 200
        assert watching.in_task == [False]


async def test_a_pipelined_call_needs_no_task() -> None:
    """Each is forwarded when the one before has its answer."""
    async with watched() as (site, watching), site.connect() as browser:
        await browser.say(site.request("GET /api/x") * 3)
        assert [(await browser.reply()).status for _ in range(3)] == [200] * 3
        assert watching.in_task == [False] * 3


@pytest.mark.parametrize(
    ("line", "field", "body"),
    [
        ("POST /api/x", b"Expect: 100-continue", b"hello"),
        ("GET /pages/x", b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document", None),
    ],
)
async def test_a_call_that_may_have_to_wait_takes_a_task(line: str, field: bytes, body: bytes | None) -> None:
    """An expectation, and a page load."""
    async with watched() as (site, watching), site.connect() as browser:
        await browser.say(site.request(line, field, body=body))
        assert (await browser.reply()).status == 200
        assert watching.in_task == [True]


async def test_a_session_that_is_not_copied_takes_a_task_once() -> None:
    """The store is asked; then there is a copy, and the next call needs no task."""
    async with watched() as (site, watching):
        site.world.clock.now += 60.0
        for _ in range(2):
            assert (await site.ask(site.request("GET /api/x"))).status == 200
        assert watching.in_task == [True, False]


async def test_an_expired_token_takes_a_task_once() -> None:
    """It is renewed before the call is forwarded."""
    async with watched(session={"local_copy": "30m"}) as (site, watching):
        site.world.clock.now += 601.0
        for _ in range(3):
            assert (await site.ask(site.request("GET /api/x"))).status == 200
        assert watching.in_task[0] is True
        assert watching.in_task[-1] is False
        assert len(site.world.token_calls("refresh_token")) == 1


async def test_a_call_without_an_idle_connection_takes_a_task() -> None:
    """One has to be made; also where the upstream has closed the last one."""
    async with watched() as (site, watching):
        watching.answers.append(response(b"last", "Connection: close"))
        for _ in range(3):
            assert (await site.ask(site.request("GET /open/x"))).status == 200
        assert watching.in_task == [False, True, False]


@pytest.mark.parametrize("lane", ["on", "off"])
async def test_the_first_content_comes_with_the_head(lane: str) -> None:
    """They are one write, so one read of the upstream has both."""
    reads: list[bytes] = []

    async def script(it: Conversation) -> None:
        while data := await it.reader.read(65536):
            reads.append(data)
            await it.send(response(b"fine"))

    with switched(lane):
        async with raw_world(script) as site:
            for _ in range(3):
                assert (await site.ask(site.request("POST /open/x", body=b"hello"))).status == 200
    assert [data[-9:] for data in reads] == [b"\r\n\r\nhello"] * 3


async def test_calls_to_a_list_need_no_task() -> None:
    """Once there is an idle connection to each of them, the lane goes round as the recipe does."""
    watching = Watching()
    async with scripted_upstream(watching) as other, switched_site(watching, other.url) as site:
        for _ in range(2):
            await site.ask(site.request("GET /open/x"))
            await until(lambda: not tasks_of_exchanges())
        watching.in_task.clear()
        for _ in range(4):
            assert (await site.ask(site.request("GET /open/x"))).status == 200
        assert watching.in_task == [False] * 4
        assert len(site.upstream.conversations) == len(other.conversations) == 1


@asynccontextmanager
async def switched_site(script: Script, other: str) -> AsyncIterator[RawWorld]:
    """A gateway with a route to a list of two."""
    routes = [{"path": "/open", "upstream": ["{raw}", other], "token": "none"}]
    with switched("on"):
        async with raw_world(script, routes=routes) as site:
            yield site


async def test_content_that_does_not_come_is_waited_for_in_a_task() -> None:
    """After a second without content the recipe waits, and forwards what comes."""
    async with watched() as (site, watching), site.connect() as browser:
        await browser.say(site.request("POST /api/x", b"Content-Length: 5"))
        assert tasks_of_exchanges() == []
        await until(tasks_of_exchanges)
        await browser.say(b"hello")
        assert (await browser.reply()).status == 200
        assert watching.in_task == [True]


async def test_a_rejected_token_is_replaced_in_a_task() -> None:
    """A 401 to a call of the lane is asked again with another token, and what was sent is not sent again otherwise (R-154)."""
    async with watched() as (site, watching):
        watching.answers.append(response(b"", status="401 Unauthorized"))
        assert (await site.ask(site.request("GET /api/x"))).status == 200
        assert watching.in_task == [False, True]


async def test_without_a_lane_each_call_takes_a_task() -> None:
    """`BFF_LANE=off` turns it off."""
    async with watched(lane="off") as (site, watching):
        assert (await site.ask(site.request("GET /api/x"))).status == 200
        assert watching.in_task == [True]


# --- what it must not lose --------------------------------------------------------------------------------------------


async def test_what_is_handed_on_is_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    """An answer that the recipe gives in the lane's place is in the access log like any other (R-274)."""
    async with watched(log={"access": True}) as (site, watching):
        watching.answers.append(response(b"", status="401 Unauthorized"))
        capsys.readouterr()
        assert (await site.ask(site.request("GET /api/x"))).status == 200
        await until(lambda: not tasks_of_exchanges())
    assert "".join(capsys.readouterr()).count("request.served") == 1


@pytest.mark.requirement("R-366")
async def test_content_that_is_too_large_costs_no_place() -> None:
    """More refused uploads than there are places, over an idle connection each: the next call is answered."""
    routes = [{"path": "/small", "upstream": "{raw}", "token": "none", "max_body": "1KiB", "max_connections": 2}]
    async with AsyncExitStack() as stack:
        stack.enter_context(switched("on"))
        site = await stack.enter_async_context(raw_world(routes=routes, signed_in=False))
        for _ in range(4):
            assert (await site.ask(site.request("GET /small/x"))).status == 200
            assert (await site.ask(site.request("POST /small/x", body=b"x" * 2000))).status == 413
        assert (await site.ask(site.request("GET /small/x"))).status == 200
        assert len(site.upstream.conversations) == 1


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize(("length", "is_taken"), [(1024, True), (1025, False)])
async def test_content_that_is_announced_too_large_is_refused_before_it_comes(length: int, is_taken: bool) -> None:
    """The lane waits for content that may come. What may not is left to the recipe at once, which refuses the head alone."""
    routes = [{"path": "/small", "upstream": "{raw}", "token": "none", "max_body": "1KiB"}]
    async with raw_world(routes=routes, signed_in=False) as site, site.connect() as browser:
        head = site.request("POST /small/x", b"Content-Length: %d" % length)
        message = RequestReader(peer=Peer("127.0.0.1", False), limits=site.world.config.limits).next_event(head)
        assert isinstance(message, Message)
        call = Lane(site.world.app).take(message, cast(LaneSide, None), True)
        assert (call is not None) is is_taken
        if isinstance(call, LaneCall):
            call.browser_left()
        if not is_taken:
            await browser.say(head)
            assert (await browser.reply()).status == 413


@pytest.mark.requirement("R-256")
async def test_event_streams_in_the_lane_end_with_their_session() -> None:
    """All streams of a session that signs out are cut, and it is logged once."""

    async def streaming(it: Conversation) -> None:
        await it.request()
        await it.send(response(b"fine"))
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
        await it.gone()

    async with AsyncExitStack() as stack:
        stack.enter_context(switched("on"))
        site = await stack.enter_async_context(raw_world(streaming, routes=ROUTES))
        assert site.browser is not None
        browsers = [await stack.enter_async_context(site.connect()) for _ in range(3)]
        for browser in browsers:
            await browser.say(site.request("GET /api/x"))
        for browser in browsers:  # three idle connections
            assert (await browser.reply()).status == 200
        for browser in browsers:
            await browser.say(site.request("GET /api/events"))
            assert (await browser.head())[0] == 200
        assert tasks_of_exchanges() == []
        with capture_logs() as events:
            assert (await site.browser.fetch("/bff/logout", method="POST")).status_code == 200
            for browser in browsers:
                assert b"0\r\n\r\n" not in await browser.rest()
        (ended,) = [event for event in events if event["event"] == "streams.ended"]
        assert ended["count"] == 3


EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


class Events:
    """An upstream that answers with an event stream, of which the first event comes at once."""

    def __init__(self) -> None:
        self.streams: list[Conversation] = []
        self.left = asyncio.Event()

    async def __call__(self, it: Conversation) -> None:
        """Serve one connection."""
        await it.request()
        await it.send(EVENTS + b"8\r\ndata: 1\n\r\n")
        self.streams.append(it)
        await it.gone()
        self.left.set()


@asynccontextmanager
async def new_stream(**settings: Any) -> AsyncIterator[tuple[RawWorld, Events, Any]]:
    """A gateway, and a browser whose event stream no connection was there for, so that the recipe has begun it."""
    events = Events()
    async with AsyncExitStack() as stack:
        stack.enter_context(switched("on"))
        site = await stack.enter_async_context(raw_world(events, routes=ROUTES, **settings))
        browser = await stack.enter_async_context(site.connect())
        await browser.say(site.request("GET /api/events"))
        assert (await browser.head())[0] == 200
        await until(lambda: not tasks_of_exchanges())
        yield site, events, browser


async def test_an_event_stream_that_the_recipe_has_begun_needs_no_task_either() -> None:
    """It ends whole where the upstream ends it, and the connection serves on."""
    async with new_stream() as (site, events, browser):
        await events.streams[0].send(b"8\r\ndata: 2\n\r\n0\r\n\r\n")
        received = b""
        while not received.endswith(b"0\r\n\r\n"):
            received += await browser.some()
        assert received == b"8\r\ndata: 1\n\r\n8\r\ndata: 2\n\r\n0\r\n\r\n"
        await browser.say(site.request("GET /bff/user"))
        assert (await browser.reply()).status == 200


async def test_it_ends_with_its_session() -> None:
    """It is cut, and has one line in the log."""
    with capture_logs() as logged:
        async with new_stream(log={"access": True}) as (site, _, browser):
            assert site.browser is not None
            assert (await site.browser.fetch("/bff/logout", method="POST")).status_code == 200
            assert b"0\r\n\r\n" not in await browser.rest()
    assert [event["count"] for event in logged if event["event"] == "streams.ended"] == [1]
    (line,) = [event for event in logged if event["event"] == "request.served" and event["path"] == "/api/events"]
    assert (line["status"], line["route"]) == (200, "/api")


async def test_it_is_cut_where_the_upstream_breaks_it_off() -> None:
    """What came before the break is delivered."""
    async with new_stream() as (_, events, browser):
        await events.streams[0].send(b"8\r\ndata: 2\n\r\n5\r\nda")
        events.streams[0].close()
        rest = await browser.rest()
    assert b"data: 2" in rest
    assert b"0\r\n\r\n" not in rest


async def test_its_upstream_hears_that_the_browser_left() -> None:
    """The connection to the upstream is closed."""
    async with new_stream() as (_, events, browser):
        browser.leave()
        await asyncio.wait_for(events.left.wait(), 5)


# --- time, room, and browsers that leave: with and without a lane -----------------------------------------------------

MIB = 1 << 20
HEAD_OF_TEN = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
BOTH = pytest.mark.parametrize("lane", ["on", "off"])
HASTY: list[dict[str, Any]] = [
    {
        "path": "/hasty",
        "upstream": "{raw}",
        "token": "none",
        "timeouts": {"connect": "10s", "first_byte": "10s", "idle": "10s"},
    },
]


@asynccontextmanager
async def warm(*scripts: Script, lane: str, routes: list[dict[str, Any]] | None = None) -> AsyncIterator[RawWorld]:
    """A gateway with an idle connection, whose second and later requests get these scripts, one each on that connection or others."""

    async def first(it: Conversation) -> None:
        await it.request()
        await it.send(response(b"fine"))
        await scripts[0](it)

    with switched(lane):
        async with raw_world(first, *scripts[1:], routes=routes, signed_in=False) as site:
            loops_clock(site.world.app.gateway.forwarder, site.world.app.process.pools)
            prefix = "/open" if routes is None else routes[0]["path"]
            assert (await site.ask(site.request(f"GET {prefix}/first"))).status == 200
            await until(lambda: not tasks_of_exchanges())
            yield site


def pools_are_quiet(site: RawWorld) -> bool:
    """Whether no exchange is under way, and no place is taken."""
    pools = tuple(site.world.app.process.pools)
    return all(usage(pool).active == 0 for pool in pools) and not any(
        places.taken for pool in pools for places in pool._places.values()
    )


@BOTH
async def test_an_answer_that_does_not_come_is_a_504(lane: str) -> None:
    """`first_byte` counts for the lane's calls too."""
    async with warm(silent, lane=lane, routes=HASTY) as site:
        assert (await hastened(site.ask(site.request("GET /hasty/x")))).status == 504
        assert pools_are_quiet(site)


@BOTH
async def test_an_answer_that_stops_is_cut(lane: str) -> None:
    """After `idle` without content the transfer breaks; what had come is delivered."""
    async with warm(saying(response(b"hello")[:-2]), lane=lane, routes=HASTY) as site:
        with pytest.raises(Truncated) as cut:
            await hastened(site.ask(site.request("GET /hasty/x")))
        assert (cut.value.status, cut.value.body) == (200, b"hel")
        assert pools_are_quiet(site)


@BOTH
@pytest.mark.parametrize("first", [b"", b"x"])
async def test_content_that_stops_is_a_408(lane: str, first: bytes) -> None:
    """Before its first byte and after it; no place stays taken."""
    async with warm(silent, lane=lane, routes=HASTY) as site:
        reply = await hastened(site.ask(site.request("POST /hasty/x", b"Content-Length: 5"), first))
        assert reply.status == 408
        assert pools_are_quiet(site)


@BOTH
@pytest.mark.parametrize("said", [b"", HEAD_OF_TEN, HEAD_OF_TEN + b"half"])
@pytest.mark.parametrize("body", [None, b"content", b"part"])
async def test_a_browser_that_leaves_ends_its_call(lane: str, said: bytes, body: bytes | None) -> None:
    """Before the answer, in the middle of it, in the middle of its own content: the upstream sees the end, and no place is lost."""
    reached, ended = asyncio.Event(), asyncio.Event()

    async def script(it: Conversation) -> None:
        await it.head()
        if body == b"part":
            await it.reader.readexactly(4)
        elif body is not None:
            await it.reader.readexactly(len(body))
        await it.send(said)
        reached.set()
        await it.gone()
        ended.set()

    async with warm(script, lane=lane) as site, site.connect() as browser:
        framing = () if body is None else (b"Content-Length: 7",)
        await browser.say(site.request(f"{'GET' if body is None else 'POST'} /open/x", *framing), body or b"")
        await reached.wait()
        browser.leave()
        async with asyncio.timeout(10):
            await ended.wait()
        await until(lambda: pools_are_quiet(site) and not tasks_of_exchanges())


@BOTH
@pytest.mark.parametrize("framing", ["length", "chunks", "close"])
async def test_an_answer_is_not_read_ahead_of_its_browser(lane: str, framing: str) -> None:
    """A browser that does not read holds the upstream back; then it gets every byte."""
    piece, count, sent = bytes(range(256)) * 256, 800, 0

    async def script(it: Conversation) -> None:
        nonlocal sent
        await it.request()
        length = f"Content-Length: {len(piece) * count}\r\n" if framing == "length" else ""
        coding = "Transfer-Encoding: chunked\r\n" if framing == "chunks" else ""
        await it.send(f"HTTP/1.1 200 OK\r\n{length}{coding}\r\n".encode())
        for _ in range(count):
            await it.send(b"%x\r\n%b\r\n" % (len(piece), piece) if framing == "chunks" else piece)
            sent += 1
        await it.send(b"0\r\n\r\n" if framing == "chunks" else b"")
        it.close()

    async with warm(script, lane=lane) as site, site.connect() as browser:
        browser.read_no_more()
        await browser.say(site.request("GET /open/x"))
        assert await standstill(lambda: sent) < count
        assert browser.wire.transport is not None
        browser.wire.transport.resume_reading()
        assert (await browser.reply()).body == piece * count
        await until(lambda: pools_are_quiet(site))


@BOTH
@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_content_is_not_read_ahead_of_the_upstream(lane: str, framing: str) -> None:
    """An upstream that does not read holds the browser back; then it gets every byte."""
    piece, count = bytes(range(256)) * 256, 800
    read, got = asyncio.Event(), []

    async def script(it: Conversation) -> None:
        head = await it.head()
        await read.wait()
        got.append(await it.content(head))
        await it.send(response(b"thanks"))

    routes = [{"path": "/open", "upstream": "{raw}", "token": "none", "max_body": "100MiB"}]
    async with warm(script, lane=lane, routes=routes) as site, site.connect() as browser:
        said = 0

        async def saying_all() -> None:
            nonlocal said
            how = b"Content-Length: %d" % (len(piece) * count) if framing == "length" else b"Transfer-Encoding: chunked"
            await browser.say(site.request("PUT /open/x", how))
            for _ in range(count):
                await browser.say(b"%x\r\n%b\r\n" % (len(piece), piece) if framing == "chunks" else piece)
                said += 1
            await browser.say(b"0\r\n\r\n" if framing == "chunks" else b"")

        uploading = asyncio.create_task(saying_all())
        assert await standstill(lambda: said) < count
        read.set()
        await uploading
        assert (await browser.reply()).body == b"thanks"
        assert got == [piece * count]
        await until(lambda: pools_are_quiet(site))


@BOTH
@pytest.mark.parametrize("status", ["200 OK", "413 Too Much"])
async def test_an_upload_that_is_held_gets_an_early_answer(lane: str, status: str) -> None:
    """The upstream answers without reading, and closes: the browser gets the answer though its content is not taken."""
    full = asyncio.Event()

    async def script(it: Conversation) -> None:
        await it.head()
        await full.wait()
        await it.send(response(b"enough", status=status))
        await it.gone()

    routes = [{"path": "/open", "upstream": "{raw}", "token": "none", "max_body": "100MiB"}]
    async with warm(script, lane=lane, routes=routes) as site, site.connect() as browser:
        said = 0

        async def saying_all() -> None:
            nonlocal said
            await browser.say(site.request("PUT /open/x", b"Content-Length: %d" % (30 * MIB)))
            for _ in range(30):
                await browser.say(bytes(MIB))
                said += 1

        uploading = asyncio.create_task(saying_all())
        assert await standstill(lambda: said) < 30
        full.set()
        reply = await browser.reply()
        assert (reply.status, reply.body) == (int(status[:3]), b"enough")
        await uploading  # it is read and dropped
        await until(lambda: pools_are_quiet(site))
