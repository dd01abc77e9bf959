"""TLS on both sides: plain http told by a trusted proxy, upstreams whose certificate is not good, and where connections lead."""

import json
import socket
from pathlib import Path

import pytest

from support.raw_browser import raw_browser
from support.raw_world import Recorder, raw_world
from support.scripted_upstream import Conversation, answering, response, scripted_upstream
from support.tls_certificates import Authority

LOCAL = ["127.0.0.0/8"]
PUBLIC = "https://app.example.com"
NAVIGATION = (b"Sec-Fetch-Mode: navigate", b"Sec-Fetch-Dest: document", b"Sec-Fetch-Site: none")

PLAIN = [
    (b"X-Forwarded-Proto: http",),
    (b"X-Forwarded-Proto: HTTP",),
    (b"X-Forwarded-Proto: http, https",),
    (b"X-Forwarded-Proto: http", b"X-Forwarded-Proto: https"),
    (b"Forwarded: for=192.0.2.1;proto=http",),
    (b'Forwarded: for=192.0.2.1;Proto="http", for=10.0.0.1;proto=https',),
    (b"Forwarded: , for=192.0.2.1;proto=http",),
]
FINE = [
    (),
    (b"X-Forwarded-Proto: https",),
    (b"X-Forwarded-Proto: https", b"Forwarded: for=192.0.2.1;proto=http"),
    (b"Forwarded: for=192.0.2.1;proto=https",),
    (b"Forwarded: for=192.0.2.1",),
]


@pytest.mark.requirement("R-266")
async def test_a_call_over_plain_http_is_refused() -> None:
    """A trusted proxy says http where the public URL is https: 403 on every route, and nothing is forwarded."""
    async with raw_world(public_url=PUBLIC, trusted_proxies=LOCAL) as site:
        for told in PLAIN:
            for line in ("GET /open/x", "POST /open/x", "GET /api/x", "GET /bff/user", "POST /bff/logout"):
                reply = await site.ask(site.request(line, *told))
                assert reply.status == 403, (line, told)
                assert json.loads(reply.body)["type"] == "urn:bff:problem:plain-http"
                assert reply.values("location") == []
        assert site.seen == []


@pytest.mark.requirement("R-266")
async def test_a_navigation_over_plain_http_is_sent_to_https() -> None:
    """A person gets the same page over https, whose host is ours and not the request's; a POST is refused like a call."""
    async with raw_world(public_url=PUBLIC, trusted_proxies=LOCAL) as site:
        for path in ("/open/x?a=%2F", "/api/x", "/bff/login?return_to=/x"):
            reply = await site.ask(site.request(f"GET {path}", *NAVIGATION, *PLAIN[0], b"X-Forwarded-Host: evil"))
            assert (reply.status, reply.values("location")) == (303, [PUBLIC + path]), reply
        page = b"Accept: text/html,*/*"  # all that browsers tell a server without TLS
        assert (await site.ask(site.request("GET /open/x", page, *PLAIN[0]))).values("location") == [PUBLIC + "/open/x"]
        reply = await site.ask(site.request("POST /open/x", *NAVIGATION, *PLAIN[0]))
        assert reply.status == 403
        assert site.seen == []


@pytest.mark.requirement("R-266", "R-301")
async def test_a_proxy_that_says_http_of_every_browser_is_no_circle() -> None:
    """The redirect's cookie is `Secure`: a browser that brings it was at https already, and gets a page that says what is wrong."""
    async with raw_world(public_url=PUBLIC, trusted_proxies=LOCAL) as site:
        sent = await site.ask(site.request("GET /open/x", *NAVIGATION, *PLAIN[0]))
        (cookie,) = sent.values("set-cookie")
        assert "; Secure; HttpOnly; SameSite=Lax; Max-Age=10" in cookie
        back = b"Cookie: " + cookie.partition(";")[0].encode()
        stopped = await site.ask(site.request("GET /open/x", *NAVIGATION, *PLAIN[0], back))
        assert (stopped.status, stopped.values("location")) == (403, [])
        assert b"<h1>Use the secure address" in stopped.body
        assert b"says http (X-Forwarded-Proto)" in stopped.body
        served = await site.ask(site.request("GET /open/x", *NAVIGATION, *FINE[1], back))
        assert served.status == 200
    assert [told for told in site.seen[0].values(b"cookie") if b"bff" in told] == []


