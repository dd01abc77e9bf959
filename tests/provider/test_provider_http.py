"""HTTP to a provider: sizes, stalls, cut connections, codings, redirects, cookies, TLS. Only our own errors come out."""

import asyncio
import contextlib
import datetime
import gzip
import ipaddress
import os
import ssl
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from structlog.testing import capture_logs

from bff.errors import ProviderError, ProviderMisbehaved, ProviderUnavailable
from bff.provider.client import Provider
from bff.provider.http import MAX_RESPONSE_BYTES
from support.fake_internet import FakeClock, FakeInternet, provider_config
from support.fake_provider import Answer, fake_provider, having, redirect, shop
from support.patient_loop import hastened
from support.provider_pair import DISCOVERY, Pair, exchange, pair


@asynccontextmanager
async def real_pair(**config: Any) -> AsyncIterator[Pair]:
    """The same over a real loopback connection."""
    async with fake_provider() as fake:
        clock = FakeClock()
        ours = Provider(
            name="corp",
            config=provider_config(fake.issuer, **config),
            redirect_uri=shop().redirect_uris[0],
            clock=clock,
        )
        try:
            yield Pair(clock=clock, internet=FakeInternet(), fake=fake, ours=ours)
        finally:
            fake.behave()
            await ours.close()


@pytest.mark.requirement("R-085")
@pytest.mark.parametrize("path", ["/token", "/jwks", "/userinfo", DISCOVERY])
async def test_huge_answers_are_given_up(path: str) -> None:
    """A gigabyte is not read: the answer is refused as soon as it is larger than any honest one."""
    async with real_pair() as world:
        if path != DISCOVERY:
            await world.ours.metadata()
        world.fake.misbehave(answers={path: Answer(body=b" " * 65536, repeat_body=16384)})
        calls: dict[str, Any] = {
            "/token": world.exchange,
            "/jwks": world.ours.keys,
            "/userinfo": lambda: world.ours.identity.userinfo("t", subject="alice"),
            DISCOVERY: world.ours.metadata,
        }
        with pytest.raises(ProviderMisbehaved) as told:
            await calls[path]()
        assert told.value.reason == "too_large"


@pytest.mark.requirement("R-085")
async def test_large_but_honest_answer_is_read() -> None:
    """Up to the limit nothing is refused for its size."""
    async with real_pair() as world:
        world.fake.misbehave(token_answer=having(padding="x" * (MAX_RESPONSE_BYTES - 8192)))
        assert await world.ours.client_credentials(scope=None, resource=None, audience=None)


@pytest.mark.requirement("R-085", "R-279")
@pytest.mark.parametrize("path", ["/token", DISCOVERY])
async def test_slow_answers_are_given_up(path: str) -> None:
    """A provider that stalls is given up after `timeout`."""
    async with real_pair() as world:
        if path != DISCOVERY:
            await world.ours.metadata()
        world.fake.hold(path)
        with pytest.raises(ProviderUnavailable):
            await hastened(world.exchange())


@pytest.mark.requirement("R-085", "R-086")
async def test_truncated_token_answer_is_no_answer_and_the_code_is_spent_once() -> None:
    """A connection that is cut in mid-answer is an outage; the exchange is not sent again."""
    async with real_pair() as world:
        world.fake.misbehave(answers={"/token": Answer(body=b'{"access_token": "a", ', truncated=True)})
        with pytest.raises(ProviderUnavailable):
            await world.exchange()
        assert len(world.fake.calls_to("/token")) == 1


@asynccontextmanager
async def raw_server(answer: Callable[[bytes], bytes | None], **tls: Any) -> AsyncIterator[tuple[int, list[bytes]]]:
    """A server of bytes: gets a request's head and content, says what it is told to, hangs up. Yields its port and what it got."""
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
        )
        got.append(head + await reader.readexactly(length))
        if (said := answer(head)) is not None:
            writer.write(said)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, **tls)
    try:
        yield server.sockets[0].getsockname()[1], got
    finally:
        server.close()
        await server.wait_closed()


def without_discovery(port: int, *, scheme: str = "http", host: str = "127.0.0.1", **config: Any) -> Provider:
    """Our side of a raw server."""
    origin = f"{scheme}://{host}:{port}"
    settings = provider_config(origin, discovery="off", token_endpoint=f"{origin}/token", **config)
    return Provider(name="corp", config=settings, redirect_uri="http://localhost/cb", clock=FakeClock())


