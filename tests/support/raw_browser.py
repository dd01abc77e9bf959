"""A browser's connection as bytes: what is written goes out as it is; what comes back is read as strictly as by a hop before us.

    async with raw_browser(port) as browser:
        await browser.say(b"GET /x HTTP/1.1\\r\\n", b"Host: a\\r\\n\\r\\n")
        reply = await browser.reply()
        assert await browser.rest() == b""

Nothing here is lenient: a reply with two lengths, bytes after the end, or an early end is an error.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

TIMEOUT_SECONDS = 60.0  # a test that waits this long has failed

Fields = list[tuple[bytes, bytes]]


class Truncated(Exception):
    """The connection ended before the reply did; `body` is what had come of it, `status` is 0 if not even a head."""

    def __init__(self, *, status: int, body: bytes) -> None:
        super().__init__(f"reply {status} ended after {len(body)} bytes of content")
        self.status = status
        self.body = body


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One complete reply; field names are lower case."""

    status: int
    fields: Fields
    body: bytes
    interim: tuple[int, ...]  # the 1xx before it

    def values(self, name: str) -> list[str]:
        """All values of a field, in order."""
        return [value.decode("latin-1") for key, value in self.fields if key == name.encode()]

    @property
    def closes(self) -> bool:
        """Whether it says that the connection ends with it."""
        return "close" in self.values("connection")


