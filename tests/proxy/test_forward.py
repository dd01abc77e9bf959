"""The forwarder in one piece, in process: rewriting, pools by what distinguishes them, TLS, and what a caller may do twice."""

import asyncio
import ipaddress
import ssl
from pathlib import Path

import pytest

from bff.config.model import RouteConfig, TimeoutConfig
from bff.errors import ContentTooLarge, MalformedRequest, UpstreamBroke, UpstreamUnreachable
from bff.proxy.forward import is_trusted
from support.asgi_browser import AsgiBrowser
from support.forwarding import Forwarding, a_config, forwarding
from support.scripted_upstream import Conversation, Received, answering, echo, response, scripted_upstream
from support.tls_certificates import Authority
from support.waiting import until


class Recorder:
    """A script that keeps what it receives, and answers with `wire`."""

    def __init__(self, wire: bytes = response(b"hello")) -> None:
        self.seen: list[Received] = []
        self._wire = wire

    async def __call__(self, it: Conversation) -> None:
        """The script."""
        while True:
            self.seen.append(await it.request())
            await it.send(self._wire)


# --- the rewrite, end to end ------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-150", "R-151", "R-233", "R-241")
async def test_the_upstream_sees_the_rewritten_request() -> None:
    """Path and query byte for byte below the route, unknown fields as they came, the bearer in Authorization and nowhere else."""
    recorder = Recorder()
    async with (
        scripted_upstream(recorder) as upstream,
        forwarding(RouteConfig(path="/api", upstream=f"{upstream.url}/v2")) as room,
    ):
        await room.fetch(
            "/api/a%20b;c=1//d",
            (b"authorization", b"Bearer browser"),
            (b"x-unknown", b"kept"),
            (b"cookie", b"theme=dark; __Host-Http-bff=secret"),
            query=b"q=%2F&r",
        )
    seen = recorder.seen[0]
    assert (seen.method, seen.target) == (b"GET", b"/v2/a%20b;c=1//d?q=%2F&r")
    assert seen.values(b"authorization") == [b"Bearer user-token"]
    assert seen.values(b"x-unknown") == [b"kept"]
    assert seen.values(b"cookie") == [b"theme=dark"]
    assert seen.values(b"host") == [f"127.0.0.1:{upstream.port}".encode()]


@pytest.mark.requirement("R-153")
async def test_redirects_are_passed_on() -> None:
    """A redirect is an answer like any other: nothing is sent to where it leads."""
    elsewhere = Recorder()
    async with scripted_upstream(elsewhere) as evil:
        redirect = answering(b"", f"Location: {evil.url}/steal", status="302 Found")
        async with (
            scripted_upstream(redirect) as upstream,
            forwarding(RouteConfig(path="/api", upstream=upstream.url)) as room,
        ):
            browser = await room.fetch()
        assert browser.status == 302
        assert (b"location", f"{evil.url}/steal".encode()) in browser.fields
        assert evil.conversations == []


@pytest.mark.requirement("R-252", "R-156", "R-157", "R-230")
async def test_the_browser_sees_the_rewritten_response() -> None:
    """Coding, validators and ranges untouched, hop-by-hop fields and our cookies gone, caching private by default."""
    wire = response(
        b"\x1f\x8b",
        "Content-Encoding: br",
        'ETag: W/"1"',
        "Content-Range: bytes 0-1/9",
        "Connection: X-Hop",
        "X-Hop: 1",
        "Set-Cookie: a=1",
        "Set-Cookie: __Host-Http-bff=stolen",
        status="206 Partial Content",
    )
    async with (
        scripted_upstream(Recorder(wire)) as upstream,
        forwarding(RouteConfig(path="/api", upstream=upstream.url)) as room,
    ):
        browser = await room.fetch()
    assert (browser.status, browser.content) == (206, b"\x1f\x8b")
    assert browser.fields == [
        (b"content-encoding", b"br"),
        (b"etag", b'W/"1"'),
        (b"content-range", b"bytes 0-1/9"),
        (b"set-cookie", b"a=1"),
        (b"content-length", b"2"),
        (b"cache-control", b"private, no-cache"),
    ]