@pytest.mark.requirement("R-266")
async def test_a_proxy_that_says_https_or_nothing_is_believed() -> None:
    """TLS ends before us: without a word about it the connection to us proves nothing."""
    async with raw_world(public_url=PUBLIC, trusted_proxies=LOCAL) as site:
        for told in FINE:
            assert (await site.ask(site.request("GET /open/x", *told))).status == 200
        assert len(site.seen) == len(FINE)


@pytest.mark.requirement("R-266", "R-257", "R-258")
async def test_an_untrusted_peer_cannot_say_http_or_https() -> None:
    """Its word is not heard: the request is served, and the upstream is told what we know."""
    async with raw_world(public_url=PUBLIC, trusted_proxies=["192.0.2.0/24"]) as site:
        assert (await site.ask(site.request("GET /open/x", *PLAIN[0]))).status == 200
    assert site.seen[0].values(b"x-forwarded-proto") == [b"https"]


@pytest.mark.requirement("R-266")
async def test_a_websocket_over_plain_http_is_refused() -> None:
    """The handshake is answered with 403 before anything else is judged."""
    async with raw_world(public_url=PUBLIC, trusted_proxies=LOCAL) as site:
        reply = await site.ask(
            site.request(
                "GET /open/x",
                b"X-Forwarded-Proto: http",
                b"Connection: Upgrade",
                b"Upgrade: websocket",
                b"Sec-WebSocket-Version: 13",
                b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                b"Origin: https://app.example.com",
            )
        )
        assert reply.status == 403
        assert site.seen == []


async def plain(it: Conversation) -> None:
    """No TLS here."""
    await it.send(response(b"in the clear"))
    await it.gone()


@pytest.mark.requirement("R-264", "R-265")
@pytest.mark.parametrize("fault", ["another authority", "another name", "expired", "no TLS"])
async def test_an_upstream_with_a_bad_certificate_gets_nothing(tmp_path: Path, fault: str) -> None:
    """502 that names no address; the bearer never leaves."""
    ours, theirs = Authority(tmp_path), Authority(tmp_path, "stranger")
    context = {
        "another authority": theirs.server("127.0.0.1"),
        "another name": ours.server("other.example"),
        "expired": ours.server("127.0.0.1", expired=True),
        "no TLS": None,
    }[fault]
    recorder = Recorder()
    async with scripted_upstream(plain if context is None else recorder, tls=context) as upstream:
        url = upstream.url.replace("http:", "https:")
        routes = [{"path": "/api", "upstream": url, "provider": "corp", "ca_file": str(ours.file)}]
        async with raw_world(routes=routes) as site:
            reply = await site.ask(site.request("GET /api/x"))
    assert reply.status == 502
    assert recorder.seen == []
    assert (b"certificate" in reply.body) == (fault != "no TLS")  # which part failed, without an address
    for told in (b"127.0.0.1", b"SSL", str(upstream.port).encode()):
        assert told not in reply.body


@pytest.mark.requirement("R-264")
async def test_each_route_has_its_own_authority(tmp_path: Path) -> None:
    """A route's CA is trusted by that route alone; without one the system's roots are, which do not know it."""
    ours, theirs = Authority(tmp_path), Authority(tmp_path, "stranger")
    async with (
        scripted_upstream(answering(b"one"), tls=ours.server("127.0.0.1")) as one,
        scripted_upstream(answering(b"two"), tls=theirs.server("127.0.0.1")) as two,
    ):
        routes = [
            {"path": "/one", "upstream": one.url, "token": "none", "ca_file": str(ours.file)},
            {"path": "/two", "upstream": two.url, "token": "none", "ca_file": str(theirs.file)},
            {"path": "/mixed", "upstream": two.url, "token": "none", "ca_file": str(ours.file)},
            {"path": "/system", "upstream": one.url, "token": "none"},
        ]
        async with raw_world(routes=routes, signed_in=False) as site:
            got = {path: (await site.ask(site.request(f"GET /{path}/x"))) for path in ("one", "two", "mixed", "system")}
    assert {path: reply.status for path, reply in got.items()} == {"one": 200, "two": 200, "mixed": 502, "system": 502}
    assert (got["one"].body, got["two"].body) == (b"one", b"two")


