"""Where a request leads: one form of the target, judged and forwarded byte for byte; no authority but ours (RFC 9112 section 3)."""

import pytest

from support.gateway_world import SERVER
from support.raw_world import RawWorld, raw_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.requirement("R-239")
@pytest.mark.parametrize("path", ["/open/x", "/api/x", "/bff/user", "/nowhere"])
@pytest.mark.parametrize(
    "hosts",
    [
        b"",
        b"Host:\r\n",
        b"Host: HOST\r\nHost: HOST\r\n",
        b"Host: HOST\r\nHost: evil.example\r\n",
        b"Host: evil.example\r\nhOST: HOST\r\n",
        b"Host: a/b?c#d\r\n",
        b"Host: a@b\r\n",
        b"Host: HOST@evil.example\r\n",
        b"Host: HOST,evil.example\r\n",
        b"Host: HOST evil.example\r\n",
        b"Host: HOST:evil\r\n",
        b"Host: HOST:123456\r\n",
        b"Host: [::1\r\n",
        b"Host: HOST\x01\r\n",
        b"Host: \xff\r\n",
        b"Host: a\\b\r\n",
        b"Host : HOST\r\n",
    ],
)
async def test_a_host_that_is_none_is_refused(site: RawWorld, hosts: bytes, path: str) -> None:
    """Missing, twice, or with anything in it that no host has: 400 everywhere, and nothing is forwarded."""
    head = b"GET " + path.encode() + b" HTTP/1.1\r\n" + hosts.replace(b"HOST", site.host) + b"X-CSRF: 1\r\n\r\n"
    assert (await site.ask(head)).status in {400, 404} if path == "/nowhere" else (await site.ask(head)).status == 400
    assert site.seen == []


@pytest.mark.requirement("R-239")
@pytest.mark.parametrize("path", ["/open/x", "/api/x", "/bff/user", "/bff/login"])
@pytest.mark.parametrize(
    "host", [b"evil.example", b"127.0.0.1", b"localhost", b"localhost.", b"xlocalhost", b"localhost:1"]
)
async def test_a_foreign_host_is_misdirected(site: RawWorld, host: bytes, path: str) -> None:
    """421: a name that leads here by somebody else's DNS is not served (DNS rebinding)."""
    head = b"GET " + path.encode() + b" HTTP/1.1\r\nHost: " + host + b"\r\nX-CSRF: 1\r\n\r\n"
    assert (await site.ask(head)).status == 421
    assert site.seen == []


@pytest.mark.requirement("R-239")
async def test_our_host_is_ours_in_any_case(site: RawWorld) -> None:
    """Host names have no case."""
    head = b"GET /open/x HTTP/1.1\r\nHost: " + site.host.upper() + b"\r\n\r\n"
    assert (await site.ask(head)).status == 200


@pytest.mark.requirement("R-240")
@pytest.mark.parametrize("scheme", [b"http", b"https", b"HTTP"])
async def test_an_absolute_form_for_us_is_routed_like_any_other(site: RawWorld, scheme: bytes) -> None:
    """The same routes, the same guards, the same bytes to the upstream."""
    prefix = scheme + b"://" + site.host
    assert (await site.ask(site.request(b"GET " + prefix + b"/open/a%2Fb;c?d=%20"))).status == 200
    assert (await site.ask(site.request(b"GET " + prefix + b"/api/x", signed_in=False))).status == 403
    assert (await site.ask(site.request(b"GET " + prefix + b"/api/x"))).status == 200
    assert (await site.ask(site.request(b"GET " + prefix + b"/bff/user"))).status == 200
    assert (await site.ask(site.request(b"GET " + prefix + b"/open/../api/x"))).status == 400
    assert site.targets == [b"/a%2Fb;c?d=%20", b"/x"]


@pytest.mark.requirement("R-240")
@pytest.mark.parametrize("path", [b"/open/x", b"/api/x", b"/bff/user", b"/bff/login"])
async def test_the_authority_of_an_absolute_form_beats_host(site: RawWorld, path: bytes) -> None:
    """With our Host and another authority: 421. With another Host and our authority: ours."""
    assert (await site.ask(site.request(b"GET http://evil.example" + path))).status == 421
    assert site.seen == []
    target = b"http://" + site.host + b"/open/x"
    reply = await site.ask(b"GET " + target + b" HTTP/1.1\r\nHost: evil.example\r\n\r\n")
    assert reply.status == 200
    assert site.seen[0].values(b"x-forwarded-host") == [site.host]


