"""What passes of a request's fields and a response's: hop by hop or end to end, ours or the browser's (RFC 9110 section 7.6)."""

import pytest

from support.raw_world import RawWorld, raw_world
from support.scripted_upstream import response

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOP_BY_HOP = [
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"TE: trailers, gzip",
    b"Trailer: X-Sum",
    b"Proxy-Authorization: Basic YTpi",
    b"Proxy-Authenticate: Basic",
    b"Upgrade: foo/2",
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
]


@pytest.mark.requirement("R-230")
@pytest.mark.parametrize(
    "spelling", [b"X-Foo", b"x-foo", b"close, X-FOO", b"X-Foo ,\tx-bar", b"keep-alive, x-foo, x-none", b",,X-Foo,"]
)
async def test_fields_that_connection_names_do_not_pass(site: RawWorld, spelling: bytes) -> None:
    """Neither the named field nor Connection itself reaches the upstream; the others do."""
    fields = (b"X-Foo: 1", b"X-Foo: 2", b"X-Kept: 3", b"Connection: " + spelling)
    assert (await site.ask(site.request("GET /open/x", *fields))).status == 200
    (seen,) = site.seen
    assert seen.values(b"x-foo") == seen.values(b"connection") == []
    assert seen.values(b"x-kept") == [b"3"]


@pytest.mark.requirement("R-230")
async def test_fields_that_an_upstreams_connection_names_do_not_pass(site: RawWorld) -> None:
    """The same holds on the way back."""
    site.answer_next(
        response(b"fine", "Connection: X-Foo, keep-alive", "X-Foo: 1", "X-Kept: 2", "Keep-Alive: timeout=9")
    )
    reply = await site.ask(site.request("GET /open/x"))
    assert (reply.values("x-foo"), reply.values("x-kept"), reply.values("keep-alive")) == ([], ["2"], [])
    assert reply.values("connection") == []


@pytest.mark.requirement("R-231")
@pytest.mark.parametrize("line", HOP_BY_HOP)
async def test_hop_by_hop_fields_do_not_pass(site: RawWorld, line: bytes) -> None:
    """Whether Connection names them or not, in either direction."""
    name = line.partition(b":")[0].lower()
    site.answer_next(response(b"", line.decode()), response(b"", line.decode()))
    for named in ((), (b"Connection: " + name,)):
        reply = await site.ask(site.request("GET /open/x", line, *named))
        assert reply.status == 200
        assert reply.values(name.decode()) == []
    assert [request.values(name) for request in site.seen] == [[], []]