class Wire(asyncio.Protocol):
    """Keeps all that came, also when the connection was reset behind it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.received = bytearray()
        self.ended = False
        self.was_reset = False
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready."""
        self.transport = transport  # type: ignore[assignment]  # a TCP connection's is an asyncio.Transport

    def data_received(self, data: bytes) -> None:
        """Some of a reply."""
        self.received += data
        self._changed.set()

    def eof_received(self) -> bool:
        """The end of what the gateway says; we may go on."""
        self.ended = True
        self._changed.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self.ended = True
        self.was_reset = isinstance(exc, ConnectionResetError)
        self._changed.set()
        self._writable.set()

    def pause_writing(self) -> None:
        """The gateway does not read."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """It does again."""
        self._writable.set()

    async def write(self, data: bytes) -> None:
        """Lost without a word when nobody takes it any more."""
        assert self.transport is not None
        if not self.ended:
            self.transport.write(data)
            await self._writable.wait()

    async def more(self) -> None:
        """Wait for more; EOFError when nothing more can come."""
        if self.ended:
            raise EOFError
        self._changed.clear()
        await self._changed.wait()

    async def until(self, end: bytes) -> bytes:
        """Up to and with these bytes."""
        while (at := self.received.find(end)) < 0:
            await self.more()
        return self.cut(at + len(end))

    async def exactly(self, size: int) -> bytes:
        """So many bytes."""
        while len(self.received) < size:
            await self.more()
        return self.cut(size)

    async def everything(self) -> bytes:
        """All until the end."""
        while not self.ended:
            await self.more()
        return self.cut(len(self.received))

    def cut(self, size: int) -> bytes:
        """Take what has come."""
        taken = bytes(self.received[:size])
        del self.received[:size]
        return taken


@dataclass(slots=True, eq=False)
class RawBrowser:
    """One connection."""

    wire: Wire
    interim: list[int] = field(default_factory=list)
    heads: list[bytes] = field(default_factory=list)  # of all replies, as they came

    @property
    def ended(self) -> bool:
        """Whether the gateway has closed it, as far as is known."""
        return self.wire.ended

    async def say(self, *pieces: bytes) -> None:
        """Write each piece in a segment of its own."""
        for piece in pieces:
            await self.wire.write(piece)
            await asyncio.sleep(0)
            await asyncio.sleep(0)

    async def say_bytewise(self, data: bytes) -> None:
        """Byte by byte, until there is an answer."""
        for at in range(len(data)):
            await self.say(data[at : at + 1])
            if self.wire.received or self.ended:
                return

    async def reply(self, *, to: str = "GET") -> Reply:
        """The next final reply to a request with this method.

        Raises:
            Truncated: it has no proper end.
        """
        async with asyncio.timeout(TIMEOUT_SECONDS):
            self.interim = []
            while True:
                status, fields = await self._head()
                if status >= 200:
                    break
                self.interim.append(status)
            body = await self._body(status, fields, to=to)
            return Reply(status=status, fields=fields, body=body, interim=tuple(self.interim))

    async def interim_reply(self) -> int:
        """The next head, which must be interim."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            status, fields = await self._head()
        assert status < 200, status
        assert fields == []
        return status

    async def head(self) -> tuple[int, Fields]:
        """Status and fields of the next reply; its content is left to `bytes_now`."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await self._head()

    async def some(self) -> bytes:
        """Whatever comes next; nothing if it is the end."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            if not self.wire.received and not self.ended:
                await self.wire.more()
            return self.wire.cut(len(self.wire.received))

    async def rest(self) -> bytes:
        """Everything until the gateway closes the connection."""
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await self.wire.everything()

    def finish(self) -> None:
        """Say nothing more, but listen: half a close."""
        assert self.wire.transport is not None
        self.wire.transport.write_eof()

    def leave(self) -> None:
        """Reset, as a browser does when its tab is closed."""
        assert self.wire.transport is not None
        plain = self.wire.transport.get_extra_info("socket")
        if plain.fileno() >= 0:  # else the gateway has closed it a moment ago
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.wire.transport.abort()

    def read_no_more(self) -> None:
        """Leave what comes in the sockets' buffers."""
        assert self.wire.transport is not None
        self.wire.transport.pause_reading()

    def read_on(self) -> None:
        """Take what has been left, and what comes."""
        assert self.wire.transport is not None
        self.wire.transport.resume_reading()

    async def _head(self) -> tuple[int, Fields]:
        try:
            head = await self.wire.until(b"\r\n\r\n")
        except EOFError:
            raise Truncated(status=0, body=bytes(self.wire.received)) from None
        self.heads.append(head)
        line, *lines = head[:-4].split(b"\r\n")
        version, status, _ = line.split(b" ", 2)
        assert version == b"HTTP/1.1", line
        pairs = [one.partition(b": ") for one in lines]
        assert all(separator for _, separator, _ in pairs), lines
        return int(status), [(name.lower(), value) for name, _, value in pairs]

    async def _body(self, status: int, fields: Fields, *, to: str) -> bytes:
        lengths = [value for name, value in fields if name == b"content-length"]
        codings = [value for name, value in fields if name == b"transfer-encoding"]
        assert len(lengths) + len(codings) <= 1, fields
        if to == "HEAD" or status in {204, 304}:
            return b""
        body = bytearray()
        try:
            if codings:
                assert codings == [b"chunked"]
                await self._chunks(body)
            elif lengths:
                body += await self.wire.exactly(int(lengths[0]))
            else:
                body += await self.wire.everything()
        except EOFError:
            raise Truncated(status=status, body=bytes(body + self.wire.received)) from None
        return bytes(body)

    async def _chunks(self, body: bytearray) -> None:
        while size := int((await self.wire.until(b"\r\n"))[:-2], 16):
            body += await self.wire.exactly(size)
            assert await self.wire.exactly(2) == b"\r\n"
        assert await self.wire.exactly(2) == b"\r\n"


@asynccontextmanager
async def raw_browser(
    port: int, *, tls: ssl.SSLContext | None = None, source: str = "127.0.0.1"
) -> AsyncIterator[RawBrowser]:
    """A connection to a port of loopback, from this address of it; its certificate is for `localhost`."""
    name = None if tls is None else "localhost"
    transport, wire = await asyncio.get_running_loop().create_connection(
        Wire, "127.0.0.1", port, ssl=tls, server_hostname=name, local_addr=(source, 0)
    )
    try:
        yield RawBrowser(wire)
    finally:
        transport.close()
