"""A provider behind TLS that asks each client for a certificate: discovery, and endpoints that answer at every other path.

It is as small as the tests of our certificate need it. `keeps` says whether a connection serves further requests.
"""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from support.tls_certificates import Authority

ENDPOINTS = ("authorization", "token", "revocation", "userinfo", "pushed_authorization_request")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsCall:
    """A call of an endpoint, and whose certificate came with it."""

    path: str
    common_name: str
    form: dict[str, str]


@dataclass(slots=True, kw_only=True)
class TlsProvider:
    """The provider; `calls` are those of its endpoints. `{url}` in an alias stands for its own."""

    authority: Authority
    url: str = ""
    calls: list[TlsCall] = field(default_factory=list)
    aliases: dict[str, object] = field(default_factory=lambda: {"token_endpoint": "{url}/mtls/token"})
    keeps: bool = False
    connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            await self._answer_one(reader, writer)
            while self.keeps:
                await self._answer_one(reader, writer)
        writer.close()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split(" ")[1]
        lengths = [line.split(":")[1] for line in head.lower().split("\r\n") if line.startswith("content-length:")]
        form = dict(parse_qsl((await reader.readexactly(int(lengths[0]) if lengths else 0)).decode()))
        body = json.dumps(self._answer(path)).encode()
        if not path.startswith("/.well-known/"):
            certificate = writer.get_extra_info("peercert") or {}
            names = [value for ((key, value),) in certificate.get("subject", ()) if key == "commonName"]
            self.calls.append(TlsCall(path=path, common_name="".join(names), form=form))
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: %b\r\nContent-Length: %d\r\n\r\n"
            % (b"keep-alive" if self.keeps else b"close", len(body))
        )
        writer.write(body)
        await writer.drain()

    def _answer(self, path: str) -> dict[str, object]:
        if not path.startswith("/.well-known/"):
            token = {"access_token": "at", "token_type": "Bearer", "expires_in": 60}
            return {**token, "sub": "alice", "request_uri": "urn:pushed"}  # each caller reads its own
        return {
            "issuer": self.url,
            **{f"{name}_endpoint": f"{self.url}/{name}" for name in ENDPOINTS},
            "mtls_endpoint_aliases": {
                name: alias.format(url=self.url) if isinstance(alias, str) else alias
                for name, alias in self.aliases.items()
            },
        }


@asynccontextmanager
async def tls_provider(authority: Authority) -> AsyncIterator[TlsProvider]:
    """Such a provider on a free loopback port, for as long as the block lasts."""
    context = authority.asking_server("127.0.0.1", asks=ssl.CERT_OPTIONAL)
    provider = TlsProvider(authority=authority)
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, ssl=context)
    provider.url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield provider
    finally:
        server.close()
        await server.wait_closed()
