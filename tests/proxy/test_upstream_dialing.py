"""Connecting to an upstream: all addresses of its name, moved names, Unix sockets, names and certificates in TLS."""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from bff.config.model import CertificateConfig, RouteConfig
from bff.config.values.urls import parse_upstream
from bff.errors import UpstreamError, UpstreamTimeout, UpstreamUnreachable
from bff.proxy.addresses import SHUNNED_SECONDS, Overtaken, SocketAddress
from bff.proxy.dialing import Dialer, TlsSettings
from support.forwarding import forwarding
from support.free_ports import free_port
from support.pool_usage import usage
from support.scripted_upstream import Conversation, ScriptedUpstream, echo, response, scripted_upstream
from support.tls_certificates import Authority
from support.upstream_pools import Clock, a_request, an_upstream_tls, fetch, pool_to
from support.waiting import until

V4, V6 = socket.AF_INET, socket.AF_INET6


@contextmanager
def black_hole(host: str = "127.0.0.2") -> Iterator[tuple[str, int]]:
    """An address that answers no connection: its queue is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind((host, 0))
        listener.listen(0)
        address: tuple[str, int] = listener.getsockname()
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(address)
        yield address


def naming(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> list[tuple[str, int]]:
    """Has every name stand for these addresses; the list may be changed."""
    named = list(addresses)

    async def getaddrinfo(*_: object, **__: object) -> list[Any]:
        return [(V4, socket.SOCK_STREAM, 6, "", address) for address in named]

    monkeypatch.setattr(Dialer, "_resolve", staticmethod(getaddrinfo))
    return named


# --- all addresses of a name ------------------------------------------------------------------------------------------


def at(host: str) -> SocketAddress:
    """An address of this host."""
    return SocketAddress(V6 if ":" in host else V4, (host, 80))


@pytest.mark.requirement("R-365")
def test_families_take_turns() -> None:
    """IPv6 and IPv4 alternate, beginning with the resolver's first; an address is tried once."""
    given = [at("::1"), at("::2"), at("::1"), at("::3"), at("10.0.0.1"), at("10.0.0.2")]
    ordered = Overtaken().order(given, now=0.0)
    assert [address.address[0] for address in ordered] == ["::1", "10.0.0.1", "::2", "10.0.0.2", "::3"]


@pytest.mark.requirement("R-365")
def test_an_address_that_was_too_late_is_tried_last_for_a_while() -> None:
    """It costs one connection its delay, and not each; later it has its place again."""
    overtaken, given = Overtaken(), [at("10.0.0.1"), at("10.0.0.2")]
    overtaken.note([given[0]], now=100.0)
    assert overtaken.order(given, now=99.0 + SHUNNED_SECONDS) == [given[1], given[0]]
    assert overtaken.order(given, now=100.0 + SHUNNED_SECONDS) == given


@pytest.mark.requirement("R-365")
@pytest.mark.parametrize("first", ["refuses", "black hole"])
async def test_the_second_address_serves_where_the_first_does_not(monkeypatch: pytest.MonkeyPatch, first: str) -> None:
    """A first address that refuses or does not answer costs no request; the next connection begins with the other."""
    async with scripted_upstream(echo) as upstream:
        good = (upstream.host, upstream.port)
        with black_hole() as hole:
            naming(monkeypatch, hole if first == "black hole" else ("127.0.0.1", free_port()), good)
            async with pool_to("http://api.internal:8000") as pool:
                answers = await asyncio.gather(*(fetch(pool, a_request(target=b"/%d" % n)) for n in range(3)))
                assert [answer.content for answer in answers] == [b"/0|", b"/1|", b"/2|"]
                found = await pool._dialer._addresses()
                assert found[0].address == good


@pytest.mark.requirement("R-365")
async def test_no_address_that_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """All refuse: refused. One refuses and one is a black hole: the connect time decides."""
    naming(monkeypatch, ("127.0.0.1", free_port()), ("127.0.0.3", free_port()))
    dialer = Dialer(parse_upstream("http://api.internal"))
    with pytest.raises(UpstreamUnreachable) as refused:
        await dialer.dial(asyncio.Protocol, seconds=20.0)
    assert refused.value.reason == "refused"
    with black_hole() as hole:
        naming(monkeypatch, ("127.0.0.1", free_port()), hole)
        with pytest.raises(UpstreamTimeout):
            await dialer.dial(asyncio.Protocol, seconds=0.4)


