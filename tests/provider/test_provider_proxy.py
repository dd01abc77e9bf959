"""An outbound proxy towards one provider: a real one, which opens tunnels."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bff.errors import ProviderUnavailable
from bff.provider.client import Provider
from support.fake_internet import SECRET, FakeClock, provider_config
from support.provider_pair import exchange
from support.tls_certificates import Authority

TOKENS = b'{"access_token": "a", "token_type": "Bearer"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(TOKENS) + TOKENS


@dataclass(slots=True, kw_only=True)
class TunnelProxy:
    """A proxy that opens tunnels to one server, whatever name it is asked for, and remembers what it saw of each."""

    server_port: int
    refuses: bool = False
    asked: list[bytes] = field(default_factory=list)
    carried: bytearray = field(default_factory=bytearray)
    open: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client."""
        self.open += 1
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        if self.refuses:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
        else:
            there, back = await asyncio.open_connection("127.0.0.1", self.server_port)
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            await asyncio.gather(self._carry(reader, back), self._carry(there, writer))
            await _closed(back)
        await _closed(writer)
        self.open -= 1
        self.idle.set()

    async def ended(self) -> None:
        """Wait until no connection is open."""
        while self.open:
            self.idle.clear()
            await self.idle.wait()

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                self.carried += data
                sink.write(data)
            sink.close()


async def token_endpoint(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads one request, and gives a token."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    writer.write(ANSWER)
    await _closed(writer)


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@asynccontextmanager
async def behind_a_proxy(
    context: ssl.SSLContext, *, refuses: bool = False, **config: Any
) -> AsyncIterator[tuple[Provider, TunnelProxy]]:
    """A provider that nothing but the proxy can find: its name does not resolve."""
    server = await asyncio.start_server(token_endpoint, "127.0.0.1", 0, ssl=context)
    proxy = TunnelProxy(server_port=server.sockets[0].getsockname()[1], refuses=refuses)
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    settings = provider_config(
        "https://login.invalid", discovery="off", token_endpoint="https://login.invalid/token", proxy=url, **config
    )
    ours = Provider(name="corp", config=settings, redirect_uri="http://localhost/cb", clock=FakeClock())
    try:
        yield ours, proxy
    finally:
        await ours.close()
        await proxy.ended()
        for each in (listening, server):
            each.close()


@pytest.mark.requirement("R-334")
async def test_calls_go_through_a_tunnel(tmp_path: Path) -> None:
    """The proxy is asked for a tunnel to the provider's name and port, and sees nothing of what goes through it."""
    authority = Authority(tmp_path)
    async with behind_a_proxy(authority.server("login.invalid"), ca_file=authority.file) as (ours, proxy):
        assert (await exchange(ours)).access_token == "a"
        (asked,) = proxy.asked
        assert asked.startswith(b"CONNECT login.invalid:443 HTTP/1.1\r\n")
        assert b"authorization" not in asked.lower()
        assert proxy.carried
        assert SECRET.encode() not in proxy.carried


@pytest.mark.requirement("R-334", "R-076")
async def test_the_provider_behind_the_tunnel_is_still_verified(tmp_path: Path) -> None:
    """A proxy that answers in the provider's place, with another certificate, gets not a byte of the request."""
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    async with behind_a_proxy(other.server("login.invalid"), ca_file=authority.file) as (ours, _):
        with pytest.raises(ProviderUnavailable):
            await exchange(ours)


@pytest.mark.requirement("R-334")
async def test_a_proxy_that_refuses_is_an_outage(tmp_path: Path) -> None:
    """A tunnel that is not opened makes the provider unavailable, and nothing is sent around the proxy."""
    authority = Authority(tmp_path)
    context = authority.server("login.invalid")
    async with behind_a_proxy(context, refuses=True, ca_file=authority.file) as (ours, proxy):
        with pytest.raises(ProviderUnavailable):
            await exchange(ours)
        assert len(proxy.asked) == 1
        assert not proxy.carried


@pytest.mark.requirement("R-334")
async def test_variables_of_the_environment_choose_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`HTTPS_PROXY` redirects no secret: only the provider's own `proxy` counts."""
    authority = Authority(tmp_path)
    async with behind_a_proxy(authority.server("login.invalid"), ca_file=authority.file) as (ours, proxy):
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert (await exchange(ours)).access_token == "a"
        assert len(proxy.asked) == 1