@pytest.mark.requirement("R-086")
async def test_connection_that_drops_after_the_code_exchange_is_one_call() -> None:
    """A provider that hangs up after the request got exactly one: a code is never sent twice (RFC 9110 section 9.2.2)."""
    async with raw_server(lambda _: None) as (port, got):
        ours = without_discovery(port)
        with pytest.raises(ProviderUnavailable):
            await exchange(ours)
        await ours.close()
    assert len(got) == 1


@pytest.mark.requirement("R-085", "R-116")
@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip"])
async def test_no_decompression_bombs(coding: str) -> None:
    """We ask for no coding, and an answer in one is refused before it is unpacked."""
    bomb = gzip.compress(b" " * 50_000_000) if "gzip" in coding else zlib.compress(b" " * 50_000_000)
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-encoding: {coding}\r\n"
    said = f"{head}content-length: {len(bomb)}\r\n\r\n".encode() + bomb
    async with raw_server(lambda _: said) as (port, got):
        ours = without_discovery(port)
        with pytest.raises(ProviderMisbehaved) as told:
            await exchange(ours)
        await ours.close()
    assert told.value.reason == "encoding"
    assert b"accept-encoding: identity\r\n" in got[0].lower()


@pytest.mark.requirement("R-085")
@pytest.mark.parametrize("coding", ["identity", "Identity", "IDENTITY ", ""])
async def test_a_plain_answer_may_say_that_it_is_plain(coding: str) -> None:
    """Content codings are case-insensitive (RFC 9110 section 8.4.1), and `identity` is none; nor is an empty field."""
    body = b'{"access_token": "x", "token_type": "Bearer", "id_token": "x"}'
    said = f"HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body
    async with raw_server(lambda _: said) as (port, _):
        ours = without_discovery(port)
        assert (await exchange(ours)).access_token == "x"
        await ours.close()


async def test_environment_of_the_process_redirects_no_secret(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither a proxy nor a netrc file that happens to be named in the environment gets between us and a provider."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login canary password canary\n")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "")
    async with real_pair() as world:
        assert (await world.ours.client_credentials(scope=None, resource=None, audience=None)).access_token


@pytest.mark.requirement("R-085")
@pytest.mark.parametrize(
    "url", ["https://[v1.x]/token", "https://a..b/token", f"https://{'a' * 70}.example/token", "https://%zz/token"]
)
async def test_endpoint_that_cannot_be_asked_is_an_outage(url: str) -> None:
    """A provider that publishes an address which is none raises nothing but our own errors."""
    async with real_pair() as world:
        world.fake.misbehave(metadata=having(token_endpoint=url))
        with pytest.raises(ProviderError):
            await world.exchange()


@pytest.mark.requirement("R-085")
@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: nine\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"hello\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200_000,
    ],
    ids=["nothing", "bad length", "bad chunk", "no http", "endless head"],
)
async def test_broken_http_is_an_outage(said: bytes) -> None:
    """A provider that breaks HTTP raises nothing but our own errors."""
    async with raw_server(lambda _: said) as (port, _):
        ours = without_discovery(port)
        with pytest.raises(ProviderError):
            await exchange(ours)
        await ours.close()


def all_calls(ours: Provider) -> dict[str, Callable[[], Awaitable[object]]]:
    """Every kind of call to a provider."""
    return {
        "keys": ours.keys,
        "code": lambda: exchange(ours),
        "refresh": lambda: ours.refresh("rt", scope=None, resource=None, audience=None),
        "client credentials": lambda: ours.client_credentials(scope=None, resource=None, audience=None),
        "userinfo": lambda: ours.identity.userinfo("at", subject="alice"),
        "pushed request": lambda: ours.authorization_url((("client_id", "shop"),)),
        "revocation": lambda: ours.revoke("rt", token_type_hint="refresh_token"),
    }


