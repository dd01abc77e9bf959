"""WebSockets through our own server, over real sockets: both ends are the `websockets` library's, or bytes.

`tests/proxy/test_websocket.py` shows the same of the long way, which other ASGI servers take.
"""

import asyncio
import gc
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.typing import Subprotocol
from websockets.utils import accept_key

from bff.proxy.fields import SESSION_COOKIE
from bff.proxy.websocket_upstream import UpstreamHandshake
from bff.server.tunnel import End, Tunnel
from bff.server.websocket import Handshake
from support.free_ports import free_port
from support.gateway_world import GatewayWorld, gateway_world
from support.pool_usage import usage
from support.raw_browser import RawBrowser, raw_browser
from support.scripted_upstream import (
    Conversation,
    Script,
    breaks_in_its_head,
    closes_without_a_byte,
    resets_without_a_byte,
    scripted_upstream,
)
from support.standing_clock import standing_clock
from support.tls_certificates import Authority
from support.waiting import standstill, until
from support.websocket_world import close_of, echo, upstream_server

A, B = Subprotocol("chat.v1"), Subprotocol("chat.v2")
LIMIT = 256 * 1024
LARGE = b"x" * 65536

Handler = Callable[[ServerConnection], Awaitable[None]]


@dataclass(slots=True)
class Site:
    """A gateway with WebSocket routes: `/open` without a token, `/user` with the user's."""

    world: GatewayWorld
    met: "asyncio.Queue[ServerConnection]" = field(default_factory=asyncio.Queue)

    def browser(self, path: str = "/open/x", *, cookie: str | None = None, **options: Any) -> connect:
        """A browser's WebSocket."""
        fields = {"Cookie": f"{SESSION_COOKIE}={cookie}"} if cookie else {}
        url = self.world.url.replace("http", "ws", 1) + path
        options.setdefault("ping_interval", None)
        options.setdefault("ssl", self.world.tls)
        return connect(
            url,
            origin=self.world.url,
            additional_headers=fields,
            proxy=None,
            open_timeout=10,
            **options,  # type: ignore[arg-type]  # Origin
        )

    async def raw(self, browser: RawBrowser, *lines: bytes, cookie: str | None = None) -> None:
        """A handshake as bytes."""
        path = "/open" if cookie is None else "/user"
        fields = [f"Cookie: {SESSION_COOKIE}={cookie}".encode()] if cookie else []
        host = self.world.config.public_url.authority
        upgrade = [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13"]
        key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
        head = [
            b"GET %b/x HTTP/1.1" % path.encode(),
            b"Host: " + host,
            b"Origin: " + self.world.config.public_url.raw,
            *upgrade,
            key,
            *fields,
        ]
        await browser.say(b"\r\n".join([*head, *lines, b"", b""]))

    def refused_status(self, error: InvalidStatus) -> int:
        """Of a handshake that failed."""
        return error.response.status_code


def routes_to(port: int, **route: Any) -> list[dict[str, Any]]:
    """Both routes."""
    common = {"upstream": f"http://127.0.0.1:{port}", "websocket": True, "max_body": f"{LIMIT}B", **route}
    return [{"path": "/open", "token": "none", **common}, {"path": "/user", "provider": "corp", **common}]


@asynccontextmanager
async def site(handler: Handler = echo, *, route: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Site]:
    """A gateway, and an upstream of the library's."""
    met: asyncio.Queue[ServerConnection] = asyncio.Queue()

    async def meeting(connection: ServerConnection) -> None:
        met.put_nowait(connection)
        await handler(connection)

    options.setdefault("ping_interval", None)
    async with serve(meeting, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        async with gateway_world(routes=routes_to(port, **(route or {}))) as world:
            yield Site(world, met)


async def silent(connection: ServerConnection) -> None:
    """An upstream that only listens."""
    with suppress(ConnectionClosed):
        async for _ in connection:
            pass


async def accept(it: Conversation, *behind: bytes) -> None:
    """The handshake of an upstream that is bytes."""
    (key,) = (await it.head()).values(b"sec-websocket-key")
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    await it.send(b"".join([head, accept_key(key.decode()).encode(), b"\r\n\r\n", *behind]))


@asynccontextmanager
async def raw_site(script: Callable[[Conversation], Awaitable[None]], **route: Any) -> AsyncIterator[Site]:
    """A gateway, and an upstream that is bytes."""
    async with scripted_upstream(script) as upstream, gateway_world(routes=routes_to(upstream.port, **route)) as world:
        yield Site(world)


def masked(first: int, content: bytes) -> bytes:
    """A browser's frame, with a mask that changes nothing."""
    assert len(content) < 126
    return bytes([first, 0x80 | len(content)]) + bytes(4) + content


# --- messages -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-256")
async def test_messages_pass_both_ways_as_they_are() -> None:
    """Text stays text, binary stays binary, whatever the size below the limit, whole or in fragments."""
    messages: list[Any] = [
        "text \u20ac",
        b"\xff\x00",
        "",
        b"",
        "x" * 200_000,
        b"y" * LIMIT,
        ["a", "\u20ac"],
        [b"a"] * 100,
    ]
    async with site() as made, made.browser(compression=None) as browser:
        for message in messages:
            await browser.send(message)
            assert await browser.recv() == (message[0][:0].join(message) if isinstance(message, list) else message)


@pytest.mark.requirement("R-256")
async def test_many_conversations_do_not_mix() -> None:
    """Fifty at once, each gets its own."""
    async with site() as made:

        async def talk(number: int) -> bool:
            async with made.browser() as browser:
                await browser.send(str(number))
                return await browser.recv() == str(number)

        assert all(await asyncio.gather(*map(talk, range(50))))


@pytest.mark.requirement("R-256")
async def test_compression_is_negotiated_end_to_end() -> None:
    """What the browser offers, parameters included, the upstream takes, and compressed messages pass."""
    factory = ServerPerMessageDeflateFactory(server_no_context_takeover=True)
    async with site(compression=None, extensions=[factory]) as made, made.browser() as browser:
        upstream = await made.met.get()
        assert [str(one.name) for one in browser.protocol.extensions] == ["permessage-deflate"]
        assert [str(one.name) for one in upstream.protocol.extensions] == ["permessage-deflate"]
        for message in ("abc" * 10_000, b"\x00" * 100_000, "once more"):
            await browser.send(message)
            assert await browser.recv() == message


@pytest.mark.requirement("R-256")
async def test_compression_that_is_not_offered_is_not_used() -> None:
    """Each side may do without."""
    async with site() as made, made.browser(compression=None) as browser:
        await browser.send("x")
        assert await browser.recv() == "x"
        assert browser.protocol.extensions == []


@pytest.mark.requirement("R-256")
async def test_pings_and_pongs_are_the_endpoints_business() -> None:
    """A ping of either side is answered by the other one."""
    async with site(silent) as made, made.browser() as browser:
        upstream = await made.met.get()
        async with asyncio.timeout(10):
            await (await browser.ping(b"down there?"))
            await (await upstream.ping(b"up there?"))


@pytest.mark.requirement("R-256")
async def test_what_came_with_a_handshake_is_not_lost() -> None:
    """Frames in the segment of the upstream's 101, and of a browser that does not wait for it."""

    async def greeting(it: Conversation) -> None:
        await accept(it, b"\x81\x05hello")
        assert await it.reader.readexactly(7) == masked(0x81, b"x")
        await it.send(b"\x81\x03got")
        await it.gone()

    async with raw_site(greeting) as made, raw_browser(made.world.config.listen.port, tls=made.world.tls) as browser:
        await made.raw(browser)
        await browser.say(masked(0x81, b"x"))
        assert (await browser.head())[0] == 101
        assert await browser.wire.exactly(12) == b"\x81\x05hello\x81\x03got"


# --- the handshake ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-256", "R-254", "R-004", "R-151", "R-257")
async def test_the_upstream_gets_a_rewritten_handshake() -> None:
    """The user's token attached, `Origin` passed on, our cookies and everything spoofed gone, the offer as it came."""
    spoofed = {"Authorization": "Bearer spoofed", "X-Forwarded-For": "6.6.6.6", "X_Forwarded_User": "admin"}
    async with site(select_subprotocol=lambda _, offered: offered[1]) as made:
        cookie = (await made.world.signed_in()).cookie(SESSION_COOKIE)
        fields = {"Cookie": f"{SESSION_COOKIE}={cookie}; theme=dark", **spoofed}
        url = made.world.url.replace("http", "ws", 1) + "/user/a%2Fb;c?d=%0d"
        async with connect(
            url,
            origin=made.world.url,
            additional_headers=fields,
            subprotocols=[A, B],
            ssl=made.world.tls,
            proxy=None,  # type: ignore[arg-type]  # Origin
        ) as browser:
            assert browser.subprotocol == B
        upstream = await made.met.get()
    assert upstream.request is not None
    got = upstream.request.headers
    (token,) = got.get_all("Authorization")
    assert token.startswith("Bearer ")
    assert "spoofed" not in token
    assert upstream.request.path == "/a%2Fb;c?d=%0d"
    assert got.get_all("Origin") == [made.world.url]
    assert got.get_all("Cookie") == ["theme=dark"]
    assert "6.6.6.6" not in str(got)
    assert "x_forwarded_user" not in {name.lower() for name in got}
    assert got.get_all("Sec-WebSocket-Protocol") == ["chat.v1, chat.v2"]
    assert len(got.get_all("Sec-WebSocket-Key")) == len(got.get_all("Connection")) == len(got.get_all("Upgrade")) == 1


@pytest.mark.requirement("R-256")
@pytest.mark.parametrize(
    "field",
    [
        ("Sec-WebSocket-Protocol", "chat.v2"),
        ("Sec-WebSocket-Extensions", "x-other"),
        ("Sec-WebSocket-Accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        ("Upgrade", "h2c"),
    ],
)
async def test_an_upstream_that_takes_what_was_not_offered_is_a_bad_gateway(field: tuple[str, str]) -> None:
    """Subprotocol, extension, proof of the key, another protocol: the browser gets 502 and never that choice."""

    def insist(_: ServerConnection, __: Request, response: Response) -> Response:
        if field[0] in response.headers:
            del response.headers[field[0]]
        response.headers[field[0]] = field[1]
        return response

    async with site(process_response=insist) as made:
        with pytest.raises(InvalidStatus) as refused:
            await made.browser(subprotocols=[A])
        assert refused.value.response.status_code == 502


@pytest.mark.requirement("R-256")
@pytest.mark.parametrize(
    "answer", [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n" + b"x" * 1048577]
)
async def test_an_upstream_that_breaks_the_handshake_is_a_bad_gateway(answer: bytes) -> None:
    """Closing, nonsense, and a refusal of more than 1 MiB."""

    async def speak(it: Conversation) -> None:
        await it.head()
        await it.send(answer)
        it.close()

    async with raw_site(speak) as made:
        with pytest.raises(InvalidStatus) as refused:
            await made.browser()
        assert refused.value.response.status_code == 502


@pytest.mark.requirement("R-256")
async def test_an_upstream_that_never_answers_is_given_up() -> None:
    """The route's `first_byte` bounds the handshake."""

    async def hush(it: Conversation) -> None:
        await it.gone()

    async with scripted_upstream(hush) as upstream:
        routes = routes_to(upstream.port, timeouts={"first_byte": "100ms"})
        async with gateway_world(routes=routes) as world:
            with pytest.raises(InvalidStatus) as refused:
                await Site(world).browser()
            assert refused.value.response.status_code == 504


@pytest.mark.requirement("R-256", "R-153")
@pytest.mark.parametrize("status", [HTTPStatus.FOUND, HTTPStatus.UNAUTHORIZED, HTTPStatus.SERVICE_UNAVAILABLE])
async def test_the_upstreams_refusal_is_the_browsers_answer(status: HTTPStatus) -> None:
    """Status, fields and content pass, a redirect is not followed, no cache on the way may keep it."""

    def refuse(_: ServerConnection, __: Request) -> Response:
        fields = {"Location": "http://elsewhere.example/", "X-Why": "because", "Set-Cookie": f"{SESSION_COOKIE}=evil"}
        return Response(status, "No", Headers({**fields, "Content-Length": "4"}), b"nope")

    async with (
        site(process_request=refuse) as made,
        raw_browser(made.world.config.listen.port, tls=made.world.tls) as browser,
    ):
        await made.raw(browser)
        reply = await browser.reply()
        assert (reply.status, reply.body, reply.closes) == (status, b"nope", True)
        assert reply.values("x-why") == ["because"]
        assert reply.values("cache-control") == ["private, no-store"]
        assert reply.values("set-cookie") == []
        assert await browser.rest() == b""


@pytest.mark.requirement("R-360")
async def test_what_is_said_to_a_handshake_follows_the_routes_rules() -> None:
    """A place at the upstream is the public one, and `response_headers` count, in a refusal and where it is accepted."""
    rules = {"response_headers": {"set": {"X-Told": "by the operator"}, "remove": ["X-Why"]}}
    inner = asyncio.get_running_loop().create_future()

    def refuse(_: ServerConnection, request: Request) -> Response | None:
        if request.path != "/x":
            return None
        fields = {"Location": f"http://127.0.0.1:{inner.result()}/y", "X-Why": "because", "Content-Length": "4"}
        return Response(307, "No", Headers(fields), b"nope")

    async with site(process_request=refuse, route=rules) as made:
        upstream = made.world.config.routes[0].upstream
        assert upstream is not None
        inner.set_result(upstream[0].port)
        async with raw_browser(made.world.config.listen.port, tls=made.world.tls) as browser:
            await made.raw(browser)
            reply = await browser.reply()
        assert reply.values("location") == [f"{made.world.config.public_url.text}/open/y"]
        assert (reply.values("x-told"), reply.values("x-why")) == (["by the operator"], [])
        async with made.browser("/open/z") as socket:
            assert socket.response is not None
            assert socket.response.headers["X-Told"] == "by the operator"


@pytest.mark.requirement("R-350")
@pytest.mark.parametrize("refusals", [1, 9])
async def test_a_rejected_token_is_renewed_once(refusals: int) -> None:
    """The handshake is made once more with another token; a second 401 is the browser's answer."""
    tokens: list[str] = []

    def refuse(_: ServerConnection, request: Request) -> Response | None:
        tokens.append(request.headers["Authorization"])
        if len(tokens) > refusals:
            return None
        return Response(401, "No", Headers({"Content-Length": "2"}), b"no")

    async with site(process_request=refuse) as made:
        cookie = (await made.world.signed_in()).cookie(SESSION_COOKIE)
        if refusals == 1:
            async with made.browser("/user/x", cookie=cookie) as browser:
                await browser.send("x")
                assert await browser.recv() == "x"
        else:
            with pytest.raises(InvalidStatus) as refused:
                await made.browser("/user/x", cookie=cookie)
            assert refused.value.response.status_code == 401
        assert len(tokens) == len(set(tokens)) == 2
        assert len(made.world.token_calls("refresh_token")) == 1


@pytest.mark.requirement("R-256")
async def test_a_browser_that_leaves_during_the_handshake_leaves_nothing_behind() -> None:
    """The upstream's connection goes at once, and the place with it."""

    async def hush(it: Conversation) -> None:
        await it.gone()

    async with scripted_upstream(hush) as upstream, gateway_world(routes=routes_to(upstream.port)) as world:
        async with raw_browser(world.config.listen.port, tls=world.tls) as browser:
            await Site(world).raw(browser)
            await until(lambda: upstream.open == 1)
            browser.leave()
            await until(lambda: upstream.open == 0)
        assert sum(usage(pool).connections for pool in world.app.process.pools) == 0


# --- closes -------------------------------------------------------------------------------------------------------------

CODES = [1000, 1001, 1008, 1011, 3000, 4401, 4999]


@pytest.mark.requirement("R-256")
async def test_each_side_gets_the_others_close() -> None:
    """Code and reason pass, either way; both connections are gone then."""
    wanted: list[int] = []

    async def closing(connection: ServerConnection) -> None:
        if wanted:
            await connection.close(wanted[-1], "enough")
        await connection.wait_closed()

    async with site(closing) as made:
        for code in CODES:
            async with made.browser() as browser:
                upstream = await made.met.get()
                await browser.close(code, "so long")
            assert await close_of(upstream) == (code, "so long")
        for code in CODES:
            wanted.append(code)
            async with made.browser() as browser:
                assert await close_of(browser) == (code, "enough")
        await until(lambda: not tunnels())


@pytest.mark.requirement("R-256")
async def test_a_close_without_a_code_stays_one() -> None:
    """Frames pass as they are; the long way, which made two of it, said 1000."""

    async def close(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.write(b"\x88\x00")
        await connection.wait_closed()

    async with site(close) as made, made.browser() as browser:
        await browser.send("now")
        assert (await close_of(browser))[0] == 1005


@pytest.mark.requirement("R-256")
async def test_what_was_sent_before_a_close_arrives_before_it() -> None:
    """A close overtakes no message."""

    async def listing(connection: ServerConnection) -> None:
        for number in range(500):
            await connection.send(f"down {number}")

    async with site(listing) as made, made.browser() as browser:
        assert [message async for message in browser] == [f"down {number}" for number in range(500)]


@pytest.mark.requirement("R-256")
async def test_a_lost_upstream_is_a_bad_gateway() -> None:
    """Between two frames the browser gets 1014; within one, only the end of its connection can say so."""

    async def vanishing(it: Conversation) -> None:
        await accept(it, b"\x81\x05hello" + (b"\x81\x05he" if it.number else b""))
        assert await it.reader.readexactly(7)
        it.reset() if it.number == 2 else it.close()

    async with raw_site(vanishing) as made:
        for code in (1014, 1006, 1006):
            async with made.browser() as browser:
                assert await browser.recv() == "hello"
                await browser.send("x")
                async with asyncio.timeout(4):
                    assert (await close_of(browser))[0] == code
        await until(lambda: not tunnels())


@pytest.mark.requirement("R-256")
async def test_an_upstream_that_goes_without_an_answer_to_a_close_is_answered_for() -> None:
    """The browser's close was clean: it gets its own code back."""

    async def rude(it: Conversation) -> None:
        await accept(it)
        await it.reader.readexactly(8)
        it.reset()

    async with raw_site(rude) as made, made.browser(close_timeout=4) as browser:
        await browser.close(4001)
        assert browser.protocol.close_rcvd is not None
        assert browser.protocol.close_rcvd.code == 4001


@pytest.mark.requirement("R-256")
@pytest.mark.parametrize("talks", [False, True])
async def test_a_lost_browser_closes_the_upstream(talks: bool) -> None:
    """With 1001, also when the upstream only talks: what it still says is thrown away, so that it sees the close."""

    async def talk(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while talks:
                await connection.send(LARGE)
        await silent(connection)

    async with site(talk, compression=None) as made:
        browser = await made.browser()
        upstream = await made.met.get()
        if talks:
            await browser.recv()
        browser.transport.abort()
        async with asyncio.timeout(10):
            assert (await close_of(upstream))[0] == 1001
        await until(lambda: not tunnels())


@pytest.mark.requirement("R-256", "R-183")
@pytest.mark.parametrize("talks", [False, True])
async def test_both_sides_are_closed_when_the_session_ends(talks: bool) -> None:
    """The browser gets 1008 `session ended` between two frames of whatever comes, the upstream 1001."""

    async def talk(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while talks:
                await connection.send(LARGE)
        await silent(connection)

    async with site(talk, compression=None) as made:
        someone = await made.world.signed_in()
        async with made.browser("/user/x", cookie=someone.cookie(SESSION_COOKIE)) as browser:
            upstream = await made.met.get()
            if talks:
                await browser.recv()
            await someone.fetch("/bff/logout", method="POST")
            async with asyncio.timeout(10):
                with suppress(ConnectionClosed):
                    while True:
                        assert await browser.recv() == LARGE
                assert await close_of(browser) == (1008, "session ended")
                assert (await close_of(upstream))[0] == 1001
        await until(lambda: not tunnels())


@pytest.mark.requirement("R-256", "R-183")
async def test_a_session_that_ends_during_the_handshake_has_no_conversation() -> None:
    """It is closed at once."""
    begun, goes_on = asyncio.Event(), asyncio.Event()

    async def wait(_: ServerConnection, __: Request) -> None:
        begun.set()
        await goes_on.wait()

    async with site(process_request=wait) as made:
        someone = await made.world.signed_in()
        opening = asyncio.ensure_future(_opened(made.browser("/user/x", cookie=someone.cookie(SESSION_COOKIE))))
        await begun.wait()
        await someone.fetch("/bff/logout", method="POST")
        goes_on.set()
        assert await close_of(await opening) == (1008, "session ended")


async def _opened(connecting: connect) -> ClientConnection:
    return await connecting


@pytest.mark.requirement("R-256", "R-261")
@pytest.mark.parametrize("message", [b"x" * (LIMIT + 1), ["x" * LIMIT, "y"]], ids=["whole", "in fragments"])
async def test_a_message_above_the_limit_closes_both_sides(message: Any) -> None:
    """1009 for both, whichever side sent it; what came before is delivered."""

    async def shout(connection: ServerConnection) -> None:
        if await connection.recv() == "shout":
            with suppress(ConnectionClosed):
                await connection.send(message)
        await silent(connection)

    # The library's own reader refuses a close amid a fragmented message (1002), so only whole ones say what the receiver got.
    is_whole = isinstance(message, bytes)
    async with site(shout, compression=None, max_size=None) as made:
        async with made.browser(compression=None, max_size=None) as browser:
            upstream = await made.met.get()
            await browser.send("listen")
            with suppress(ConnectionClosed):
                await browser.send(message)
            async with asyncio.timeout(10):
                assert await close_of(browser) == (1009, "message too big")
                assert not is_whole or (await close_of(upstream))[0] == 1009
        async with made.browser(compression=None, max_size=None) as browser:
            upstream = await made.met.get()
            await browser.send("shout")
            async with asyncio.timeout(10):
                assert not is_whole or await close_of(browser) == (1009, "message too big")
                assert (await close_of(upstream))[0] == 1009
        await until(lambda: not tunnels())


@pytest.mark.requirement("R-256")
async def test_who_breaks_the_protocol_is_closed() -> None:
    """A browser without a mask, and an upstream with one: 1002 for the one, a close that may be sent for the other."""

    async def odd(connection: ServerConnection) -> None:
        if await connection.recv() == "mask":
            connection.transport.write(masked(0x81, b"x"))
        await silent(connection)

    async with site(odd) as made:
        async with raw_browser(made.world.config.listen.port, tls=made.world.tls) as browser:
            await made.raw(browser)
            assert (await browser.head())[0] == 101
            upstream = await made.met.get()
            await browser.say(b"\x81\x01x")
            assert await browser.wire.exactly(18) == b"\x88\x10\x03\xeaprotocol error"
            assert (await close_of(upstream))[0] == 1001
        async with made.browser() as other:
            upstream = await made.met.get()
            await other.send("mask")
            assert (await close_of(other))[0] == 1014
            assert (await close_of(upstream))[0] == 1002


@pytest.mark.requirement("R-372")
async def test_invalid_utf8_and_a_close_in_one_segment(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Both reach the upstream as they are: its 1007 is what the browser gets, and no traceback is anywhere."""
    both = masked(0x81, b"\xff\xfe") + masked(0x88, b"\x03\xe8")

    async def judging(it: Conversation) -> None:
        await accept(it)
        assert await it.reader.readexactly(len(both)) == both
        await it.send(b"\x88\x02" + (1007).to_bytes(2))

    async with raw_site(judging) as made, raw_browser(made.world.config.listen.port, tls=made.world.tls) as browser:
        await made.raw(browser)
        assert (await browser.head())[0] == 101
        await browser.say(both)
        assert await browser.rest() == b"\x88\x02" + (1007).to_bytes(2)
        await until(lambda: not tunnels())
    async with (
        site(silent) as made,
        raw_browser(made.world.config.listen.port, tls=made.world.tls) as browser,
    ):  # the library answers the close alone
        await made.raw(browser)
        assert (await browser.head())[0] == 101
        await browser.say(both)
        assert (await browser.rest())[:1] == b"\x88"
    assert "Traceback" not in "".join(capfd.readouterr())
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.requirement("R-256")
async def test_a_server_that_stops_closes_its_websockets() -> None:
    """1001 for both sides, and the server does not wait for anything else."""
    async with AsyncExitStack() as stack:
        made = await stack.enter_async_context(site(silent))
        browser = await made.browser()
        upstream = await made.met.get()
        closing = asyncio.gather(close_of(browser), close_of(upstream))
        await stack.aclose()
        assert [code for code, _ in await closing] == [1001, 1001]
        assert not tunnels()


@pytest.mark.requirement("R-264", "R-256")
@pytest.mark.parametrize(("name", "status"), [("127.0.0.1", 101), ("other.example", 502)])
async def test_an_upstream_over_tls_proves_its_name(tmp_path: Path, name: str, status: int) -> None:
    """The route's CA is what counts, and the certificate names the upstream; else there is no handshake, hence no token."""
    authority = Authority(tmp_path)

    async def talk(connection: ServerConnection) -> None:
        await connection.send(LARGE)
        await echo(connection)

    async with serve(talk, "127.0.0.1", 0, ssl=authority.server(name)) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        routes = routes_to(port, upstream=f"https://127.0.0.1:{port}", ca_file=str(authority.file))
        async with gateway_world(routes=routes) as world, raw_browser(world.config.listen.port, tls=world.tls) as raw:
            made = Site(world)
            await made.raw(raw)
            assert (await raw.head())[0] == status
            if status == 101:
                async with made.browser() as browser:
                    assert await browser.recv() == LARGE
                    for message in ("x", b"y" * LIMIT):
                        await browser.send(message)
                        assert await browser.recv() == message
            raw.leave()
        await until(lambda: not tunnels())


@pytest.mark.requirement("R-256")
async def test_a_side_that_does_not_answer_a_close_is_cut_off() -> None:
    """Neither connection stays open for longer than a close may take."""
    over = asyncio.Event()
    async with socket_pair() as (browser, to_browser), socket_pair() as (upstream, to_upstream):
        tunnel = Tunnel(
            browser,
            upstream,
            max_message=LIMIT,
            patience_seconds=60,
            on_end=lambda _: over.set(),
            close_seconds=0.05,
        )
        tunnel.begin(from_browser=masked(0x88, b"\x03\xe8"), from_upstream=b"", browser_is_slow=False)
        await over.wait()
        assert (await to_upstream.read())[:1] == b"\x88"  # the browser's close, then the end
        assert await to_browser.read() == b""


@asynccontextmanager
async def socket_pair() -> AsyncIterator[tuple[asyncio.Transport, asyncio.StreamReader]]:
    """A connection: our end of it, and what the other end reads."""
    ours, theirs = socket.socketpair()
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    reader, writer = await asyncio.open_connection(sock=theirs)
    try:
        yield transport, reader
    finally:
        transport.abort()
        writer.close()


# --- flow control and memory --------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-262", "R-256")
async def test_a_slow_side_holds_the_other_back() -> None:
    """While one takes nothing the other cannot send more than buffers hold; then everything arrives."""
    many, sent = 600, {"down": 0, "up": 0}
    reads = asyncio.Event()

    async def pour(connection: ServerConnection) -> None:
        if await connection.recv() == "pour":
            for _ in range(many):
                await connection.send(LARGE)
                sent["down"] += 1
        else:
            await reads.wait()
            for _ in range(many):
                assert await connection.recv() == LARGE
            await connection.send("all")

    async with site(pour, compression=None, max_queue=1) as made:
        async with made.browser(compression=None, max_queue=1) as browser:
            await browser.send("pour")
            assert await standstill(lambda: sent["down"]) < many
            for _ in range(many):
                assert await browser.recv() == LARGE
        async with made.browser(compression=None) as browser:
            await browser.send("sip")

            async def send() -> None:
                for _ in range(many):
                    await browser.send(LARGE)
                    sent["up"] += 1

            sending = asyncio.create_task(send())
            assert await standstill(lambda: sent["up"]) < many
            reads.set()
            await sending
            assert await browser.recv() == "all"


@pytest.mark.requirement("R-256", "R-261")
async def test_what_a_browser_does_not_read_is_not_kept() -> None:
    """A browser that sends pings and reads no pongs fills the kernel's buffers, and no memory of ours; then it is read no more."""

    async def ponging(it: Conversation) -> None:
        await accept(it)
        while data := await it.reader.read(65536):
            await it.send((b"\x8a\x7d" + b"p" * 125) * (len(data) // 131))

    async with raw_site(ponging) as made, raw_browser(made.world.config.listen.port, tls=made.world.tls) as browser:
        await made.raw(browser)
        assert (await browser.head())[0] == 101
        (tunnel,) = tunnels()
        browser.read_no_more()
        sent = 0

        async def pour() -> None:
            nonlocal sent
            while True:
                await browser.say(masked(0x89, b"p" * 125) * 1000)
                sent += 131_000

        pouring = asyncio.create_task(pour())
        await standstill(lambda: sent)
        pouring.cancel()
        for end in (tunnel.browser, tunnel.upstream):
            assert end._transport.get_write_buffer_size() < 1_000_000


@pytest.mark.requirement("R-256", "R-261")
@pytest.mark.parametrize("cause", ["sign-out", "broken frame"])
async def test_the_rest_of_a_frame_that_a_close_waits_for_is_not_kept(cause: str) -> None:
    """The close stands behind the frame under way. A browser that does not read holds the upstream back until then."""
    size, sent = 16 * 1024 * 1024, 0
    unread = asyncio.Event()  # kernels keep more, up to 32 MiB, for those that have read fast

    async def pour(it: Conversation) -> None:
        nonlocal sent
        await accept(it, b"\x82\x7f" + size.to_bytes(8))
        await unread.wait()
        while sent < size:
            await it.send(LARGE)
            sent += len(LARGE)
        await it.gone()

    async with (
        raw_site(pour, max_body="16MiB") as made,
        raw_browser(made.world.config.listen.port, tls=made.world.tls) as browser,
    ):
        someone = await made.world.signed_in()
        await made.raw(browser, cookie=someone.cookie(SESSION_COOKIE))
        assert (await browser.head())[0] == 101
        browser.read_no_more()
        unread.set()
        (tunnel,) = tunnels()
        tunnel._close_seconds = 60  # a slow machine reads 16 MiB in it
        await standstill(lambda: sent)
        if cause == "sign-out":
            await someone.fetch("/bff/logout", method="POST")
        else:
            await browser.say(b"\x83\x00")
        await until(lambda: tunnel.is_ending)
        assert await standstill(lambda: sent) < size
        assert tunnel.browser._transport.get_write_buffer_size() < 1_000_000
        browser.read_on()
        close = b"\x88\x0f\x03\xf0session ended" if cause == "sign-out" else b"\x88\x10\x03\xeaprotocol error"
        assert (await browser.wire.exactly(10 + size + len(close)))[10 + size :] == close


@pytest.mark.requirement("R-256", "R-261")
@pytest.mark.parametrize("piece", [b"", b"ab", b"\xc3\xa9"], ids=["empty", "two bytes", "one character"])
async def test_fragments_pass_one_by_one(piece: bytes) -> None:
    """However many a message has, each is gone when it has come; pings between them too. A character may be cut by them."""
    whole = masked(0x01, b"caf\xc3") + masked(0x00, b"\xa9")
    part = masked(0x00, piece) * 1000 + masked(0x89, b"!")
    end = masked(0x80, b">")

    async def reading(it: Conversation) -> None:
        await accept(it)
        for expected in (whole, *[part] * 20, end):
            assert await it.reader.readexactly(len(expected)) == expected
            await it.send(b"\x8a\x01!")
        await it.gone()

    async with raw_site(reading) as made, raw_browser(made.world.config.listen.port, tls=made.world.tls) as browser:
        await made.raw(browser)
        assert (await browser.head())[0] == 101
        for sent in (whole, *[part] * 20, end):
            await browser.say(sent)
            assert await browser.wire.exactly(3) == b"\x8a\x01!"


@pytest.mark.requirement("R-262", "R-279")
async def test_a_side_that_takes_nothing_for_long_is_cut_off() -> None:
    """A browser that does not read keeps neither connection for longer than an answer's would be kept."""

    async def pour(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await connection.send(LARGE)

    async with site(pour) as made, raw_browser(made.world.config.listen.port, tls=made.world.tls) as browser:
        await made.raw(browser)
        assert (await browser.head())[0] == 101
        (tunnel,) = tunnels()
        tunnel.browser.output._patience_seconds = 0.2
        browser.read_no_more()
        await until(lambda: not tunnels())


@pytest.mark.requirement("R-256", "R-261")
async def test_an_idle_websocket_has_no_task_and_no_request() -> None:
    """After the handshake only the two ends are left: no task, and nothing of the request."""
    async with site(silent) as made:
        someone = await made.world.signed_in()
        before = asyncio.all_tasks()
        async with made.browser("/user/x", cookie=someone.cookie(SESSION_COOKIE)):
            await made.met.get()
            ours = [task for task in asyncio.all_tasks() - before if "bff" in repr(task.get_coro())]
            assert ours == []
            gc.collect()
            kinds = Counter(type(one) for one in gc.get_objects())
            assert (kinds[End], kinds[Tunnel], kinds[Handshake], kinds[UpstreamHandshake]) == (2, 1, 0, 0)


def tunnels() -> list[Tunnel]:
    """Those that are open."""
    return list(
        {id(one._tunnel): one._tunnel for one in gc.get_objects() if type(one) is End and not one.is_gone}.values()
    )


async def test_a_websocket_goes_to_one_that_can_be_connected_to() -> None:
    """Of a list, the next one is tried; the place of the first is given back."""
    dead = f"http://127.0.0.1:{free_port()}"
    async with serve(echo, "127.0.0.1", 0) as server:
        alive = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        async with gateway_world(routes=routes_to(0, upstream=[dead, alive])) as world:
            made = Site(world)
            async with made.browser() as browser:
                await browser.send("x")
                assert await browser.recv() == "x"
                assert sorted(pool.busy for pool in world.app.process.pools) == [0, 1]


@pytest.mark.requirement("R-365")
@pytest.mark.parametrize(
    ("script", "moves"), [(closes_without_a_byte, True), (resets_without_a_byte, True), (breaks_in_its_head, False)]
)
async def test_a_handshake_that_breaks_goes_to_another_member(script: Script, moves: bool) -> None:
    """As a GET does: while the first has sent no byte of an answer, and it is left out then. With all broken it is 502."""
    async with scripted_upstream(script) as broken, scripted_upstream(script) as other:
        async with upstream_server(echo, ping_interval=None) as port:
            upstream = [broken.url, f"http://127.0.0.1:{port}"]
            async with gateway_world(routes=routes_to(port, upstream=upstream)) as world:
                # The pause of the first lasts, however slowly the handshakes go.
                standing_clock(world.app.gateway.forwarder, world.app.process.pools, 100.0)
                made = Site(world)
                if moves:
                    for _ in range(3):
                        async with made.browser() as browser:
                            await browser.send("x")
                            assert await browser.recv() == "x"
                else:
                    with pytest.raises(InvalidStatus) as refused:
                        await made.browser()
                    assert made.refused_status(refused.value) == 502
                assert len(broken.conversations) == 1
        async with gateway_world(routes=routes_to(port, upstream=[broken.url, other.url])) as world:
            made = Site(world)
            with pytest.raises(InvalidStatus) as refused:
                await made.browser()
            assert made.refused_status(refused.value) == 502
            assert len(broken.conversations) + len(other.conversations) == (3 if moves else 2)
