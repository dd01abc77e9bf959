"""An outbound proxy towards one provider: a real one, which opens tunnels."""

import asyncio
import base64
import contextlib
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bff.config.values.secrets import FileSecret, LiteralSecret
from bff.errors import ProviderMisbehaved, ProviderUnavailable
from bff.provider.client import Provider
from bff.provider.http import MAX_CONNECTIONS
from bff.secret_uses import SecretUses, digest
from support.fake_internet import SECRET, FakeClock, provider_config
from support.patient_loop import hastened
from support.provider_pair import exchange
from support.tls_certificates import Authority

TOKENS = b'{"access_token": "a", "token_type": "Bearer"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(TOKENS) + TOKENS


@dataclass(slots=True, kw_only=True)
class TunnelProxy:
    """A proxy that opens tunnels to one server, whatever name it is asked for, and remembers what it saw of each."""

    server_port: int
    answers: bytes | None = None  # to CONNECT, instead of a tunnel; empty: it hangs up
    hangs: bool = False  # until the client has gone
    asked: list[bytes] = field(default_factory=list)
    carried: bytearray = field(default_factory=bytearray)
    open: int = 0
    idle: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of a client."""
        self.open += 1
        self.asked.append(await reader.readuntil(b"\r\n\r\n"))
        if self.hangs:
            await reader.read()
        elif self.answers is not None:
            writer.write(self.answers)
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
    context: ssl.SSLContext,
    *,
    server: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] = token_endpoint,
    answers: bytes | None = None,
    hangs: bool = False,
    uses: SecretUses | None = None,
    **config: Any,
) -> AsyncIterator[tuple[Provider, TunnelProxy]]:
    """A provider that nothing but the proxy can find: its name does not resolve."""
    provider = await asyncio.start_server(server, "127.0.0.1", 0, ssl=context)
    proxy = TunnelProxy(server_port=provider.sockets[0].getsockname()[1], answers=answers, hangs=hangs)
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    settings = provider_config(
        "https://login.invalid", discovery="off", token_endpoint="https://login.invalid/token", proxy=url, **config
    )
    ours = Provider(name="corp", config=settings, redirect_uri="http://localhost/cb", clock=FakeClock(), uses=uses)
    try:
        yield ours, proxy
    finally:
        await ours.close()
        await proxy.ended()
        for each in (listening, provider):
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


HTML = b"<html>The company's proxy is sorry.</html>"
NO_TUNNEL = {
    b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic\r\ncontent-length: 0\r\n\r\n": "proxy_407",
    b"HTTP/1.1 403 Forbidden\r\ncontent-length: %d\r\n\r\n%b" % (len(HTML), HTML): "proxy_403",
    b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\n\r\n" + HTML: "proxy_502",
    b"HTTP/1.1 302 Found\r\nlocation: http://login.company.example/\r\ncontent-length: 0\r\n\r\n": "proxy_302",
    b"HTTP/1.1 200": "not_connected",
    b"SSH-2.0-OpenSSH_9.6\r\n": "not_connected",
    b"": "not_connected",
}


@pytest.mark.requirement("R-334", "R-342")
@pytest.mark.parametrize(
    ("answers", "reason"), NO_TUNNEL.items(), ids=[f"{n} {r}" for n, r in enumerate(NO_TUNNEL.values())]
)
async def test_a_proxy_that_refuses_is_an_outage(tmp_path: Path, answers: bytes, reason: str) -> None:
    """A tunnel that is not opened makes the provider unavailable; nothing went around the proxy, and no refresh token is spent."""
    authority = Authority(tmp_path)
    context = authority.server("login.invalid")
    async with behind_a_proxy(context, answers=answers, ca_file=authority.file) as (ours, proxy):
        with pytest.raises(ProviderUnavailable) as unavailable:
            await exchange(ours)
        assert (unavailable.value.reason, unavailable.value.unanswered) == (reason, False)
        assert len(proxy.asked) == 1
        assert not proxy.carried


@asynccontextmanager
async def plain_server(answer: bytes) -> AsyncIterator[str]:
    """A server or proxy of plain http that answers everything alike; gives its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await _closed(writer)

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def proxied(issuer: str, *, uses: SecretUses | None = None, **settings: Any) -> Provider:
    """The provider with this issuer, and these settings of its section."""
    config = provider_config(issuer, **settings)
    return Provider(name="corp", config=config, redirect_uri="https://app/cb", clock=lambda: 1.8e9, uses=uses)


NEEDS_PASSWORD = next(answer for answer, reason in NO_TUNNEL.items() if reason == "proxy_407")


@pytest.mark.requirement("R-334", "R-342")
async def test_a_proxy_that_wants_a_password_for_a_plain_http_call_is_named() -> None:
    """A proxy answers 407 in the provider's place, which got nothing: an outage of the proxy's, and no password was taken."""
    uses = SecretUses(clock=FakeClock())
    async with plain_server(NEEDS_PASSWORD) as proxy:
        settings = {"proxy": proxy, "proxy_credentials": LiteralSecret(value="bff:wrong")}
        ours = proxied("http://login.invalid", insecure_http=True, uses=uses, **settings)
        with pytest.raises(ProviderUnavailable) as unavailable:
            await ours.metadata()
        await ours.close()
    assert (unavailable.value.reason, unavailable.value.unanswered) == ("proxy_407", False)
    assert not [*uses.all()]