@pytest.mark.requirement("R-240")
@pytest.mark.parametrize(
    "target",
    [
        b"http://USER@HOST/open/x",
        b"http://HOST@evil.example/open/x",
        b"http://HOST\\@evil.example/open/x",
        b"http:///open/x",
        b"http:/open/x",
        b"http://",
        b"http://HOST:x/open/x",
        b"http://HOST:99999/open/x",
        b"http://[::1/open/x",
        b"ftp://HOST/open/x",
        b"file:///etc/passwd",
        b"javascript:alert(1)",
        b"HOST/open/x",
        b"open/x",
        b"?x",
        b"*",
    ],
)
async def test_a_target_that_is_none_of_the_forms_is_refused(site: RawWorld, target: bytes) -> None:
    """400 or 421, and nothing is forwarded."""
    reply = await site.ask(site.request(b"GET " + target.replace(b"HOST", site.host)))
    assert reply.status in {400, 421}
    assert site.seen == []


@pytest.mark.requirement("R-240", "R-239")
async def test_an_absolute_form_still_needs_one_host() -> None:
    """None or two Host fields stay an error (RFC 9112 section 3.2)."""
    async with raw_world(signed_in=False) as site:
        for hosts in (b"", b"Host: a\r\nHost: b\r\n"):
            target = b"http://" + site.host + b"/open/x"
            assert (await site.ask(b"GET " + target + b" HTTP/1.1\r\n" + hosts + b"\r\n")).status == 400
        assert site.seen == []


ROUND_TRIPS = [
    b"/a%2Fb", b"/a%2fb", b"/100%25", b"/a%20b", b"/a%3Fb", b"/a%23b", b"/a;a=1", b"/a;a=1/b;c", b"/a//b", b"//", b"/a+b", b"/a%2Bb",
    b"/", b"/%C3%A9", b"/a:b@c", b"/!$&'()*,=~", b"/a%41", b"/x/", b"/...", b"/a..b", b"/%7Euser", b"/~user", b"/a",
    b"/x?", b"/x?a=1&a=2", b"/x?a;b", b"/x?a=%0d%0aSet-Cookie:x", b"/x?%", b"/x?a=b=c", b"/x?a?b", b"/x?/../y", b"/x?a=%2F..%2F",
    b"/x?[]{}|^`", b"/x?q=%ZZ", b"/x?" + b"&".join(b"p%d=%d" % (n, n) for n in range(1_000)),
]  # fmt: skip


@pytest.mark.requirement("R-241")
@pytest.mark.parametrize("target", ROUND_TRIPS, ids=lambda target: target[:40].decode())
@pytest.mark.parametrize("prefix", [b"/open", b"/api"])
async def test_path_and_query_arrive_as_they_were_sent(site: RawWorld, prefix: bytes, target: bytes) -> None:
    """Nothing is decoded, encoded, merged or sorted on the way; an empty query loses its `?` in ASGI, under another server."""
    assert (await site.ask(site.request(b"GET " + prefix + target))).status == 200
    assert site.targets == [target if SERVER == "bff" else target.removesuffix(b"?")]


@pytest.mark.requirement("R-241")
async def test_ten_thousand_parameters_arrive() -> None:
    """Whatever fits into the limit for targets is forwarded, every parameter of it."""
    async with raw_world(signed_in=False, limits={"max_target": "63KiB"}) as site:
        query = b"&".join(b"%d" % number for number in range(10_000))
        assert (await site.ask(site.request(b"GET /open/x?" + query))).status == 200
        assert site.targets == [b"/x?" + query]


@pytest.mark.requirement("R-241")
async def test_only_the_configured_rewrite_is_made() -> None:
    """An upstream's base path goes before what follows the route's prefix, and nothing else changes."""
    routes = [{"path": "/api", "upstream": "{raw}/v2/base", "token": "none"}]
    async with raw_world(routes=routes, signed_in=False) as rewriting:
        for target in (b"", b"/", b"/a%2F", b"//x", b"?q=/api"):
            assert (await rewriting.ask(rewriting.request(b"GET /api" + target))).status == 200
        assert rewriting.targets == [
            b"/v2/base",
            b"/v2/base/",
            b"/v2/base/a%2F",
            b"/v2/base//x",
            b"/v2/base?q=/api",
        ]