CALLS = ("keys", "code", "refresh", "client credentials", "userinfo", "pushed request", "revocation")
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
WITHOUT_END: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b"", b""),
    "half a head": (HEAD, b""),
    "interim answers": (b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"),
    "less content than announced": (HEAD + b"content-length: 900\r\n\r\n{}", b""),
    "a length beyond all bounds": (HEAD + b"content-length: 99999999999999999999\r\n\r\n{}", b""),
    "a chunk that does not come": (HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", b""),
    "content until the connection closes": (HEAD + b"\r\n{}", b""),
}


@pytest.mark.requirement("R-085", "R-279", "R-342")
@pytest.mark.parametrize(
    ("call", "case"),
    [
        *[("refresh", case) for case in WITHOUT_END],
        *[(call, "interim answers") for call in CALLS if call != "refresh"],
    ],
)
async def test_an_answer_without_end_is_given_up(call: str, case: str) -> None:
    """Whatever trickles in, each call has one limit for all of its answer; what was sent may be spent."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ended.clear()
        await reader.readuntil(b"\r\n\r\n")
        writer.write(first)
        with contextlib.suppress(OSError):
            while then and not reader.at_eof():
                writer.write(then)
                await writer.drain()
                await asyncio.sleep(0)  # the other side reads on this loop as well
            await reader.read()
            writer.close()
            await writer.wait_closed()
        ended.set()

    (first, then), ended = WITHOUT_END[case], asyncio.Event()
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        endpoints = {
            name: f"{origin}/{name}"
            for name in ("authorization_endpoint", "jwks_uri", "userinfo_endpoint", "revocation_endpoint")
        }
        ours = without_discovery(
            server.sockets[0].getsockname()[1],
            timeout=1.0,
            call_limit=1.0,
            par="required",
            pushed_authorization_request_endpoint=f"{origin}/par",
            **endpoints,
        )
        async with asyncio.timeout(60):
            with pytest.raises(ProviderUnavailable) as unavailable:
                await all_calls(ours)[call]()
            await ours.close()
            await ended.wait()
    assert (unavailable.value.reason, unavailable.value.unanswered) == ("timeout", True)


@pytest.mark.requirement("R-279", "R-342")
@pytest.mark.parametrize("seconds", [0.2, 0.5])
async def test_a_tls_handshake_that_hangs_leaves_no_connection_open(seconds: float, tmp_path: Path) -> None:
    """The call ends without anything spent, and the server sees the end of its connection."""
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read()  # all of it: to the end of the connection
            writer.close()
            await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server, asyncio.timeout(60):
        port, file = server.sockets[0].getsockname()[1], certificate(tmp_path)
        ours = without_discovery(port, scheme="https", ca_file=file, timeout=seconds)
        with pytest.raises(ProviderUnavailable) as unavailable:
            await exchange(ours)
        await ended.wait()
        await ours.close()
    assert (unavailable.value.reason, unavailable.value.unanswered) == ("not_connected", False)


@pytest.mark.requirement("R-077")
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["/token", "/revoke", "/jwks", "/userinfo", DISCOVERY])
async def test_redirects_are_not_followed(status: int, path: str) -> None:
    """A redirect of any back-channel call is an error, and nothing is sent to where it leads."""
    async with pair() as world:
        if path != DISCOVERY:
            await world.ours.metadata()
        world.fake.misbehave(answers={path: redirect("http://127.0.0.1:7009/evil", status=status)})
        calls: dict[str, Any] = {
            "/token": world.exchange,
            "/revoke": lambda: world.ours.revoke("t", token_type_hint="refresh_token"),
            "/jwks": world.ours.keys,
            "/userinfo": lambda: world.ours.identity.userinfo("t", subject="alice"),
            DISCOVERY: world.ours.metadata,
        }
        with pytest.raises(ProviderMisbehaved):
            await calls[path]()
        assert {request.url.port for request in world.internet.requests} == {7001}
        assert len(world.fake.calls_to(path)) == 1


async def test_no_cookie_of_a_provider_is_kept() -> None:
    """Whatever a provider sets, our next call carries no cookie: users' calls share the connection pool."""
    async with pair() as world:
        cookies = (("set-cookie", "session=canary; Path=/"), ("set-cookie2", "x=y"))
        world.fake.answer_next("/token", Answer(status=500, fields=cookies), Answer(status=400, fields=cookies))
        for _ in range(3):
            with pytest.raises(ProviderError):
                await world.exchange()
        assert len(world.token_calls()) == 3
        assert not any("cookie" in request.headers for request in world.internet.requests)


# --- TLS --------------------------------------------------------------------------------------------------------------

TOKENS = b'{"access_token": "a", "token_type": "Bearer"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(TOKENS) + TOKENS


def certificate(folder: Path, *, address: str = "127.0.0.1", days: int = 1) -> Path:
    """A self-signed certificate for an address, with its key, as one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file = folder / f"{address}-{days}.pem"
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return file


def tls_context(file: Path) -> ssl.SSLContext:
    """A server's side of TLS."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(file)
    return context


async def talk(context: ssl.SSLContext, ca_file: Path | None) -> list[bytes]:
    """What a server with this context gets of our token request."""
    async with raw_server(lambda _: ANSWER, ssl=context) as (port, got):
        ours = without_discovery(port, scheme="https", ca_file=ca_file)
        try:
            await exchange(ours)
        finally:
            await ours.close()
    return got


@pytest.mark.requirement("R-076")
async def test_certificate_of_a_configured_authority_is_trusted(tmp_path: Path) -> None:
    """With `ca_file` a provider whose certificate it holds is talked to."""
    file = certificate(tmp_path)
    assert len(await talk(tls_context(file), file)) == 1


@pytest.mark.requirement("R-076")
async def test_ca_file_is_read_again(tmp_path: Path) -> None:
    """A call trusts what the file holds now and nothing else; one that cannot be used leaves what it said before, and is an event."""
    first, second = certificate(tmp_path), certificate(tmp_path, days=2)
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(first.read_bytes())
    last = ANSWER.replace(b"\r\n", b"\r\nconnection: close\r\n", 1)
    async with raw_server(lambda _: last, ssl=tls_context(first)) as (port, _):
        ours = without_discovery(port, scheme="https", ca_file=trusted)
        try:
            await exchange(ours)
            with capture_logs() as logs:
                trusted.write_bytes(b"half of one")
                for _ in range(2):
                    await exchange(ours)
                trusted.unlink()
                os.mkfifo(trusted)
                await exchange(ours)
            assert [(entry["event"], entry["file"]) for entry in logs] == [("config.file_unusable", str(trusted))] * 2
            assert logs[1]["reason"] == "no regular file"
            trusted.unlink()
            trusted.write_bytes(second.read_bytes())
            with pytest.raises(ProviderUnavailable):
                await exchange(ours)
            trusted.write_bytes(first.read_bytes())
            await exchange(ours)
        finally:
            await ours.close()


@pytest.mark.requirement("R-076")
async def test_a_call_under_way_outlives_a_changed_ca_file(tmp_path: Path) -> None:
    """Its connection is closed when it is over, and not before."""
    file = certificate(tmp_path)
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(file.read_bytes())
    asked, may_answer = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if not asked.is_set():
            asked.set()
            await may_answer.wait()
        writer.write(ANSWER)
        await writer.drain()
        ended.append(await reader.read() is not None)
        writer.close()

    ended: list[bool] = []
    server = await asyncio.start_server(slow, "127.0.0.1", 0, ssl=tls_context(file))
    async with server:
        ours = without_discovery(server.sockets[0].getsockname()[1], scheme="https", ca_file=trusted)
        first = asyncio.create_task(exchange(ours))
        await asked.wait()
        trusted.write_bytes(file.read_bytes() + b"\n")
        await exchange(ours)
        may_answer.set()
        await first
        async with asyncio.timeout(10):
            while not ended:
                await asyncio.sleep(0.01)
        await ours.close()


@pytest.mark.requirement("R-076")
async def test_self_signed_certificate_is_refused(tmp_path: Path) -> None:
    """A certificate that no known authority signed: no connection, and not a byte of the request is sent."""
    with pytest.raises(ProviderUnavailable):
        await talk(tls_context(certificate(tmp_path)), None)


@pytest.mark.requirement("R-076")
@pytest.mark.parametrize(("address", "days"), [("127.0.0.2", 1), ("127.0.0.1", -1)], ids=["wrong name", "expired"])
async def test_wrong_or_expired_certificate_is_refused(address: str, days: int, tmp_path: Path) -> None:
    """A trusted certificate for another host, or past its end, is refused."""
    file = certificate(tmp_path, address=address, days=days)
    with pytest.raises(ProviderUnavailable):
        await talk(tls_context(file), file)


@pytest.mark.requirement("R-076")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Python warns of the very versions that this refuses
async def test_old_tls_is_refused(tmp_path: Path) -> None:
    """A server that speaks nothing newer than TLS 1.1 is not talked to."""
    file = certificate(tmp_path)
    context = tls_context(file)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ProviderUnavailable):
        await talk(context, file)
