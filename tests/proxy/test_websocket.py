"""WebSockets over real sockets: handshake, messages, closes."""

import asyncio
import socket
from contextlib import suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import Request, Response, ServerConnection
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from bff.config.model import TimeoutConfig
from bff.errors import UpstreamBroke, UpstreamTimeout, UpstreamUnreachable
from support.scripted_upstream import (
    Script,
    breaks_in_its_head,
    closes_without_a_byte,
    resets_without_a_byte,
    scripted_upstream,
)
from support.tls_certificates import Authority
from support.websocket_world import World, close_of, echo, gateway, no_task_left_behind, upstream_server, world

A, B = Subprotocol("chat.v1"), Subprotocol("chat.v2")


async def silent(connection: ServerConnection) -> None:
    """An upstream that only listens, until it is left."""
    async for _ in connection:
        pass


async def refused(made: World, **options: Any) -> Response:
    """The answer to a handshake that fails."""
    with pytest.raises(InvalidStatus) as caught:
        await made.browser(**options)
    return caught.value.response


# --- messages -----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-256")
@pytest.mark.parametrize("message", ["text \u20ac", b"binary \xff\x00", "", b"", "x" * 200_000, b"y" * 200_000])
async def test_messages_pass_both_ways_as_they_are(message: str | bytes) -> None:
    """Text stays text, binary stays binary, whatever the size below the limit."""
    async with world() as made, made.browser() as browser:
        await browser.send(message)
        assert await browser.recv() == message