@pytest.mark.requirement("R-269")
async def test_no_request_chooses_where_a_connection_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Host, absolute-form, forwarded fields, userinfo-like paths: only configured names are ever resolved or connected to."""
    asked: list[str] = []
    resolve = socket.getaddrinfo

    def watching(host: object, *rest: object, **more: object) -> object:
        asked.append(host.decode() if isinstance(host, bytes) else str(host))
        return resolve(host, *rest, **more)  # type: ignore[arg-type]

    async with raw_world() as site:
        monkeypatch.setattr(socket, "getaddrinfo", watching)
        for line, *fields in (
            (b"GET /open/x", b"X-Forwarded-Host: 169.254.169.254", b"Forwarded: host=169.254.169.254"),
            (b"GET /open/@169.254.169.254/latest",),
            (b"GET /open//169.254.169.254/latest",),
            (b"GET /open/http://169.254.169.254/latest",),
            (b"GET http://169.254.169.254/open/x",),
            (b"GET http://" + site.host + b"@169.254.169.254/open/x",),
            (b"GET //169.254.169.254/latest",),
        ):
            async with raw_browser(site.port) as browser:
                await browser.say(site.request(line, *fields))
                await browser.reply()
        host = site.upstream.host
        assert all(request.values(b"host") == [f"{host}:{site.upstream.port}".encode()] for request in site.seen)
    assert set(asked) <= {"127.0.0.1", "localhost", "::1"}


@pytest.mark.requirement("R-269")
async def test_a_redirect_to_a_metadata_address_is_not_followed() -> None:
    """It is the browser's to follow, which has no way there."""
    async with raw_world() as site:
        site.answer_next(response(b"", "Location: http://169.254.169.254/latest", status="302 Found"))
        reply = await site.ask(site.request("GET /api/x"))
    assert (reply.status, reply.values("location")) == (302, ["http://169.254.169.254/latest"])
    assert len(site.seen) == 1


@pytest.mark.requirement("R-269")
async def test_a_name_is_resolved_once_for_each_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address that is connected to is the one that was answered, the certificate is that of the name: a second answer that
    leads elsewhere (DNS rebinding) is never asked for, and one that did could not present the certificate."""
    authority = Authority(tmp_path)
    answers: list[str] = []
    resolve = socket.getaddrinfo

    def rebinding(host: object, *rest: object, **more: object) -> object:
        if host != "upstream.test":
            return resolve(host, *rest, **more)  # type: ignore[arg-type]
        answers.append("127.0.0.1" if not answers else "127.0.0.9")
        return resolve(answers[-1], *rest, **more)  # type: ignore[arg-type]

    async with scripted_upstream(answering(b"fine"), tls=authority.server("upstream.test")) as upstream:
        url = f"https://upstream.test:{upstream.port}"
        routes = [{"path": "/open", "upstream": url, "token": "none", "ca_file": str(authority.file)}]
        async with raw_world(routes=routes, signed_in=False) as site:
            monkeypatch.setattr(socket, "getaddrinfo", rebinding)
            for _ in range(3):
                assert (await site.ask(site.request("GET /open/x"))).status == 200
        assert len(upstream.conversations) == 1
    assert answers == ["127.0.0.1"]


@pytest.mark.requirement("R-263")
async def test_http_2_is_refused_cleanly() -> None:
    """We speak HTTP/1.1 only: the preface gets one refusal and the end, whether whole or in pieces, with frames or without."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    async with raw_world(signed_in=False) as site:
        for pieces in ((preface,), (preface + settings,), (preface[:18], preface[18:] + settings)):
            async with site.connect() as browser:
                await browser.say(*pieces)
                reply = await browser.reply()
                assert (reply.status, reply.closes) == (400, True)
                assert await browser.rest() == b""
        assert site.seen == []
        assert (await site.ask(site.request("GET /open/x"))).status == 200


@pytest.mark.requirement("R-263", "R-254")
async def test_an_offer_of_http_2_is_not_taken() -> None:
    """curl --http2 gets its answer in HTTP/1.1, with the content that it sent, and nothing of the offer goes on."""
    offer = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
    async with raw_world() as site:
        async with site.connect() as browser:
            await browser.say(site.request("GET /api/x", *offer), site.request("POST /api/y", *offer, body=b"hello"))
            assert (await browser.reply()).status == 200
            assert (await browser.reply()).status == 200
        assert [request.content for request in site.seen] == [b"", b"hello"]
        for request in site.seen:
            assert (
                request.values(b"upgrade") == request.values(b"http2-settings") == request.values(b"connection") == []
            )
