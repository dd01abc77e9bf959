"""A browser on a raw socket: it says what a test says, and sees every byte of the answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class StreamingBrowser:
    """One connection to a gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        """Writes, as fast as the gateway takes it."""
        self.writer.write(data)
        await self.writer.drain()

    async def request(self, path: str = "/api", *fields: str, method: str = "GET") -> None:
        """A request's head."""
        lines = [f"{method} {path} HTTP/1.1", "Host: app.example.com", *fields, "", ""]
        await self.send("\r\n".join(lines).encode())

    async def head(self) -> tuple[int, dict[bytes, bytes]]:
        """Status and fields (lower case) of the next answer, interim ones too."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        line, *lines = head[:-4].split(b"\r\n")
        fields = dict(one.split(b": ", 1) for one in lines)
        return int(line.split(b" ")[1]), {name.lower(): value for name, value in fields.items()}

    async def content(self, fields: dict[bytes, bytes]) -> bytes:
        """The whole content; raises `asyncio.IncompleteReadError` if the transfer is broken."""
        if b"content-length" in fields:
            return await self.reader.readexactly(int(fields[b"content-length"]))
        chunks = []
        while chunk := await self.chunk():
            chunks.append(chunk)
        return b"".join(chunks)

    async def chunk(self) -> bytes:
        """The next chunk; empty at the end."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def answer(self) -> tuple[int, bytes]:
        """Status and content of the next answer."""
        status, fields = await self.head()
        return status, await self.content(fields)

    async def count(self) -> int:
        """Bytes until the end of the connection, none of them kept."""
        total = 0
        while data := await self.reader.read(1 << 20):
            total += len(data)
        return total

    def leave(self) -> None:
        """Closes at once."""
        self.writer.transport.abort()


@asynccontextmanager
async def streaming_browser(port: int) -> AsyncIterator[StreamingBrowser]:
    """Connects; leaves at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    browser = StreamingBrowser(reader, writer)
    try:
        yield browser
    finally:
        browser.leave()