@pytest.mark.requirement("R-247")
async def test_trailers_reach_nobody() -> None:
    """What comes after the content is not a field, whatever it is called."""
    wire = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nSet-Cookie: a=1\r\nX-User: root\r\n\r\n"
    )
    async with (
        scripted_upstream(Recorder(wire)) as upstream,
        forwarding(RouteConfig(path="/api", upstream=upstream.url)) as room,
    ):
        for _ in range(2):  # nor a field of the next response on the connection
            browser = await room.fetch(bearer=None)
            assert (browser.content, browser.fields) == (b"hi", [])


@pytest.mark.requirement("R-257")
async def test_only_trusted_peers_are_believed() -> None:
    """`trusted_proxies` decides by the peer's address whether the chain of earlier hops counts."""
    recorder = Recorder()
    networks = (ipaddress.ip_network("10.0.0.0/8"),)
    async with (
        scripted_upstream(recorder) as upstream,
        forwarding(RouteConfig(path="/api", upstream=upstream.url), trusted_proxies=networks) as room,
    ):
        for peer in ("10.1.2.3", "192.0.2.1"):
            await room.fetch("/api", (b"x-forwarded-for", b"203.0.113.9"), client=(peer, 1))
    assert [seen.values(b"x-forwarded-for") for seen in recorder.seen] == [
        [b"203.0.113.9, 10.1.2.3"],
        [b"192.0.2.1"],
    ]


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("::ffff:10.0.0.1", True),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("unix:/run/proxy.sock", False),
        ("", False),
    ],
)
def test_trust_goes_by_address(host: str, trusted: bool) -> None:
    """Addresses are compared as addresses, IPv4 in IPv6 too; what is none is not trusted."""
    networks = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("2001:db8::/32"))
    assert is_trusted(host, networks=networks) is trusted


@pytest.mark.requirement("R-263")
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "GET", "DELETE"])
async def test_content_that_ends_with_its_stream(method: str) -> None:
    """HTTP/2 needs no length: what a browser streams there goes up in chunks, and a method without content stays without."""
    recorder = Recorder()
    async with (
        scripted_upstream(recorder) as upstream,
        forwarding(RouteConfig(path="/api", upstream=upstream.url)) as room,
    ):
        pieces = [b"he", b"llo"] if method.startswith("P") else []
        await room.fetch(method=method, http_version="2", browser=AsgiBrowser(pieces))
    (seen,) = recorder.seen
    assert (seen.content, seen.values(b"transfer-encoding")) == (b"".join(pieces), [b"chunked"] if pieces else [])


@pytest.mark.requirement("R-263")
async def test_a_length_in_http_2_is_held_to() -> None:
    """Content-Length is consistent with the content there as well, or nothing of the request counts."""
    async with (
        scripted_upstream(echo) as upstream,
        forwarding(RouteConfig(path="/api", upstream=upstream.url)) as room,
    ):
        length = (b"content-length", b"5")
        browser = await room.fetch("/api", length, method="POST", http_version="2", browser=AsgiBrowser([b"hello"]))
        assert browser.content == b"/|hello"
        with pytest.raises(MalformedRequest):
            await room.fetch("/api", length, method="POST", http_version="2", browser=AsgiBrowser([b"hell"]))


# --- pools ------------------------------------------------------------------------------------------------------------


async def test_routes_to_one_origin_share_connections_unless_their_settings_differ() -> None:
    """Base paths do not matter, limits and timeouts do: they are the pool's."""
    async with (
        scripted_upstream(echo) as upstream,
        forwarding(
            RouteConfig(path="/a", upstream=f"{upstream.url}/one"),
            RouteConfig(path="/b", upstream=f"{upstream.url}/two"),
            RouteConfig(path="/c", upstream=upstream.url, max_connections=3),
            RouteConfig(path="/d", upstream=upstream.url, timeouts=TimeoutConfig(idle=5.0)),
        ) as room,
    ):
        for path, content in (("/a", b"/one|"), ("/b", b"/two|"), ("/c", b"/|"), ("/d", b"/|")):
            assert (await room.fetch(path)).content == content
        assert len(upstream.conversations) == 3


