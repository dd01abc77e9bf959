"""A proxy in front of the gateway that strips `Sec-Fetch-*`, as old browsers, web views and careful proxies leave them out."""

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

_FETCH_METADATA = re.compile(rb"Sec-Fetch-[A-Za-z]+:[^\r]*\r\n", re.IGNORECASE)


@asynccontextmanager
async def stripping_relay(sockets: list[socket.socket], *, port: int) -> AsyncIterator[None]:
    """Serve `sockets`: what browsers send goes to this port of loopback without the fields. Heads must come whole."""

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_copy(reader, inner_writer, strip=True), _copy(inner_reader, writer, strip=False))

    servers = [await asyncio.start_server(relay, sock=sock) for sock in sockets]
    try:
        yield
    finally:
        for server in servers:
            server.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, strip: bool) -> None:
    with suppress(ConnectionError, asyncio.CancelledError):
        while data := await reader.read(64 * 1024):
            writer.write(_FETCH_METADATA.sub(b"", data) if strip else data)
            await writer.drain()
    with suppress(ConnectionError, RuntimeError):
        writer.close()