BYPASSES = [
    b"/open/../api/x", b"/open/%2e%2e/api/x", b"/open/%2E./api/x", b"/open/.%2e/api/x", b"/open/..%2fapi/x", b"/open/..%5capi/x",
    b"/open/..;/api/x", b"/open/..;a=b/api/x", b"/open/%252e%252e/api/x", b"/open/%25252e%25252e/api/x", b"/open/..\\api/x",
    b"/open\\..\\api/x", b"/open/./x", b"/open/%2e/x", b"/open/x%00", b"/open/x%00/../../api", b"/open/x%0d%0aX:y", b"/open/x%0a",
    b"/open/x%5c", b"/open/%c0%ae%c0%ae/api", b"/open/%e0%80%ae", b"/open/%zz", b"/open/%", b"/open/%2", b"/open/..", b"/open/.",
    b"/open/..?x", b"/%6fpen/../api", b"/open/x%7f", b"/%61pi/x", b"/a%70i/x", b"/%2561pi/x", b"/api%2fx", b"//api/x", b"/;/api/x",
    b"/open/x\x7f", b"/open/\xc3\xa9", b"/open/x\\y",
]  # fmt: skip


@pytest.mark.requirement("R-242", "R-243")
@pytest.mark.parametrize("target", BYPASSES)
async def test_no_spelling_of_a_path_gets_round_a_guard(site: RawWorld, target: bytes) -> None:
    """Dot segments, backslashes, NUL, line ends and encodings that lead to another route: refused, and nothing is forwarded."""
    reply = await site.ask(site.request(b"GET " + target, signed_in=False))
    assert reply.status in {400, 404}
    assert site.seen == []


@pytest.mark.requirement("R-242")
@pytest.mark.parametrize("target", [b"/API/x", b"/Api/x", b"/apix", b"/api.", b"/api;x", b"/api%20/x"])
async def test_what_resembles_a_prefix_is_another_path(site: RawWorld, target: bytes) -> None:
    """Segments are compared byte for byte: no route, no forwarding."""
    assert (await site.ask(site.request(b"GET " + target))).status in {400, 404}
    assert site.seen == []


@pytest.mark.requirement("R-243")
@pytest.mark.parametrize(
    ("line", "fields"),
    [
        (b"GET /open/x?a=%0d%0aX-Injected:%20yes", ()),
        (b"GET /open/x?%0D%0A%0D%0AGET%20/canary", ()),
        (b"GET /open/x", (b"X-Thing: %0d%0aX-Injected: yes",)),
        (b"GET /open/x", (b"Cookie: a=%0d%0aX-Injected:yes",)),
        (b"GET /open/x", (b"X-Thing: a\xc4\x8d\xc4\x8aX-Injected: yes",)),
    ],
)
async def test_an_encoded_line_end_never_becomes_one(site: RawWorld, line: bytes, fields: tuple[bytes, ...]) -> None:
    """It arrives encoded, as one request without the field that it would have made."""
    assert (await site.ask(site.request(line, *fields))).status == 200
    (seen,) = site.seen
    assert seen.values(b"x-injected") == []
    assert seen.target == line.partition(b"/open")[2]


@pytest.mark.requirement("R-243")
async def test_an_upstream_cannot_split_our_response(site: RawWorld) -> None:
    """A Location with an encoded line end passes as it is; one with a bare CR is a broken response."""
    site.answer_next(b"HTTP/1.1 302 Found\r\nLocation: /x%0d%0aSet-Cookie:%20a=b\r\nContent-Length: 0\r\n\r\n")
    reply = await site.ask(site.request("GET /open/x"))
    assert reply.values("location") == ["/open/x%0d%0aSet-Cookie:%20a=b"]
    assert reply.values("set-cookie") == []
    site.answer_next(b"HTTP/1.1 302 Found\r\nLocation: /x\rSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
    assert (await site.ask(site.request("GET /open/x"))).status == 502


@pytest.mark.requirement("R-244")
@pytest.mark.parametrize(
    "target", [b"/api/x#/open", b"/open/x#y", b"/open#", b"/open/x?a#b", b"#/open", b"/#/open", b"http://HOST/open/x#y"]
)
async def test_a_fragment_is_no_part_of_a_target(site: RawWorld, target: bytes) -> None:
    """400: what a browser never sends is not guessed at."""
    assert (await site.ask(site.request(b"GET " + target.replace(b"HOST", site.host)))).status == 400
    assert site.seen == []


@pytest.mark.requirement("R-245")
@pytest.mark.parametrize("query", [b"?x=/open", b"?/open/x", b"?/../open", b"?x=/open/..", b"?%2Fopen"])
async def test_a_query_does_not_choose_the_route(site: RawWorld, query: bytes) -> None:
    """A protected path stays protected, whatever stands behind its `?`."""
    reply = await site.ask(site.request(b"GET /api/x" + query, b"X-CSRF: 1", signed_in=False))
    assert reply.status == 401
    assert site.seen == []