@pytest.mark.requirement("R-261")
async def test_each_route_has_its_own_limit_of_content() -> None:
    """`max_body` of the route, else `limits.max_body`."""
    async with (
        scripted_upstream(echo) as upstream,
        forwarding(
            RouteConfig(path="/small", upstream=upstream.url, max_body=3),
            RouteConfig(path="/api", upstream=upstream.url),
        ) as room,
    ):
        for path, size, fits in (
            ("/small", 3, True),
            ("/small", 4, False),
            ("/api", 4, True),
            ("/api", 1 << 24, False),
        ):
            field = (b"content-length", b"%d" % size)
            sending = room.fetch(path, field, method="POST", browser=AsgiBrowser([b"x" * size]))
            if fits:
                assert (await sending).content == b"/|" + b"x" * size
                continue
            with pytest.raises(ContentTooLarge):
                await sending


@pytest.mark.requirement("R-154")
@pytest.mark.parametrize(
    ("method", "content", "replayable"),
    [("GET", [], True), ("HEAD", [], True), ("DELETE", [], True), ("POST", [], False), ("PUT", [b"abc"], False)],
)
async def test_what_may_be_sent_again(method: str, content: list[bytes], replayable: bool) -> None:
    """An idempotent request without content, and no other, is `replayable`."""
    fields = [(b"content-length", b"3")] if content else []
    async with (
        scripted_upstream(answering(b"no", status="401 Unauthorized")) as upstream,
        forwarding(RouteConfig(path="/api", upstream=upstream.url)) as room,
    ):
        answer = await room.send("/api", *fields, method=method, browser=AsgiBrowser(content))
        assert (answer.status, answer.replayable) == (401, replayable)
        answer.discard()


@pytest.mark.requirement("R-154")
async def test_a_request_is_sent_again_with_another_token() -> None:
    """After a 401 the same request goes out once more, also when the browser was already being listened to."""
    recorder = Recorder()

    async def refusing(it: Conversation) -> None:
        recorder.seen.append(await it.request())
        await until(lambda: browser.polled > 0)  # a slow answer: by now we listen to the browser
        await it.send(response(b"no", status="401 Unauthorized"))
        await recorder(it)

    browser = AsgiBrowser()
    async with (
        scripted_upstream(refusing) as upstream,
        forwarding(RouteConfig(path="/api", upstream=upstream.url)) as room,
    ):
        first = await room.send(bearer="old", browser=browser)
        assert first.status == 401
        first.discard()
        second = await room.send(bearer="new", browser=browser)
        await second.relay(browser.send)
    assert browser.content == b"hello"
    assert [seen.values(b"authorization") for seen in recorder.seen] == [[b"Bearer old"], [b"Bearer new"]]


async def test_replacing_the_fields_before_the_relay() -> None:
    """Whoever holds the response may put other fields in place of the upstream's."""
    async with (
        scripted_upstream(echo) as upstream,
        forwarding(RouteConfig(path="/api", upstream=upstream.url)) as room,
    ):
        browser = AsgiBrowser()
        answer = await room.send(browser=browser)
        answer.fields = [*answer.fields, (b"x-request-id", b"1")]
        await answer.relay(browser.send)
    assert browser.fields[-1] == (b"x-request-id", b"1")


# --- TLS --------------------------------------------------------------------------------------------------------------


async def _over_tls(tls: ssl.SSLContext, *, ca_file: Path | None, host: str = "127.0.0.1") -> AsgiBrowser:
    async with scripted_upstream(echo, tls=tls) as upstream:
        url = f"https://{host}:{upstream.port}"
        async with forwarding(RouteConfig(path="/api", upstream=url, ca_file=ca_file)) as room:
            await room.fetch()
            return await room.fetch()