@pytest.mark.requirement("R-365")
async def test_connections_have_no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nagle's algorithm is off, as on any connection that the event loop itself makes."""
    async with scripted_upstream(echo) as upstream:
        naming(monkeypatch, (upstream.host, upstream.port))
        protocol = await Dialer(parse_upstream("http://api.internal")).dial(_Kept, seconds=20.0)
        plain = protocol.transport.get_extra_info("socket")
        assert plain.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        protocol.transport.close()


class _Kept(asyncio.Protocol):
    """Keeps its transport."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass


# --- a name that moves ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-365")
async def test_a_moved_name_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection to the old address serves until it is old, also if it is never idle for long; then the name is asked again."""
    clock = Clock()

    async def old(it: Conversation) -> None:
        while True:
            await it.request()
            await it.send(response(b"old"))

    async def new(it: Conversation) -> None:
        while True:
            await it.request()
            await it.send(response(b"new"))

    async with scripted_upstream(old) as before, scripted_upstream(new) as after:
        named = naming(monkeypatch, (before.host, before.port))
        async with pool_to("http://api.internal", max_age=10.0, clock=clock) as pool:
            assert (await fetch(pool, a_request())).content == b"old"
            named[:] = [(after.host, after.port)]
            await clock.later(4.0)
            assert (await fetch(pool, a_request())).content == b"old"
            await clock.later(6.0)
            await until(lambda: usage(pool).connections == 0)
            assert (await fetch(pool, a_request())).content == b"new"