@pytest.mark.parametrize("parts", [["a", "\u20ac", "c"], [b"a", b"\xff", b"c"]])
async def test_fragments_arrive_as_one_message(parts: list[Any]) -> None:
    """A message that was sent in fragments, from either side, arrives whole and of its kind."""

    async def fragmenting(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send([message, message])

    async with world(fragmenting) as made, made.browser() as browser:
        await browser.send(parts)
        whole = parts[0][:0].join(parts)
        assert await browser.recv() == whole + whole


async def test_what_was_sent_before_a_close_arrives_before_it() -> None:
    """A close overtakes no message, on either side."""
    heard: list[str | bytes] = []

    async def listing(connection: ServerConnection) -> None:
        for number in range(50):
            await connection.send(f"down {number}")
        async for message in connection:
            heard.append(message)
            if message == "up 49":
                break

    async with world(listing) as made, made.browser() as browser:
        for number in range(50):
            await browser.send(f"up {number}")
        assert [message async for message in browser] == [f"down {number}" for number in range(50)]
    assert heard == [f"up {number}" for number in range(50)]


async def test_many_conversations_do_not_mix() -> None:
    """Fifty at once, each hears its own."""
    async with world() as made:

        async def talk(number: int) -> bool:
            async with made.browser() as browser:
                await browser.send(str(number))
                return await browser.recv() == str(number)

        assert all(await asyncio.gather(*map(talk, range(50))))


# --- the handshake ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-256", "R-254", "R-004", "R-151", "R-257")
async def test_the_upstream_gets_a_rewritten_handshake() -> None:
    """The token attached, `Origin` passed on, our cookies and everything spoofed gone, no extension offered."""
    sent = [
        ("Origin", "https://app.example.com"),
        ("Cookie", "theme=dark; __Host-Http-bff=SECRET"),
        ("Authorization", "Bearer spoofed"),
        ("X-Forwarded-For", "6.6.6.6"),
        ("X_Forwarded_User", "admin"),
        ("X-App", "caf\xe9"),
    ]
    async with world() as made, made.browser(additional_headers=sent, user_agent_header="UA/1"):
        upstream = await made.met.get()
    assert upstream.request is not None
    fields = upstream.request.headers
    assert fields.get_all("Authorization") == ["Bearer tok-1"]
    assert fields.get_all("Origin") == ["https://app.example.com"]
    assert fields.get_all("Cookie") == ["theme=dark"]
    assert fields.get_all("X-Forwarded-For") == ["127.0.0.1"]
    assert fields.get_all("X-Forwarded-Host") == ["app.example.com"]
    assert fields.get_all("User-Agent") == ["UA/1"]
    assert fields.get_all("X-App") == ["caf\xe9"]
    assert fields.get_all("Upgrade") == ["websocket"]
    assert fields.get_all("Host") == [f"127.0.0.1:{upstream.local_address[1]}"]
    assert len(fields.get_all("Sec-WebSocket-Key")) == 1
    assert not {"x_forwarded_user", "sec-websocket-extensions", "sec-websocket-protocol"} & {
        name.lower() for name in fields
    }


@pytest.mark.requirement("R-241")
@pytest.mark.parametrize("rest", ["/", "/a%2Fb;c=1/%20", "//x?a=1&b=%0d%0a;c?d", "?x"])
async def test_path_and_query_reach_the_upstream_byte_for_byte(rest: str) -> None:
    """Parameters, escapes and question marks stay as they are."""
    async with world(base="/base") as made, made.browser("/ws" + rest):
        upstream = await made.met.get()
    assert upstream.request is not None
    assert upstream.request.path == "/base" + rest


@pytest.mark.requirement("R-256")
@pytest.mark.parametrize(("speaks", "chosen"), [([B], B), ([A, B], A), ([Subprotocol("other")], None), (None, None)])
async def test_the_subprotocol_is_chosen_from_what_was_offered(
    speaks: list[Subprotocol] | None, chosen: str | None
) -> None:
    """The browser's list goes to the upstream, the upstream's choice to the browser."""

    def choose(_: ServerConnection, offered: Any) -> Subprotocol | None:
        assert offered == [A, B]
        return next((name for name in speaks or [] if name in offered), None)

    async with world(select_subprotocol=choose) as made, made.browser(subprotocols=[A, B]) as browser:
        assert browser.subprotocol == chosen


@pytest.mark.requirement("R-256")
@pytest.mark.parametrize("offered", [[A], None])
async def test_a_subprotocol_that_was_not_offered_is_refused(offered: list[Subprotocol] | None) -> None:
    """An upstream that chooses on its own has broken the protocol; the browser never sees that choice."""

    def insist(_: ServerConnection, __: Request, response: Response) -> Response:
        response.headers["Sec-WebSocket-Protocol"] = B
        return response

    async with world(process_response=insist) as made:
        assert (await refused(made, subprotocols=offered)).status_code == 502
        assert isinstance(made.errors[0], UpstreamBroke)


async def test_the_upstreams_fields_come_with_the_answer() -> None:
    """What it says in its handshake reaches the browser, but for its upgrade and cookies for our names."""

    def dress(_: ServerConnection, __: Request, response: Response) -> Response:
        response.headers["Set-Cookie"] = "a=1"
        response.headers["Set-Cookie"] = "__Host-Http-bff=x"
        response.headers["X-Node"] = "7"
        return response

    async with world(process_response=dress) as made, made.browser() as browser:
        assert browser.response is not None
        assert browser.response.headers.get_all("Set-Cookie") == ["a=1"]
        assert browser.response.headers.get_all("X-Node") == ["7"]
        assert len(browser.response.headers.get_all("Sec-WebSocket-Accept")) == 1


@pytest.mark.requirement("R-256")
@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN, HTTPStatus.SERVICE_UNAVAILABLE])
async def test_the_upstreams_refusal_is_the_browsers_answer(status: HTTPStatus) -> None:
    """Status, fields and body pass, before the browser's side was ever upgraded; no cache on the way may keep it."""

    def refuse(_: ServerConnection, __: Request) -> Response:
        fields = Headers(
            {"WWW-Authenticate": 'Bearer error="invalid_token"', "Content-Length": "4", "Connection": "close"}
        )
        return Response(status, "No", fields, b"nope")

    async with world(process_request=refuse) as made:
        answer = await refused(made)
    assert (answer.status_code, bytes(answer.body)) == (status, b"nope")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert answer.headers["Cache-Control"] == "private, no-store"
    assert not made.errors


@pytest.mark.requirement("R-350")
@pytest.mark.parametrize("other", ["tok-2", None])
@pytest.mark.parametrize("refusals", [1, 9])
async def test_a_rejected_token_is_replaced_once(refusals: int, other: str | None) -> None:
    """After a 401 the handshake is made once more with another token, if there is one; a second 401 is the browser's answer."""
    tokens: list[str] = []

    def refuse(_: ServerConnection, request: Request) -> Response | None:
        tokens.append(request.headers["Authorization"])
        fields = Headers({"Content-Length": "2", "X-Why": "\xff"})
        return Response(401, "No", fields, b"no") if len(tokens) <= refusals else None

    async with world(process_request=refuse) as made:
        made.other_token = other
        if other is not None and refusals == 1:
            async with made.browser() as browser:
                await browser.send("x")
                assert await browser.recv() == "x"
        else:
            with pytest.raises(InvalidStatus) as refused:
                await made.browser()
            assert refused.value.response.status_code == 401
    assert tokens == ["Bearer tok-1", *([] if other is None else ["Bearer tok-2"])]
    assert [status for status, _ in made.refusals] == [401] * min(len(tokens), refusals)
    assert all((b"x-why", b"\xff") in fields for _, fields in made.refusals)