@pytest.mark.requirement("R-334")
async def test_a_407_of_the_provider_itself_is_its_own() -> None:
    """Without a proxy of ours the status is one that the provider should not send."""
    async with plain_server(NEEDS_PASSWORD) as url:
        ours = proxied(url)
        with pytest.raises(ProviderMisbehaved) as misbehaved:
            await ours.metadata()
        await ours.close()
    assert misbehaved.value.reason == "status"


@pytest.mark.requirement("R-334", "R-342")
async def test_a_proxy_that_does_not_answer_is_not_waited_for_as_a_provider_is(tmp_path: Path) -> None:
    """A refresh is heard out for `call_limit` once it is sent. Until a tunnel is open nothing is sent: `timeout` bounds the wait."""
    authority = Authority(tmp_path)
    context = authority.server("login.invalid")
    async with behind_a_proxy(context, hangs=True, ca_file=authority.file, timeout=10, call_limit=600) as (ours, proxy):
        began = asyncio.get_running_loop().time()
        with pytest.raises(ProviderUnavailable) as unavailable:
            await hastened(ours.refresh("a refresh token", scope=None, resource=None, audience=None))
        assert asyncio.get_running_loop().time() - began < 600
        assert (unavailable.value.reason, unavailable.value.unanswered) == ("not_connected", False)
        assert len(proxy.asked) == 1


CREDENTIALS = ["bff:secret", "bff:with:colons:and@%40/?#", "DOMAIN\\bff: spaces ", "bff:", "jürgen:pässwörd"]


@pytest.mark.requirement("R-334", "R-172")
@pytest.mark.parametrize("credentials", CREDENTIALS)
async def test_the_proxy_alone_sees_its_password(tmp_path: Path, credentials: str) -> None:
    """User and password go out as they are written, with CONNECT; the provider gets no such field, and no log has them."""
    authority, got = Authority(tmp_path), bytearray()

    async def noting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.extend(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ANSWER)
        await _closed(writer)

    context = authority.server("login.invalid")
    with capture_logs() as logs:
        async with behind_a_proxy(
            context, server=noting, ca_file=authority.file, proxy_credentials=LiteralSecret(value=credentials)
        ) as (ours, proxy):
            await exchange(ours)
            (asked,) = proxy.asked
    sent = re.search(rb"(?i)proxy-authorization: Basic (\S+)\r\n", asked)
    assert sent is not None
    assert base64.b64decode(sent[1]).decode() == credentials
    assert b"proxy-authorization" not in got.lower()
    assert credentials not in str(logs)


@pytest.mark.requirement("R-334", "R-170")
async def test_a_new_password_for_the_proxy_is_used_by_the_next_call(tmp_path: Path) -> None:
    """The file is read again; a tunnel that the former password opened gets no further call. A file that vanishes changes nothing."""
    authority, file = Authority(tmp_path), tmp_path / "proxy"
    file.write_text("bff:first\n")
    uses = SecretUses(clock=FakeClock())

    async def keeping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.lower().split(b"\r\n")
                await reader.readexactly(next(int(line[15:]) for line in lines if line.startswith(b"content-length:")))
                writer.write(ANSWER)
        await _closed(writer)

    context = authority.server("login.invalid")
    async with behind_a_proxy(
        context, server=keeping, uses=uses, ca_file=authority.file, proxy_credentials=FileSecret(path=file)
    ) as (ours, proxy):
        await exchange(ours)
        await exchange(ours)
        assert ("proxy_credentials", digest("bff:first")) in {(use.position, use.digest) for use in uses.all()}
        file.write_text("bff:second\n")
        await exchange(ours)
        file.unlink()
        await exchange(ours)
        assert digest("bff:second") in {use.digest for use in uses.all()}
        first, second = (base64.b64encode(text) for text in (b"bff:first", b"bff:second"))
        assert [first in asked for asked in proxy.asked] == [True, False]
        assert second in proxy.asked[1]


@pytest.mark.requirement("R-342")
async def test_what_went_through_a_tunnel_may_be_spent(tmp_path: Path) -> None:
    """Once the request is in the tunnel, a connection that breaks leaves open what became of the refresh token."""
    authority = Authority(tmp_path)

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await _closed(writer)

    context = authority.server("login.invalid")
    async with behind_a_proxy(context, server=hang_up, ca_file=authority.file) as (ours, _):
        with pytest.raises(ProviderUnavailable) as unavailable:
            await ours.refresh("a refresh token", scope=None, resource=None, audience=None)
        assert (unavailable.value.reason, unavailable.value.unanswered) == ("cut_off", True)


@pytest.mark.requirement("R-334", "R-279")
async def test_tunnels_in_which_tls_fails_take_no_places(tmp_path: Path) -> None:
    """A certificate that is wrong for a while fails each call; no connection is left open, and with a right one calls succeed."""
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    context = other.server("login.invalid")
    async with behind_a_proxy(context, ca_file=authority.file, timeout=20) as (ours, proxy):
        for _ in range(MAX_CONNECTIONS + 1):
            with pytest.raises(ProviderUnavailable) as unavailable:
                await exchange(ours)
            assert unavailable.value.reason == "not_connected"
        await proxy.ended()
        context.load_cert_chain(authority.server_file("login.invalid"))
        assert (await exchange(ours)).access_token == "a"


@pytest.mark.requirement("R-334")
async def test_variables_of_the_environment_choose_no_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`HTTPS_PROXY` redirects no secret: only the provider's own `proxy` counts."""
    authority = Authority(tmp_path)
    async with behind_a_proxy(authority.server("login.invalid"), ca_file=authority.file) as (ours, proxy):
        for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert (await exchange(ours)).access_token == "a"
        assert len(proxy.asked) == 1
