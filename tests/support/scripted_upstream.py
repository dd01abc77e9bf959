"""An upstream on a real socket that does what a script says, byte for byte: the fake for everything an upstream can get wrong.

A script is an async function of one `Conversation`, which is one accepted connection:

    async def cut(it: Conversation) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\nhalf")
        it.close()

    async with scripted_upstream(cut, answering(b"fine")) as upstream: ...

The first connection gets the first script, the second the second, and so on; the last script serves all the rest. A script that
fails fails the test, at the end of the `async with`; a script whose peer has gone is simply over.
"""

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A request as the upstream saw it; `fields` in wire order, names as they came."""

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    content: bytes = b""

    def values(self, name: bytes) -> list[bytes]:
        """The values of all fields of this name, whatever its case."""
        return [value for found, value in self.fields if found.lower() == name]


class PeerLeft(Exception):
    """The connection ended while the script waited for more of a request."""


@dataclass(slots=True, eq=False)
class Conversation:
    """One accepted connection, in the hands of a script."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int  # counts accepted connections from 0

    async def head(self) -> Received:
        """The next request's line and fields."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise PeerLeft from error
        line, *lines = head[:-4].split(b"\r\n")
        method, target, _ = line.split(b" ")
        pairs = [one.partition(b": ") for one in lines]
        return Received(method=method, target=target, fields=[(name, value) for name, _, value in pairs])

    async def request(self) -> Received:
        """The next request with all of its content."""
        head = await self.head()
        return Received(method=head.method, target=head.target, fields=head.fields, content=await self.content(head))

    async def content(self, head: Received) -> bytes:
        """The content that follows this head."""
        try:
            return await self._content(head)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise PeerLeft from error

    async def _content(self, head: Received) -> bytes:
        if head.values(b"content-length"):
            return await self.reader.readexactly(int(head.values(b"content-length")[0]))
        if not head.values(b"transfer-encoding"):
            return b""
        chunks = []
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            chunks.append(await self.reader.readexactly(size))
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"
        return b"".join(chunks)

    async def send(self, *pieces: bytes) -> None:
        """Writes each piece, and lets the other side see it before the next."""
        for piece in pieces:
            if self.writer.is_closing():
                raise PeerLeft
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0)  # loopback delivers at once: the next turn of the loop reads it
            await asyncio.sleep(0)

    async def send_bytewise(self, data: bytes) -> None:
        """Byte by byte."""
        await self.send(*(data[i : i + 1] for i in range(len(data))))

    async def gone(self) -> bytes:
        """Waits until the other side closes, in order or not; what it had still sent."""
        rest = b""
        try:
            while data := await self.reader.read(65536):
                rest += data
        except ConnectionError:
            pass
        return rest

    def close(self) -> None:
        """In order: FIN."""
        self.writer.close()

    def cut(self) -> None:
        """FIN below TLS, which does not get to say its farewell."""
        with socket.socket(fileno=os.dup(self.writer.get_extra_info("socket").fileno())) as plain:
            plain.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Not in order: RST."""
        if self.writer.is_closing():
            return
        plain = self.writer.get_extra_info("socket")
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Conversation], Awaitable[None]]


@dataclass(slots=True, eq=False)
class ScriptedUpstream:
    """Where it listens, and the conversations so far."""

    scripts: tuple[Script, ...]
    port: int = 0
    scheme: str = "http"
    conversations: list[Conversation] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    open: int = 0
    host: str = "127.0.0.1"
    _tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    @property
    def url(self) -> str:
        """As a route's `upstream`."""
        return f"{self.scheme}://{self.host}:{self.port}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Runs the script of one connection."""
        number = len(self.conversations)
        conversation = Conversation(reader, writer, number)
        self.conversations.append(conversation)
        self.open += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self.scripts[min(number, len(self.scripts) - 1)](conversation)
        except (PeerLeft, ConnectionError, asyncio.CancelledError):
            pass  # cancelled by `stop`; asyncio's streams would log it
        except Exception as error:  # noqa: BLE001  (an assertion in a script: raised again where the test sees it)
            self.failures.append(error)
        finally:
            self.open -= 1
            self._tasks.discard(task)
            writer.close()

    async def stop(self) -> None:
        """Ends all scripts."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for conversation in self.conversations:
            # A transport of asyncio that has sent what it held when it was closed has no loop any more, and cannot be aborted.
            with suppress(AttributeError):
                conversation.writer.transport.abort()
        await asyncio.sleep(0)  # the loop closes what is left


@asynccontextmanager
async def scripted_upstream(
    *scripts: Script, tls: ssl.SSLContext | None = None, port: int = 0
) -> AsyncIterator[ScriptedUpstream]:
    """Listens on a loopback port of its own, or on `port`."""
    upstream = ScriptedUpstream(scripts, scheme="http" if tls is None else "https")
    server = await asyncio.start_server(upstream.accept, upstream.host, port, ssl=tls, limit=1 << 20, backlog=4096)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        await upstream.stop()
    for failure in upstream.failures:
        raise failure


def response(content: bytes = b"", *fields: str, status: str = "200 OK") -> bytes:
    """A response with a Content-Length."""
    lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(content)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + content


def chunked(*chunks: bytes, trailers: bytes = b"") -> bytes:
    """A response in chunks."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n" + trailers + b"\r\n"


def answering(content: bytes = b"", *fields: str, status: str = "200 OK") -> Script:
    """Answers every request alike, for as long as the connection lasts."""

    async def script(it: Conversation) -> None:
        while True:
            await it.request()
            await it.send(response(content, *fields, status=status))

    return script


def saying(*pieces: bytes) -> Script:
    """Says this to the first request, then waits for the other side to leave."""

    async def script(it: Conversation) -> None:
        await it.request()
        await it.send(*pieces)
        await it.gone()

    return script


async def echo(it: Conversation) -> None:
    """Answers every request with its target and content."""
    while True:
        request = await it.request()
        await it.send(response(request.target + b"|" + request.content))


async def closes_without_a_byte(it: Conversation) -> None:
    """Take a request, and close."""
    await it.request()
    it.cut()


async def resets_without_a_byte(it: Conversation) -> None:
    """Take a request, and reset the connection."""
    await it.request()
    it.reset()


async def breaks_in_its_head(it: Conversation) -> None:
    """Take a handshake, and close in the middle of the head that answers it."""
    await it.request()
    await it.send(b"HTTP/1.1 101 Switch")
    it.cut()


async def silent(it: Conversation) -> None:
    """Never answers."""
    await it.gone()