@pytest.mark.requirement("R-153")
async def test_a_redirect_is_not_followed() -> None:
    """The server that it points to gets no connection, and the token goes nowhere else (CVE-2023-45289)."""
    async with upstream_server(echo) as elsewhere:

        def redirect(_: ServerConnection, __: Request) -> Response:
            fields = Headers({"Location": f"ws://127.0.0.1:{elsewhere}/", "Content-Length": "0"})
            return Response(HTTPStatus.FOUND, "Found", fields)

        async with world(process_request=redirect) as made:
            assert (await refused(made)).status_code == HTTPStatus.FOUND


async def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has no say in where the token goes."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with world() as made, made.browser() as browser:
        await browser.send("x")
        assert await browser.recv() == "x"


async def test_an_unreachable_upstream_is_told_apart() -> None:
    """Nothing listens there."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        async with no_task_left_behind(), gateway(f"http://127.0.0.1:{unused.getsockname()[1]}") as made:
            assert (await refused(made)).status_code == 502
    assert isinstance(made.errors[0], UpstreamUnreachable)


@pytest.mark.requirement("R-264")
async def test_an_upstream_without_tls_is_not_spoken_to_in_the_clear() -> None:
    """An https route whose upstream speaks plain text gets no request at all, hence no token."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(65536))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    async with (
        no_task_left_behind(),
        server,
        gateway(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}") as made,
    ):
        assert (await refused(made)).status_code == 502
    assert isinstance(made.errors[0], UpstreamUnreachable)
    assert b"tok-1" not in b"".join(heard)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
    ],
)
async def test_an_upstream_that_breaks_the_handshake_is_told_apart(answer: bytes) -> None:
    """Closing, nonsense, and a 101 without the right proof are all no answer."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with no_task_left_behind(), server, gateway(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as made:
        assert (await refused(made)).status_code == 502
    assert isinstance(made.errors[0], UpstreamBroke)


async def test_an_upstream_that_never_answers_is_given_up() -> None:
    """The route's `first_byte` bounds the handshake."""

    async def hush(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hush, "127.0.0.1", 0)
    async with no_task_left_behind(), server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with gateway(url, timeouts=TimeoutConfig(first_byte=0.05)) as made:
            assert (await refused(made)).status_code == 502
    assert isinstance(made.errors[0], UpstreamTimeout)


# --- closes -------------------------------------------------------------------------------------------------------------

CODES = [1000, 1001, 1003, 1008, 1011, 1012, 1013, 3000, 4401, 4999]


@pytest.mark.requirement("R-256")
@pytest.mark.parametrize("code", CODES)
async def test_the_upstream_hears_how_the_browser_closed(code: int) -> None:
    """Code and reason pass."""
    async with world(silent) as made:
        async with made.browser() as browser:
            upstream = await made.met.get()
            await browser.close(code, "so long")
        assert await close_of(upstream) == (code, "so long")


@pytest.mark.requirement("R-256")
@pytest.mark.parametrize("code", CODES)
async def test_the_browser_hears_how_the_upstream_closed(code: int) -> None:
    """Code and reason pass."""

    async def close(connection: ServerConnection) -> None:
        await connection.close(code, "enough")

    async with world(close) as made, made.browser() as browser:
        assert await close_of(browser) == (code, "enough")


@pytest.mark.requirement("R-256")
async def test_a_close_without_a_code_becomes_1000() -> None:
    """1005 is for nobody to send (RFC 6455 section 7.4.1), so each side hears a normal close."""

    async def close(connection: ServerConnection) -> None:
        await connection.recv()
        connection.transport.write(b"\x88\x00")
        await connection.wait_closed()

    async with world(close) as made, made.browser() as browser:
        await browser.send("now")
        assert await close_of(browser) == (1000, "")
    async with world(silent) as made, made.browser() as browser:
        upstream = await made.met.get()
        browser.transport.write(b"\x88\x80\x00\x00\x00\x00")
        assert await close_of(upstream) == (1000, "")


@pytest.mark.requirement("R-256")
async def test_a_lost_upstream_is_a_bad_gateway() -> None:
    """1006 cannot be sent, so the browser gets 1014."""

    async def vanish(connection: ServerConnection) -> None:
        connection.transport.abort()

    async with world(vanish) as made, made.browser() as browser:
        assert await close_of(browser) == (1014, "upstream connection lost")


@pytest.mark.requirement("R-256")
async def test_a_lost_browser_is_a_closed_upstream() -> None:
    """When the browser's connection is gone, the upstream's is closed, with a code that may be sent."""
    async with world(silent) as made:
        browser = await made.browser()
        upstream = await made.met.get()
        browser.transport.abort()
        code, _ = await close_of(upstream)
        await browser.wait_closed()
    assert code in {1000, 1001}  # the server in front calls it 1005


