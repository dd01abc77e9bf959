"""What a browser cannot make a WebSocket keep (ASVS V4.4, V15.4), over real connections and with frames written by hand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn
from bff.cli.protocol import BoundedHttpToolsProtocol

from bff.config.model import LimitsConfig
from bff.demo.loopback_sockets import bind_loopback, port_of

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
CONTINUATION, TEXT, BINARY, PING = 0, 1, 2, 9


@dataclass(slots=True)
class App:
    """Takes every handshake, and notes the messages."""

    messages: "asyncio.Queue[str | bytes]" = field(default_factory=asyncio.Queue)
    parts: Any = field(default_factory=lambda: SimpleNamespace(config=SimpleNamespace(limits=LimitsConfig())))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one WebSocket."""
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            text = message.get("text")
            self.messages.put_nowait(bytes(message["bytes"]) if text is None else text)


@dataclass(slots=True, kw_only=True)
class Socket:
    """A browser's WebSocket, and the server's end of it."""

    app: App
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    protocol: Any

    async def say(self, *frames: bytes) -> None:
        """Write frames; returns when the server, or the kernel between us, has taken them."""
        self.writer.write(b"".join(frames))
        await self.writer.drain()


def frame(opcode: int, payload: bytes, *, last: bool = True) -> bytes:
    """A frame with a mask that changes nothing (RFC 6455 section 5.2)."""
    assert len(payload) < 126
    return bytes([(0x80 if last else 0) | opcode, 0x80 | len(payload)]) + bytes(4) + payload


@asynccontextmanager
async def websocket() -> AsyncIterator[Socket]:
    """One, in front of the application."""
    app, sockets = App(), bind_loopback()
    config = uvicorn.Config(
        app, http=BoundedHttpToolsProtocol, interface="asgi3", proxy_headers=False, lifespan="off", log_config=None
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(sockets))
        writer.write(HANDSHAKE)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        (protocol,) = server.server_state.connections
        try:
            yield Socket(app=app, reader=reader, writer=writer, protocol=protocol)
        finally:
            writer.close()
    finally:
        await server.shutdown(sockets)


@pytest.mark.requirement("R-256", "R-261")
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
@pytest.mark.parametrize("piece", [b"", b"ab", b"\xc3\xa9"], ids=["empty", "two bytes", "one character"])
async def test_fragments_are_one_piece(opcode: int, piece: bytes) -> None:
    """Whatever a message is made of, what is kept of it is one piece; it arrives whole, and so does the next."""
    async with websocket() as socket:
        await socket.say(frame(opcode, b"<", last=False))
        for _ in range(20):
            await socket.say(*[frame(CONTINUATION, piece, last=False)] * 1000, frame(PING, b"!"))
            assert await socket.reader.readexactly(3) == b"\x8a\x01!"  # all before it has been read
            assert len(socket.protocol.frames) <= 1
        await socket.say(frame(CONTINUATION, b">"), frame(opcode, b"next"))
        async with asyncio.timeout(10):
            got = [await socket.app.messages.get() for _ in range(2)]
    whole = b"<" + piece * 20_000 + b">"
    assert got == ([whole.decode(), "next"] if opcode == TEXT else [whole, b"next"])


@pytest.mark.requirement("R-256", "R-261")
async def test_a_text_that_is_split_in_a_character_arrives_whole() -> None:
    """Only the message as a whole has to be UTF-8 (RFC 6455 section 5.6)."""
    async with websocket() as socket:
        await socket.say(frame(TEXT, b"caf\xc3", last=False), frame(CONTINUATION, b"\xa9"))
        async with asyncio.timeout(10):
            assert await socket.app.messages.get() == "café"


@pytest.mark.requirement("R-256", "R-261")
async def test_pongs_that_nobody_reads_are_not_kept() -> None:
    """A browser that sends pings and reads nothing fills the kernel's buffers, and no memory of ours."""
    async with websocket() as socket:
        transport: Any = socket.writer.transport
        transport.pause_reading()
        for _ in range(200):
            await socket.say(*[frame(PING, b"p" * 100)] * 1000)
        await socket.say(frame(TEXT, b"done"))
        async with asyncio.timeout(10):
            assert await socket.app.messages.get() == "done"
        assert socket.protocol.transport.get_write_buffer_size() < 1_000_000  # of 20 MB


@pytest.mark.requirement("R-256")
async def test_pings_are_answered() -> None:
    """A browser that reads gets its pongs, with what the pings said."""
    async with websocket() as socket:
        for number in range(3):
            await socket.say(frame(PING, b"%d" % number))
            async with asyncio.timeout(10):
                assert await socket.reader.readexactly(3) == b"\x8a\x01%d" % number
