"""A server that ends TLS by an alert, as OpenSSL, Go and Java do: asyncio's own server resets the connection instead."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


async def _handshake(
    context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> ssl.SSLError | None:
    """The server's side, and what it ended in; its alert is on the way then."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=True)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            data = await reader.read(65536)
            incoming.write(data) if data else incoming.write_eof()
        except ssl.SSLError as error:
            writer.write(outgoing.read())
            return error
        else:
            writer.write(outgoing.read())
            return None


@asynccontextmanager
async def ending_tls(context: ssl.SSLContext, *, then: bytes = b"") -> AsyncIterator[tuple[str, list[ssl.SSLError]]]:
    """The URL of such a server, and how its handshakes failed; after one that did not it writes `then`, without TLS."""
    failures: list[ssl.SSLError] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.clear()
        failure = await _handshake(context, reader, writer)
        if failure is None:
            writer.write(then)
        else:
            failures.append(failure)
        with contextlib.suppress(OSError):
            await reader.read()  # until the client has read it all and gone
            writer.close()
            await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}", failures
        async with asyncio.timeout(60):
            await ended.wait()