@pytest.mark.requirement("R-256")
async def test_a_lost_browser_stops_an_upstream_that_only_talks() -> None:
    """What it still has to say is thrown away, so that it hears the close and need not be timed out."""

    async def talk(connection: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            while True:
                await connection.send(b"x" * 65536)

    async with world(talk, close_seconds=3600.0) as made:
        browser = await made.browser()
        upstream = await made.met.get()
        await browser.recv()
        browser.transport.abort()
        async with asyncio.timeout(30):
            await upstream.wait_closed()
        await browser.wait_closed()
        assert upstream.close_code in {1000, 1001}


@pytest.mark.requirement("R-256")
async def test_both_sides_are_closed_when_the_session_ends() -> None:
    """The browser hears 1008 `session ended`, the upstream that we go away."""
    async with world() as made, made.browser() as browser:
        upstream = await made.met.get()
        await browser.send("x")
        assert await browser.recv() == "x"
        made.ended.set()
        assert await close_of(browser) == (1008, "session ended")
        assert (await close_of(upstream))[0] == 1001


@pytest.mark.requirement("R-256")
async def test_a_session_that_ended_during_the_handshake_has_no_conversation() -> None:
    """It is closed at once."""
    async with world() as made:
        made.ended.set()
        async with made.browser() as browser:
            assert await close_of(browser) == (1008, "session ended")


@pytest.mark.requirement("R-256", "R-261")
@pytest.mark.parametrize("message", [b"x" * 1001, "x" * 1001, "\u20ac" * 334])
async def test_a_message_above_the_limit_closes_both_sides(message: str | bytes) -> None:
    """1009, counted in bytes, from the browser and from the upstream."""
    async with world(silent, max_body=1000) as made, made.browser() as browser:
        upstream = await made.met.get()
        await browser.send(message)
        assert await close_of(browser) == (1009, "message too big")
        assert (await close_of(upstream))[0] == 1009

    async def shout(connection: ServerConnection) -> None:
        await connection.send(message)
        await connection.wait_closed()

    async with world(shout, max_body=1000) as made, made.browser() as browser:
        assert await close_of(browser) == (1009, "message too big")
        assert (await close_of(await made.met.get()))[0] == 1009


@pytest.mark.requirement("R-256")
async def test_a_message_at_the_limit_passes() -> None:
    """The limit is inclusive."""
    async with world(max_body=1000) as made, made.browser() as browser:
        for message in ("x" * 1000, b"x" * 1000):
            await browser.send(message)
            assert await browser.recv() == message


# --- TLS ----------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-264")
@pytest.mark.parametrize(("name", "reached"), [("127.0.0.1", True), ("other.example", False)])
async def test_an_upstream_over_tls_proves_its_name(tmp_path: Path, name: str, reached: bool) -> None:
    """The route's CA is what counts, and the certificate names the upstream; else there is no handshake."""
    authority = Authority(tmp_path)
    async with (
        no_task_left_behind(),
        upstream_server(echo, ssl=authority.server(name)) as port,
        gateway(f"https://127.0.0.1:{port}", ca_file=authority.file) as made,
    ):
        if reached:
            async with made.browser() as browser:
                await browser.send("x")
                assert await browser.recv() == "x"
        else:
            assert (await refused(made)).status_code == 502
            assert isinstance(made.errors[0], UpstreamUnreachable)


@pytest.mark.requirement("R-264")
async def test_without_a_context_the_systems_authorities_count(tmp_path: Path) -> None:
    """An https route is never unverified, also if nobody says how to verify."""
    server = Authority(tmp_path).server("127.0.0.1")
    async with (
        no_task_left_behind(),
        upstream_server(echo, ssl=server) as port,
        gateway(f"https://127.0.0.1:{port}") as made,
    ):
        assert (await refused(made)).status_code == 502
    assert isinstance(made.errors[0], UpstreamUnreachable)


@pytest.mark.parametrize(
    ("script", "moves"), [(closes_without_a_byte, True), (resets_without_a_byte, True), (breaks_in_its_head, False)]
)
async def test_a_handshake_that_breaks_goes_to_another_member(script: Script, moves: bool) -> None:
    """As a GET does: while the first has sent no byte of an answer. All members broken: 502, each asked once."""
    async with (
        scripted_upstream(script) as broken,
        upstream_server(echo) as port,
        gateway([broken.url, f"http://127.0.0.1:{port}"]) as made,
    ):
        if moves:
            async with made.browser() as browser:
                await browser.send("x")
                assert await browser.recv() == "x"
        else:
            assert (await refused(made)).status_code == 502
    async with (
        no_task_left_behind(),
        scripted_upstream(script) as one,
        scripted_upstream(script) as other,
        gateway([one.url, other.url]) as made,
    ):
        assert (await refused(made)).status_code == 502
        assert len(one.conversations) + len(other.conversations) == (2 if moves else 1)