@pytest.mark.requirement("R-264")
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_upstream_with_a_certificate_of_the_routes_authority(tmp_path: Path, host: str) -> None:
    """The certificate is for the route's host, by name or address, and of the authority in `ca_file`: it is talked to."""
    authority = Authority(tmp_path)
    browser = await _over_tls(authority.server(host), ca_file=authority.file, host=host)
    assert browser.content == b"/|"


@pytest.mark.requirement("R-264", "R-265")
@pytest.mark.parametrize("fault", ["another authority", "no authority", "another host", "expired", "old TLS"])
async def test_an_upstream_that_cannot_prove_itself_gets_nothing(tmp_path: Path, fault: str) -> None:
    """Not verified is not connected: no request leaves us."""
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    tls = authority.server(
        "elsewhere.example" if fault == "another host" else "127.0.0.1",
        expired=fault == "expired",
        newest_tls=ssl.TLSVersion.TLSv1_1 if fault == "old TLS" else None,
    )
    ca_file = {"another authority": other.file, "no authority": None}.get(fault, authority.file)
    with pytest.raises(UpstreamUnreachable):
        await _over_tls(tls, ca_file=ca_file)


@pytest.mark.requirement("R-264")
async def test_one_routes_authority_is_not_anothers(tmp_path: Path) -> None:
    """`ca_file` counts for its route only, though the origin is the same."""
    authority = Authority(tmp_path)
    async with (
        scripted_upstream(echo, tls=authority.server("127.0.0.1")) as upstream,
        forwarding(
            RouteConfig(path="/a", upstream=upstream.url, ca_file=authority.file),
            RouteConfig(path="/b", upstream=upstream.url),
        ) as room,
    ):
        assert (await room.fetch("/a")).content == b"/|"
        with pytest.raises(UpstreamUnreachable):
            await room.fetch("/b")


@pytest.mark.requirement("R-278")
def test_an_authority_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    """A CA file that is missing or no PEM is said at start, not at the first request."""
    (tmp_path / "garbage.pem").write_text("not a certificate")
    for name in ("missing.pem", "garbage.pem"):
        route = RouteConfig(path="/a", upstream="https://127.0.0.1:1", ca_file=tmp_path / name)
        with pytest.raises(OSError, match=r"No such file|NO_CERTIFICATE|PEM|no start line"):
            Forwarding(a_config(route))


@pytest.mark.requirement("R-250")
@pytest.mark.parametrize("farewell", [True, False], ids=["close_notify", "cut"])
async def test_content_that_ends_with_a_tls_connection(tmp_path: Path, farewell: bool) -> None:
    """Only TLS's own farewell ends such content: anybody on the way could have cut the connection below it."""
    authority = Authority(tmp_path)

    async def until_close(it: Conversation) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\n\r\nhel", b"lo")
        if farewell:
            it.close()
            await it.gone()
            return
        it.cut()
        await it.gone()

    async with (
        scripted_upstream(until_close, tls=authority.server("127.0.0.1")) as upstream,
        forwarding(RouteConfig(path="/api", upstream=upstream.url, ca_file=authority.file)) as room,
    ):
        browser = AsgiBrowser()
        if farewell:
            await room.fetch(browser=browser)
            assert (browser.content, browser.complete) == (b"hello", True)
            return
        with pytest.raises(UpstreamBroke):
            await room.fetch(browser=browser)
        assert not browser.complete


async def test_large_contents_over_tls(tmp_path: Path) -> None:
    """Back-pressure works through TLS as well: megabytes each way, byte for byte."""
    authority = Authority(tmp_path)
    content = [bytes([n]) * 65536 for n in range(64)]
    async with (
        scripted_upstream(echo, tls=authority.server("127.0.0.1")) as upstream,
        forwarding(RouteConfig(path="/api", upstream=upstream.url, ca_file=authority.file)) as room,
    ):
        browser = AsgiBrowser(content)
        fields = (b"content-length", b"%d" % (64 * 65536))
        exchange = asyncio.ensure_future(room.fetch("/api", fields, method="POST", browser=browser))
        await browser.got.wait()
        browser.reads.clear()
        await asyncio.sleep(0)
        browser.reads.set()
        await exchange
    assert browser.content == b"/|" + b"".join(content)
