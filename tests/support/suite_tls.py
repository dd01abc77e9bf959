"""The suite's TLS listeners: that for clients with a certificate asks for one, and tells the suite whose came, as its nginx does."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from support.tls_certificates import Authority

FIELD = "x-ssl-cert"


@asynccontextmanager
async def tls_listener(authority: Authority, *, port: int, asks: bool) -> AsyncIterator[str]:
    """Stands before the plain server at this port for as long as the block lasts; one request a connection. Yields its origin."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            writer.write(await _answered(await _request(reader), writer.get_extra_info("ssl_object"), port=port))
            await writer.drain()
        writer.close()

    context = authority.asking_server("127.0.0.1", asks=ssl.CERT_OPTIONAL if asks else ssl.CERT_NONE)
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def _request(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    fields = head.decode("latin-1").lower().split("\r\n")
    lengths = [field.partition(":")[2] for field in fields if field.startswith("content-length:")]
    return head, await reader.readexactly(int(lengths[0]) if lengths else 0)


async def _answered(request: tuple[bytes, bytes], tls: ssl.SSLObject, *, port: int) -> bytes:
    (head, content), certificate = request, tls.getpeercert(binary_form=True)
    line, _, fields = head.partition(b"\r\n")
    shown = "" if certificate is None else f"{FIELD}: {quote(ssl.DER_cert_to_PEM_cert(certificate))}\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(line + b"\r\n" + shown.encode() + b"connection: close\r\n" + _without_connection(fields) + content)
    answer = await reader.read()
    writer.close()
    return answer


def _without_connection(fields: bytes) -> bytes:
    return b"\r\n".join(field for field in fields.split(b"\r\n") if not field.lower().startswith(b"connection:"))