@pytest.mark.requirement("R-365")
async def test_a_connection_that_grows_old_in_use_finishes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exchange under way is served to its end; the connection is closed then."""
    clock, may_answer = Clock(), asyncio.Event()

    async def slow(it: Conversation) -> None:
        await it.request()
        await may_answer.wait()
        await it.send(response(b"whole"))
        await it.gone()

    async with scripted_upstream(slow) as upstream, pool_to(upstream, max_age=10.0, clock=clock) as pool:
        call = asyncio.ensure_future(fetch(pool, a_request()))
        await until(lambda: upstream.open == 1)
        await clock.later(10.0)
        may_answer.set()
        assert (await call).content == b"whole"
        await until(lambda: usage(pool).connections == 0)


# --- Unix sockets -----------------------------------------------------------------------------------------------------


@asynccontextmanager
async def at_socket(path: Path, script: Callable[[Conversation], Awaitable[None]]) -> AsyncIterator[ScriptedUpstream]:
    """An upstream at a Unix socket."""
    upstream = ScriptedUpstream((script,))
    server = await asyncio.start_unix_server(upstream.accept, path)
    try:
        yield upstream
    finally:
        server.close()
        await upstream.stop()


async def test_a_unix_socket_is_an_upstream(tmp_path: Path) -> None:
    """Paths are forwarded as they follow the route; `Host` is localhost, or the public one; its redirects become public."""
    hosts = []

    async def api(it: Conversation) -> None:
        while True:
            seen = await it.request()
            hosts.append(seen.values(b"host"))
            await it.send(response(seen.target, "Location: http://localhost/items/", status="307 Temporary Redirect"))

    url = f"http+unix://{tmp_path}/api.sock"
    async with (
        at_socket(tmp_path / "api.sock", api),
        forwarding(
            RouteConfig(path="/api", upstream=url), RouteConfig(path="/b", upstream=url, pass_host=True)
        ) as room,
    ):
        browser = await room.fetch("/api/items")
        assert browser.content == b"/items"
        assert (b"location", b"/api/items/") in [
            (n, v.removeprefix(b"https://app.example.com")) for n, v in browser.fields
        ]
        await room.fetch("/b/items")
    assert hosts == [[b"localhost"], [b"app.example.com"]]


async def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    """A file that is missing, as one that a server has left behind, refuses: nothing listens there."""
    for name, reason in (("missing.sock", "refused"), ("left.sock", "refused")):
        if name == "left.sock":
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(str(tmp_path / name))
        with pytest.raises(UpstreamError) as error:
            await Dialer(parse_upstream(f"http+unix://{tmp_path}/{name}")).dial(asyncio.Protocol, seconds=20.0)
        assert error.value.reason == reason


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-264")
@pytest.mark.parametrize(("name", "reached"), [("api.internal", True), ("other.internal", False), (None, False)])
async def test_server_name_is_what_the_certificate_must_hold(tmp_path: Path, name: str | None, reached: bool) -> None:
    """The upstream is reached at an address and proves a name; without `server_name` it must prove the address."""
    authority = Authority(tmp_path)
    async with scripted_upstream(echo, tls=authority.server("api.internal")) as upstream:
        route = RouteConfig(path="/api", upstream=upstream.url, ca_file=authority.file, server_name=name)
        async with forwarding(route) as room:
            if reached:
                assert (await room.fetch("/api/x")).content == b"/x|"
            else:
                with pytest.raises(UpstreamUnreachable):
                    await room.fetch("/api/x")


def _asking(authority: Authority) -> ssl.SSLContext:
    context = authority.server("127.0.0.1")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    return context


async def _says_who_comes(it: Conversation) -> None:
    while True:
        await it.request()
        certificate = it.writer.get_extra_info("peercert")
        await it.send(response(str(certificate["serialNumber"]).encode()))


async def test_a_client_certificate_is_shown_and_read_again(tmp_path: Path) -> None:
    """A new connection shows the new certificate; a half replaced pair leaves the old one in use and is told of."""
    authority = Authority(tmp_path)
    first, second = authority.server_file("client"), authority.server_file("client")
    pair = CertificateConfig(certificate=tmp_path / "client.pem", key=tmp_path / "client.key")
    for file in (pair.certificate, pair.key):
        file.write_bytes(first.read_bytes())
    async with scripted_upstream(_says_who_comes, tls=_asking(authority)) as upstream:
        route = RouteConfig(path="/api", upstream=upstream.url, ca_file=authority.file, client_certificate=pair)
        async with forwarding(route) as room:

            async def shown() -> str:
                for pool in room.pools:
                    for connection in tuple(pool._idle):
                        connection.close()
                return (await room.fetch("/api/x")).content.decode().lower().lstrip("0")

            assert await shown() == first.stem
            _replace(pair.certificate, second.read_bytes())
            assert await shown() == first.stem
            assert await shown() == first.stem
            ((file, reason),) = room.watching.unusable
            assert (file, "KEY_VALUES_MISMATCH" in reason.upper()) == (str(pair.certificate), True)
            _replace(pair.key, second.read_bytes())
            assert await shown() == second.stem


@pytest.mark.requirement("R-264")
async def test_a_ca_file_is_read_again(tmp_path: Path) -> None:
    """A new connection trusts what the file holds now and nothing else; a file that cannot be used leaves what it said before."""
    former, new = Authority(tmp_path, "former"), Authority(tmp_path, "new")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(former.file.read_bytes())
    context = former.server("127.0.0.1")
    async with scripted_upstream(echo, tls=context) as upstream:
        route = RouteConfig(path="/api", upstream=upstream.url, ca_file=trusted)
        async with forwarding(route) as room:

            async def call() -> None:
                for pool in room.pools:
                    for connection in tuple(pool._idle):
                        connection.close()
                await room.fetch("/api/x")

            await call()
            _replace(trusted, b"half a certificate")
            await call()
            ((file, _),) = room.watching.unusable
            assert file == str(trusted)
            trusted.unlink()
            os.mkfifo(trusted)
            for _ in range(2):
                await call()
            assert room.watching.unusable[1:] == [(str(trusted), "no regular file")]
            _replace(trusted, new.file.read_bytes())
            with pytest.raises(UpstreamUnreachable):
                await call()
            context.load_cert_chain(new.server_file("127.0.0.1"))
            await call()


def _replace(file: Path, content: bytes) -> None:
    new = file.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, file)


async def test_a_route_without_a_client_certificate_has_connections_of_its_own(tmp_path: Path) -> None:
    """What one route proves is not proved for another."""
    authority = Authority(tmp_path)
    file = authority.server_file("client")
    async with scripted_upstream(echo, tls=_asking(authority)) as upstream:
        common = {"upstream": upstream.url, "ca_file": authority.file}
        shown = CertificateConfig(certificate=file, key=file)
        async with forwarding(
            RouteConfig(path="/a", client_certificate=shown, **common), RouteConfig(path="/b", **common)
        ) as room:
            assert (await room.fetch("/a")).content == b"/|"
            with pytest.raises(UpstreamError):
                await room.fetch("/b")


async def test_https_is_never_in_the_clear() -> None:
    """A dialer without TLS settings takes no https upstream."""
    with pytest.raises(ValueError, match="in the clear"):
        Dialer(parse_upstream("https://api.internal"))
    assert an_upstream_tls(TlsSettings(server_name="a")).server_name == "a"