@pytest.mark.requirement("R-231")
async def test_the_upstreams_coding_is_not_the_browsers(site: RawWorld) -> None:
    """Chunks of the upstream end with it: the browser gets chunks, or a length, of our own making, once."""
    site.answer_next(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\n\r\n")
    reply = await site.ask(site.request("GET /open/x"))
    assert reply.body == b"hello"
    assert len(reply.values("transfer-encoding") + reply.values("content-length")) == 1


OURS = [b"authorization", b"via", b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"host"]


@pytest.mark.requirement("R-232")
@pytest.mark.parametrize(
    "connection", [b", ".join(OURS), b",".join(OURS).title(), b", ".join(OURS).upper().replace(b"-", b"_")]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_connection_cannot_remove_what_is_ours_to_say(site: RawWorld, connection: bytes, method: str) -> None:
    """Bearer, Via and the forwarding fields arrive, in whatever case and over however many lines they are named."""
    lines = [b"Connection: " + name for name in connection.split(b", ")]
    for fields in ((b"Connection: " + connection,), lines):
        assert (
            await site.ask(site.request(f"{method} /api/x", *fields, body=b"" if method == "POST" else None))
        ).status == 200
    for seen in site.seen:
        for name in OURS:
            assert len(seen.values(name)) == 1, name
        assert seen.values(b"authorization")[0].startswith(b"Bearer ")


@pytest.mark.requirement("R-232")
@pytest.mark.parametrize("named", [b"cookie", b"x-csrf", b"host", b"sec-fetch-site", b"content-length"])
async def test_connection_cannot_remove_what_the_guards_judge(site: RawWorld, named: bytes) -> None:
    """A foreign Sec-Fetch-Site is judged although Connection names it; a length still frames."""
    foreign = (b"Connection: " + named, b"Origin: https://evil.example")
    assert (await site.ask(site.request("POST /api/x", *foreign, body=b"hello"))).status == 403
    assert (await site.ask(site.request("POST /api/x", b"Connection: " + named, body=b"hello"))).status == 200
    assert [request.content for request in site.seen] == [b"hello"]


@pytest.mark.requirement("R-233")
async def test_unknown_fields_pass_both_ways(site: RawWorld) -> None:
    """Names that nobody knows, in their order and number, with every byte that a value may have."""
    lines = [
        b"X-Unknown: 1",
        b"Zzz: \xfe\xff",
        b"X-Unknown: 2",
        b'Weird!#$%&\'*+.^`|~: "a, b";c=d',
        b"Accept: a",
        b"X-Empty:",
    ]
    site.answer_next(response(b"", *(line.decode("latin-1") for line in lines)))
    reply = await site.ask(site.request("GET /open/x", *lines))
    (seen,) = site.seen
    for values in (seen.values, lambda name: [value.encode("latin-1") for value in reply.values(name.decode())]):
        assert values(b"x-unknown") == [b"1", b"2"]
        assert values(b"zzz") == [b"\xfe\xff"]
        assert values(b"weird!#$%&'*+.^`|~") == [b'"a, b";c=d']
        assert values(b"x-empty") == [b""]


@pytest.mark.requirement("R-234")
async def test_via_says_that_we_were_here(site: RawWorld) -> None:
    """Ours is added behind those that are there, with the version that was spoken to us, and the same name each time."""
    await site.ask(site.request("GET /open/x"))
    await site.ask(site.request("GET /open/x", b"Via: 1.0 fred", b"Via: 1.1 p.example (x)"))
    ((first,), (second,)) = (request.values(b"via") for request in site.seen)
    assert first.startswith(b"1.1 bff-")
    assert second == b"1.0 fred, 1.1 p.example (x), " + first


@pytest.mark.requirement("R-234")
@pytest.mark.parametrize("path", ["/loop/x", "/nested/x"])
async def test_a_route_that_leads_to_ourselves_ends(path: str) -> None:
    """508, told once, however long the way round is; the connection goes on."""
    routes = [
        {"path": "/loop", "upstream": "{self}/loop", "token": "none"},
        {"path": "/nested", "upstream": "{self}/loop", "token": "none"},
    ]
    async with raw_world(routes=routes, signed_in=False) as site, site.connect() as browser:
        for _ in range(2):
            await browser.say(site.request(f"GET {path}"))
            assert (await browser.reply()).status == 508


@pytest.mark.requirement("R-257")
@pytest.mark.parametrize("path", ["/open/x", "/api/x"])
async def test_an_untrusted_peer_says_nothing_about_where_it_came_from(site: RawWorld, path: str) -> None:
    """Every spelling of where a request came from is dropped, and what we know ourselves is said instead, once."""
    lies = [
        b"Forwarded: for=6.6.6.6;host=evil;proto=https", b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-For: 7.7.7.7",
        b"X-Real-IP: 6.6.6.6",
        b"X-Forwarded-Host: evil", b"X-Forwarded-Proto: gopher", b"X-Forwarded-Port: 666", b"X-Forwarded-Prefix: /evil",
        b"X-Forwarded-Server: evil", b"X-Forwarded-Uri: /evil", b"X-Forwarded-Method: DELETE", b"X-Client-IP: 6.6.6.6",
        b"True-Client-IP: 6.6.6.6", b"CF-Connecting-IP: 6.6.6.6", b"X-Cluster-Client-IP: 6.6.6.6", b"x_forwarded_for: 6.6.6.6",
        b"X-Original-URL: /evil", b"X-Rewrite-URL: /evil", b"X-Forwarded-Whatever: evil", b"Client-IP: 6.6.6.6",
    ]  # fmt: skip
    assert (await site.ask(site.request(f"GET {path}", *lies))).status == 200
    (seen,) = site.seen
    said = b"\n".join(name.lower() + b": " + value for name, value in seen.fields)
    # A port of ours, or an id, may hold 666: it is looked for as a value.
    for lie in (b"6.6.6.6", b"7.7.7.7", b"evil", b"gopher", b": 666", b"DELETE"):
        assert lie not in said
    assert seen.values(b"x-forwarded-for") == [b"127.0.0.1"]
    assert seen.values(b"x-forwarded-proto") == [b"http"]
    assert seen.values(b"x-forwarded-host") == [site.host]
    assert seen.values(b"forwarded") == [b'for=127.0.0.1;host="' + site.host + b'";proto=http']


TRUSTED = [
    ((b"X-Forwarded-For: 192.0.2.1",), b"192.0.2.1, 127.0.0.1"),
    ((b"X-Forwarded-For: 192.0.2.1, 10.0.0.1",), b"192.0.2.1, 10.0.0.1, 127.0.0.1"),
    ((b"X-Forwarded-For: 192.0.2.1", b"X-Forwarded-For: 10.0.0.1"), b"192.0.2.1, 10.0.0.1, 127.0.0.1"),
    ((b"Forwarded: for=192.0.2.1, for=10.0.0.1",), b"192.0.2.1, 10.0.0.1, 127.0.0.1"),
    ((b"Forwarded: for=192.0.2.1", b"Forwarded: for=10.0.0.1"), b"192.0.2.1, 10.0.0.1, 127.0.0.1"),
    ((b"X-Forwarded-For: 192.0.2.1", b"Forwarded: for=6.6.6.6"), b"192.0.2.1, 127.0.0.1"),
    ((b"X-Forwarded-For: <script>, 192.0.2.1",), b"192.0.2.1, 127.0.0.1"),
    ((b"X_Forwarded_For: 6.6.6.6",), b"127.0.0.1"),
    ((), b"127.0.0.1"),
]


@pytest.mark.requirement("R-257")
async def test_a_trusted_proxys_chain_is_handed_on() -> None:
    """Its addresses come before its own, also over several lines; scheme and host stay those of our public URL."""
    async with raw_world(trusted_proxies=["127.0.0.1/32"], signed_in=False) as site:
        for fields, chain in TRUSTED:
            site.forget()
            lies = (b"X-Forwarded-Host: evil", b"X-Real-IP: 6.6.6.6", b"X-Forwarded-Prefix: /evil")
            assert (await site.ask(site.request("GET /open/x", *fields, *lies))).status == 200
            (seen,) = site.seen
            assert seen.values(b"x-forwarded-for") == [chain], fields
            assert seen.values(b"x-forwarded-host") == [site.host]
            assert len(seen.values(b"forwarded")) == 1
            assert seen.values(b"x-real-ip") == []
            assert seen.values(b"x-forwarded-prefix") == [b"/open"]


@pytest.mark.requirement("R-258")
@pytest.mark.parametrize("trusted", [[], ["127.0.0.0/8"]])
async def test_forwarding_fields_decide_nothing(trusted: list[str]) -> None:
    """Neither the route, nor whether a session is needed, nor the redirect URI, nor a cookie follows from them, whoever says them."""
    lies = [
        b"X-Forwarded-Uri: /open/x", b"X-Original-URL: /open/x", b"X-Rewrite-URL: /open/x", b"X-Forwarded-Prefix: /open",
        b"X-Forwarded-Host: evil.example", b"X-Forwarded-Proto: https", b"X-Forwarded-Method: OPTIONS", b"X-Forwarded-Port: 1",
        b"X-HTTP-Method-Override: DELETE", b"Forwarded: host=evil.example;proto=https",
    ]  # fmt: skip
    async with raw_world(trusted_proxies=trusted) as site:
        reply = await site.ask(site.request("GET /api/x", b"X-CSRF: 1", *lies, signed_in=False))
        assert reply.status == 401
        assert site.seen == []
        login = await site.ask(site.request("GET /bff/login?provider=corp", *lies))
        assert login.status == 303
        assert "evil" not in login.values("location")[0]
        assert site.host.decode().replace(":", "%3A") in login.values("location")[0]
        assert all("Path=/;" in line + ";" and "omain" not in line for line in login.values("set-cookie"))
        assert (await site.ask(site.request("GET /open/x", *lies))).status == 200
        assert site.targets == [b"/x"]
        assert site.seen[0].method == b"GET"


IDENTITY = [
    b"Authorization: Bearer stolen", b"AUTHORIZATION: Basic YTpi", b"X-User: root", b"X-Remote-User: root", b"Remote-User: root",
    b"X-Authenticated-User: root", b"X-Auth-Request-User: root", b"X-Auth-Request-Email: root@x", b"X-Forwarded-User: root",
    b"X-Forwarded-Email: root@x", b"X-Forwarded-Groups: admin", b"X-Forwarded-Access-Token: t", b"X-BFF-User: root",
    b"X-SSL-Client-CN: root",
    b"SSL-Client-Cert: x", b"Client-Cert: :x:",
]  # fmt: skip


@pytest.mark.requirement("R-259", "R-268")
@pytest.mark.parametrize(
    "line", ["GET /open/x", "OPTIONS /open/x", "POST /open/x", "GET /maybe/x", "GET /api/x", "OPTIONS /api/x"]
)
@pytest.mark.parametrize("signed_in", [True, False])
async def test_identity_is_ours_to_say_on_every_route(site: RawWorld, line: str, signed_in: bool) -> None:
    """Also without a token to attach, and for OPTIONS: what a browser says about who it is never arrives."""
    csrf = () if signed_in else (b"X-CSRF: 1",)
    reply = await site.ask(site.request(line, *IDENTITY, *csrf, signed_in=signed_in))
    if "/api" in line and not signed_in:
        assert reply.status == 401
        assert site.seen == []
        return
    assert reply.status == 200
    (seen,) = site.seen
    said = b"\n".join(name.lower() + b": " + value for name, value in seen.fields)
    for lie in (b"stolen", b"YTpi", b"root", b"admin", b": t\n", b":x:"):
        assert lie not in said
    expected = signed_in and "/open" not in line
    assert len(seen.values(b"authorization")) == (1 if expected else 0)


@pytest.mark.requirement("R-260")
@pytest.mark.parametrize(
    "name",
    [
        b"X_User",
        b"x_forwarded_for",
        b"X_FORWARDED-User",
        b"X-Forwarded_User",
        b"Authorization_",
        b"Remote_User",
        b"X_Anything",
        b"_",
    ],
)
async def test_names_with_underscores_do_not_pass(site: RawWorld, name: bytes) -> None:
    """CGI and WSGI read `_` as `-`: what has one is dropped, since nobody can say what it would become."""
    assert (await site.ask(site.request("GET /api/x", name + b": lie", b"x-user: lie", b"X-uSeR: lie"))).status == 200
    (seen,) = site.seen
    assert not any(b"_" in found or value == b"lie" for found, value in seen.fields)
    assert len(seen.values(b"authorization")) == 1


@pytest.mark.requirement("R-260")
async def test_names_that_are_none_are_refused(site: RawWorld) -> None:
    """A name with another separator that somebody might read as `-` is not a token, or is passed as what it is."""
    for name in (b"X User", b"X/User", b"X\xadUser", b"X@User"):
        assert (await site.ask(site.request("GET /open/x", name + b": root"))).status == 400
    assert site.seen == []


@pytest.mark.requirement("R-268")
@pytest.mark.parametrize(
    "line", ["OPTIONS /api/x", "OPTIONS /maybe/x", "OPTIONS /pages/x", "OPTIONS /bff/user", "OPTIONS /bff/logout"]
)
async def test_a_preflight_from_elsewhere_is_answered_here(site: RawWorld, line: str) -> None:
    """Another origin's question gets no permission from us, and no upstream is asked with a token."""
    asked = (
        b"Origin: https://evil.example", b"Access-Control-Request-Method: POST", b"Access-Control-Request-Headers: x-csrf",
        b"Sec-Fetch-Site: cross-site", b"Sec-Fetch-Mode: cors",
    )  # fmt: skip
    reply = await site.ask(site.request(line, *asked, b"Cookie: " + site.cookie, signed_in=False))
    assert reply.status in {403, 405}
    assert not [name for name, _ in reply.fields if name.startswith(b"access-control-")]
    assert site.seen == []


@pytest.mark.requirement("R-267")
async def test_our_401_says_how_to_sign_in(site: RawWorld) -> None:
    """A challenge of our own scheme: no browser opens a password window for it."""
    reply = await site.ask(site.request("GET /api/x", b"X-CSRF: 1", signed_in=False))
    assert reply.status == 401
    (challenge,) = reply.values("www-authenticate")
    assert challenge.startswith("BFF ")
