"""May this request pass? Each guard against what passed elsewhere (CVE-2021-21291, CVE-2019-14857, CVE-2025-24358)."""

from dataclasses import replace
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from bff.errors import CsrfRefused, MalformedRequest
from bff.web import guards
from bff.web.gateway import Site
from bff.web.guards import MAX_LOCAL_PATH, local_path
from support.asgi_gateway import FETCH, FROM_ELSEWHERE, NAVIGATION, ORIGIN, TYPED, asgi_gateway
from support.request_heads import BY_SERVICE_WORKERS, a_head

OURS = ORIGIN.encode()
SITE = Site(
    origin=ORIGIN,
    origin_bytes=OURS,
    allowed_origins=frozenset(),
    scheme=OURS.partition(b"://")[0],
    host=OURS.partition(b"://")[2],
    base_path="/bff",
)
UI = b"https://ui.example.com"
WIDER = replace(SITE, allowed_origins=frozenset({UI}))

# --- CSRF -------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-013")
@pytest.mark.parametrize("value", [None, b"", b"0", b"true", b"1 ", b"1, 1", b"11", b"%31"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"DELETE", b"OPTIONS"])
def test_header_is_needed_on_every_method(value: bytes | None, method: bytes) -> None:
    """Without exactly `X-CSRF: 1` every call is refused, reads and body-less posts too, whatever else it proves."""
    seen = {b"sec-fetch-site": b"same-origin", b"origin": OURS}
    if value is not None:
        seen[b"x-csrf"] = value
    with pytest.raises(CsrfRefused):
        guards.csrf(a_head(seen, method=method), by="header", site=SITE)


@pytest.mark.requirement("R-012", "R-271")
@pytest.mark.parametrize("by", ["header", "origin"])
@pytest.mark.parametrize("method", [b"GET", b"POST"])
@pytest.mark.parametrize("site", [b"cross-site", b"same-site", b"", b"Same-Origin", b"same-origin, cross-site", b"x"])
def test_call_from_another_site_is_refused(by: str, method: bytes, site: bytes) -> None:
    """`Sec-Fetch-Site` that is not ours is refused though the header is there; a sibling domain counts as another site."""
    seen = {b"x-csrf": b"1", b"sec-fetch-site": site, b"origin": OURS}
    with pytest.raises(CsrfRefused):
        guards.csrf(a_head(seen, method=method), by=by, site=SITE)


@pytest.mark.requirement("R-014", "R-015")
@pytest.mark.parametrize("by", ["header", "origin"])
@pytest.mark.parametrize(
    "origin",
    [
        b"null",
        b"",
        b"https://evil.example.com",
        b"https://evil.app.example.com",
        b"https://app.example.com.evil.net",
        b"https://evilapp.example.com",
        b"http://app.example.com",
        b"https://app.example.com:8443",
        b"https://app.example.com/",
        b"app.example.com",
        b"https://APP.example.com",
        b"https://app.example.com https://evil.net",
    ],
)
def test_call_from_another_origin_is_refused(by: str, origin: bytes) -> None:
    """Siblings, look-alikes, other schemes and ports, `null`: refused, header or not."""
    for extra in ({}, {b"sec-fetch-site": b"same-origin"}):
        head = a_head({b"x-csrf": b"1", b"origin": origin, **extra}, method=b"POST")
        with pytest.raises(CsrfRefused):
            guards.csrf(head, by=by, site=SITE)


@pytest.mark.requirement("R-013", "R-271")
@pytest.mark.parametrize(
    "proof",
    [
        {},
        {b"sec-fetch-site": b"same-origin"},
        {b"origin": OURS},
        {b"sec-fetch-site": b"same-origin", b"origin": OURS},
    ],
)
def test_call_of_our_own_pages_passes(proof: dict[bytes, bytes]) -> None:
    """With the header, and nothing said against it, a call passes; old clients send no Sec-Fetch fields."""
    guards.csrf(a_head({b"x-csrf": b"1", **proof}, method=b"POST"), by="header", site=SITE)


@pytest.mark.requirement("R-012")
@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"DELETE"])
def test_without_the_header_an_unsafe_call_needs_the_browsers_word(method: bytes) -> None:
    """`csrf: origin`: an unsafe call that says nothing about where it comes from is refused."""
    with pytest.raises(CsrfRefused):
        guards.csrf(a_head({}, method=method), by="origin", site=SITE)
    with pytest.raises(CsrfRefused):
        guards.csrf(a_head({b"sec-fetch-site": b"none"}, method=method), by="origin", site=SITE)
    guards.csrf(a_head({b"sec-fetch-site": b"same-origin"}, method=method), by="origin", site=SITE)
    guards.csrf(a_head({b"origin": OURS}, method=method), by="origin", site=SITE)


@pytest.mark.requirement("R-255")
@pytest.mark.parametrize(
    "seen",
    [
        {},
        {b"origin": b"null"},
        {b"origin": b"https://evil.example.com"},
        {b"origin": OURS, b"sec-fetch-site": b"cross-site"},
        {b"sec-fetch-site": b"same-origin"},
        {b"x-csrf": b"1"},
    ],
)
def test_websocket_from_elsewhere_is_refused(seen: dict[bytes, bytes]) -> None:
    """A handshake without our own `Origin` is refused."""
    with pytest.raises(CsrfRefused):
        guards.websocket_origin(a_head(seen), site=SITE)
    guards.websocket_origin(a_head({b"origin": OURS}), site=SITE)


@pytest.mark.requirement("R-041")
@pytest.mark.parametrize(
    "dest", [b"iframe", b"frame", b"embed", b"object", b"fencedframe", b"empty", b"image", b"script"]
)
def test_sign_in_starts_in_the_whole_window_only(dest: bytes) -> None:
    """Frames, fetches and subresources cannot start a sign-in."""
    with pytest.raises(CsrfRefused):
        guards.top_level(a_head({b"sec-fetch-dest": dest}))
    guards.top_level(a_head({b"sec-fetch-dest": b"document"}))
    guards.top_level(a_head({}))


@pytest.mark.requirement("R-041", "R-300")
@pytest.mark.parametrize("dest", [b"iframe", b"frame", b"embed", b"object", b"fencedframe"])
def test_no_frame_signs_in(dest: bytes) -> None:
    """A navigation of a frame of our own page is refused like any other frame's."""
    with pytest.raises(CsrfRefused):
        guards.top_level(
            a_head({b"sec-fetch-dest": dest, b"sec-fetch-mode": b"navigate", b"sec-fetch-site": b"same-origin"})
        )


@pytest.mark.requirement("R-300")
@pytest.mark.parametrize("fields", BY_SERVICE_WORKERS)
def test_a_service_worker_may_pass_the_sign_in_on(fields: dict[bytes, bytes]) -> None:
    """A page load that a service worker repeats is one, though its destination is empty."""
    guards.top_level(a_head(fields))


# --- where to come back to --------------------------------------------------------------------------------------------

EVIL = [
    "",
    "evil",
    "http://evil.example",
    "https://evil.example/",
    "https:evil.example",
    "http:/evil.example",
    "https:///evil.example",
    "javascript:alert(1)",
    "data:text/html,x",
    "//evil.example",
    "///evil.example",
    "////evil.example/",
    "/\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "/\r/evil.example",
    "/\x0b/evil.example",
    "/\x0c/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/ /evil.example",
    "/\x00/evil.example",
    "/\x7f/evil.example",
    "/\x85/evil.example",
    "/\u2028/evil.example",
    "/\u3000/evil.example",
    "/\u2215evil.example",
    "\uff0f\uff0fevil.example",
    "/%09/evil.example",
    "/%0a/evil.example",
    "/%0D/evil.example",
    "/%0d%0aSet-Cookie:x=y",
    "/%5cevil.example",
    "/%5C/evil.example",
    "/%00",
    "/./evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/a/..//evil.example",
    "/a/../../evil.example",
    "/%2e//evil.example",
    "/%2E%2e//evil.example",
    "/.%2e/evil.example",
    "/./\\evil.example",
    "/a\\b",
    "//[",
    "//[evil",
    "//[::1",
    "http://[",
    "//evil.example:port/",
    "//\uff3b",
    "@evil.example",
    ":evil",
    "?return_to=x",
    "#x",
    "/" + "a" * MAX_LOCAL_PATH,
]


@pytest.mark.requirement("R-064")
@pytest.mark.parametrize("value", EVIL)
def test_what_may_lead_elsewhere_is_refused(value: str) -> None:
    """Everything that a browser or a parser may read as another origin, or that has no single meaning, is refused."""
    with pytest.raises(MalformedRequest):
        local_path(value)


@pytest.mark.requirement("R-064")
@pytest.mark.parametrize(
    "value",
    [
        "/",
        "/orders",
        "/orders/7?tab=items&x=%20y#details",
        "/a%2Fb",
        "/search?q=http://example.com/",
        "/search?q=a//b",
        "/a//b",
        "/.well-known/x",
        "/...",
        "/a..b/.c",
        "/%E2%82%AC",
        "/a:b@c",
        "/?next=/../x",
        "/a;b=1,2",
    ],
)
def test_honest_paths_come_back_unchanged(value: str) -> None:
    """A path of ours, its query and its fragment are taken as they are."""
    assert local_path(value) == value


def browsers_origin(value: str) -> tuple[str, str]:
    """Scheme and host that a browser goes to for this Location, by the WHATWG's rules: controls dropped, `\\` is `/`."""
    stripped = value.strip("".join(map(chr, range(0x21)))).replace("\t", "").replace("\n", "").replace("\r", "")
    target = urlsplit(urljoin(f"{ORIGIN}/bff/callback/corp", stripped.replace("\\", "/")))
    return target.scheme, target.netloc


PIECES = st.sampled_from(
    [
        *"/\\.%:@?#;[]&=~ \t\n\r\x00",
        "evil.example",
        "http:",
        "//",
        "%2f",
        "%5c",
        "%09",
        "%2e",
        "..",
        "a",
        "é",
        "\u2215",
        "\uff0f",
    ]
)


@pytest.mark.requirement("R-064")
@given(
    st.one_of(st.lists(PIECES, max_size=12).map("".join), st.lists(PIECES, max_size=12).map(lambda p: "/" + "".join(p)))
)
def test_what_is_accepted_stays_here(value: str) -> None:
    """What is accepted leads to our own origin by every reading; anything else raises MalformedRequest and no other error."""
    try:
        accepted = local_path(value)
    except MalformedRequest:
        return
    assert unquote(accepted) == unquote(value)
    assert browsers_origin(accepted) == ("https", "app.example.com")
    assert urlsplit(urljoin(f"{ORIGIN}/", accepted)).netloc == "app.example.com"
    assert accepted.isascii()
    assert accepted.isprintable()


@pytest.mark.requirement("R-064")
@given(st.text(max_size=60))
def test_no_text_raises_anything_else(value: str) -> None:
    """Any text is accepted or MalformedRequest."""
    try:
        local_path(value)
    except MalformedRequest:
        return
    assert browsers_origin(value) == ("https", "app.example.com")


# --- the host ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-239")
@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "a/b?c#d",
        "a@b",
        "app.example.com@evil",
        "app.example.com/",
        "app.example.com, evil",
        "app.example.com evil",
        "app.example.com:x",
        "app.example.com:",
        "[::1",
        "app.example.com\\evil",
        "app.example.com%2eevil",
        "\u00e4pp.example.com",
    ],
)
@pytest.mark.parametrize("path", ["/bff/user", "/api/orders", "/app/", "/open"])
async def test_host_that_is_none_is_malformed(host: str | None, path: str) -> None:
    """A missing or impossible Host is 400 on every kind of path."""
    async with asgi_gateway() as world:
        answer = await world.ask(path, FETCH, host=host)
        assert answer.status == 400


@pytest.mark.requirement("R-239", "R-258")
@pytest.mark.parametrize(
    "host",
    ["evil.example", "app.example.com.evil", "evil.app.example.com", "127.0.0.1", "[::1]", "app.example.com:8443"],
)
@pytest.mark.parametrize("path", ["/bff/user", "/bff/login", "/api/orders", "/app/", "/open"])
async def test_other_host_is_misdirected(host: str, path: str) -> None:
    """A host that is not ours is 421 everywhere, and what X-Forwarded-Host says changes nothing."""
    async with asgi_gateway() as world:
        answer = await world.ask(path, {**FETCH, "x-forwarded-host": "app.example.com"}, host=host)
        assert answer.status == 421
        assert host not in answer.body.decode()


@pytest.mark.requirement("R-239")
async def test_host_is_compared_without_case_and_a_trusted_proxy_may_name_another() -> None:
    """Host names have no case; a proxy that the operator trusts may pass on what it likes, an untrusted peer may not."""
    async with asgi_gateway(trusted_proxies=["10.0.0.0/8"]) as world:
        assert (await world.ask("/bff/user", FETCH, host="APP.Example.com")).status == 200
        assert (await world.ask("/bff/user", FETCH, host="internal:8080", client="10.1.2.3")).status == 200
        assert (await world.ask("/bff/user", FETCH, host="internal:8080", client="192.0.2.7")).status == 421


@pytest.mark.requirement("R-310")
@pytest.mark.parametrize(
    ("public_url", "host", "status"),
    [
        ("https://app.example.com", "app.example.com:443", 200),
        ("https://app.example.com", "app.example.com:80", 200),
        ("https://app.example.com", "App.Example.com:443", 200),
        ("https://[2001:db8::7]", "[2001:db8::7]:443", 200),
        ("http://localhost", "localhost:80", 200),
        ("https://app.example.com", "app.example.com:4430", 421),
        ("https://app.example.com", "evil.example:443", 421),
        ("https://app.example.com:8443", "app.example.com:443", 421),
        ("https://app.example.com:8443", "app.example.com", 421),
        ("http://localhost:8080", "localhost:80", 421),
    ],
)
async def test_a_default_port_is_no_other_host(public_url: str, host: str, status: int) -> None:
    """nginx's `$host:$server_port` is our host where `public_url` has no port; another port is another host."""
    async with asgi_gateway(public_url=public_url) as world:
        assert (await world.ask("/bff/user", FETCH, host=host)).status == status


@pytest.mark.requirement("R-310")
async def test_the_log_names_both_hosts_of_a_misdirected_request() -> None:
    """An operator sees which host the proxy passed on, and which one it has to be."""
    async with asgi_gateway() as world:
        with capture_logs() as logs:
            await world.ask("/bff/user", FETCH, host="internal:8080")
    (entry,) = [entry for entry in logs if entry["event"] == "request.refused"]
    assert (entry["host"], entry["public_host"]) == ("internal:8080", "app.example.com")


@pytest.mark.requirement("R-239")
async def test_two_hosts_are_malformed() -> None:
    """Two Host lines have no single meaning, even equal ones."""
    async with asgi_gateway() as world:
        twice = [("host", "app.example.com"), ("host", "app.example.com"), *FETCH.items()]
        assert (await world.ask("/bff/user", twice, host=None)).status == 400


# --- the session ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-183", "R-188")
async def test_session_of_a_cookie() -> None:
    """A cookie that we signed for a living session opens it; a dead session, a forged or an unsigned cookie opens none."""
    async with asgi_gateway() as world:
        session, headers = await world.session()
        cookie = headers["cookie"]
        for field, found in [
            (cookie, True),
            (f"x=1; {cookie}", True),
            (cookie[:-2], False),
            (cookie.replace(".", ""), False),
            (world.cookie(), False),
            (f"{cookie}; {world.cookie()}", False),
            (f"{cookie}; {cookie}", False),
        ]:
            live = await guards.session(world.app.gateway, a_head({b"cookie": field.encode()}), touch=True)
            assert (live is not None) is found, field
        await world.app.process.store.delete(session.key)
        assert await guards.session(world.app.gateway, a_head({b"cookie": cookie.encode()}), touch=True) is None


@pytest.mark.requirement("R-187", "R-188")
@pytest.mark.parametrize(
    "garbage", ["", "=", ";", "__Host-Http-bff", "__Host-Http-bff=", "x" * 8192, "\xff\xfe", "a=b;=c"]
)
async def test_garbage_in_the_cookie_field_is_no_session_and_no_error(garbage: str) -> None:
    """No Cookie field makes an error: `/user` answers that no user is signed in."""
    async with asgi_gateway() as world:
        answer = await world.ask("/bff/user", {**FETCH, "cookie": garbage})
        assert answer.status == 200
        assert answer.json()["authenticated"] is False


@pytest.mark.requirement("R-188", "R-186")
async def test_dead_cookie_is_cleared() -> None:
    """A cookie that opens nothing is removed when the page asks who is signed in."""
    async with asgi_gateway() as world:
        answer = await world.ask("/bff/user", {**FETCH, "cookie": world.cookie()})
        assert answer.field("set-cookie").startswith("__Host-Http-bff=; ")
        assert "Max-Age=0" in answer.field("set-cookie")
        assert (await world.ask("/bff/user", FETCH)).all("set-cookie") == []


@pytest.mark.requirement("R-182", "R-141")
async def test_touching_and_not_touching() -> None:
    """A call moves the idle deadline, a look with `?touch=0` does not."""
    async with asgi_gateway(session={"keys": ["Zk3vQ9xLw2Rb7TnYc5HsJ8dMfAe4GpUq"], "local_copy": "off"}) as world:
        _, headers = await world.session()
        for expected in (1800, 1500, 1200):
            answer = await world.ask("/bff/user", {**FETCH, **headers}, query="touch=0")
            assert answer.json()["session"]["idle_expires_in"] == expected
            world.clock.advance(300)
        answer = await world.ask("/bff/user", {**FETCH, **headers})
        assert answer.json()["session"]["idle_expires_in"] == 1800
        world.clock.advance(1800)
        assert not (await world.ask("/bff/user", {**FETCH, **headers})).json()["authenticated"]


@pytest.mark.requirement("R-182")
async def test_a_page_that_only_looks_keeps_no_call_from_counting() -> None:
    """A call right after a look with `?touch=0` moves the idle deadline, though the session was read a moment ago."""
    async with asgi_gateway() as world:
        _, headers = await world.session()
        world.clock.advance(600)
        for query, left in (("touch=0", 1200), ("", 1800), ("touch=0", 1800)):
            answer = await world.ask("/bff/user", {**FETCH, **headers}, query=query)
            assert answer.json()["session"]["idle_expires_in"] == left


# --- the recipes keep the guards --------------------------------------------------------------------------------------


@pytest.mark.requirement("R-012", "R-013", "R-021", "R-151", "R-167", "R-267", "R-268")
@pytest.mark.parametrize(
    ("path", "method", "headers", "status"),
    [
        ("/api/x", "GET", {}, 403),
        ("/api/x", "GET", FETCH, 401),
        ("/api/x", "POST", FETCH, 401),
        ("/api/x", "GET", {**FETCH, "authorization": "Bearer stolen"}, 401),
        ("/api/x", "GET", NAVIGATION, 403),
        ("/api/x", "HEAD", NAVIGATION, 403),
        ("/api/x", "GET", FROM_ELSEWHERE, 403),
        ("/pages/x", "GET", NAVIGATION, 303),
        ("/pages/x", "HEAD", NAVIGATION, 303),
        ("/pages/x", "GET", TYPED, 303),
        ("/pages/x", "GET", FROM_ELSEWHERE, 200),
        ("/api/x", "GET", {**FETCH, "sec-fetch-site": "cross-site"}, 403),
        ("/api/x", "OPTIONS", {"origin": "https://evil.example", "access-control-request-method": "PUT"}, 403),
        ("/machine/x", "GET", {}, 403),
        ("/machine/x", "GET", FETCH, 401),
        ("/pages/x", "GET", {"sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"}, 401),
        ("/pages/x", "POST", {}, 403),
        ("/nowhere", "GET", FETCH, 404),
        ("/bff/nowhere", "GET", FETCH, 404),
        ("/bff/user", "GET", {}, 403),
        ("/bff/user", "POST", FETCH, 405),
        ("/bff/logout", "GET", FETCH, 405),
        ("/bff/logout", "POST", {}, 403),
        ("/bff/logout", "POST", {"origin": "https://evil.example"}, 403),
        ("/bff/logout", "POST", FETCH, 200),
        ("/bff/logout", "POST", {"origin": ORIGIN, "sec-fetch-site": "same-origin"}, 303),
        ("/bff/login", "GET", {"sec-fetch-dest": "iframe", "sec-fetch-mode": "navigate"}, 403),
        ("/bff/login", "GET", TYPED, 303),
        ("/bff/login", "POST", TYPED, 400),
        ("/bff/backchannel-logout/corp", "GET", {}, 405),
        ("/bff/callback/corp", "POST", {}, 405),
        ("/bff//login", "GET", TYPED, 404),
        ("/bff/login/", "GET", TYPED, 404),
        ("/bff/%6cogin", "GET", TYPED, 404),
    ],
)
async def test_who_is_let_through(path: str, method: str, headers: dict[str, str], status: int) -> None:
    """Without a session: navigations to sign-in, fetches 401, foreign calls 403, unknown paths 404; never a call to the provider."""
    async with asgi_gateway() as world:
        answer = await world.ask(path, headers, method=method)
        assert answer.status == status
        if status == 401:
            assert answer.field("www-authenticate").startswith("BFF ")
            assert answer.json()["login_url"] == "/bff/login?provider=corp"
        if status == 405:
            assert answer.field("allow")
        if status >= 400:
            is_page = headers.get("sec-fetch-mode") == "navigate"
            shape = "text/html; charset=utf-8" if is_page else "application/problem+json"
            assert answer.field("content-type") == shape
            assert answer.all("set-cookie") == []
            assert answer.all("access-control-allow-origin") == []
        assert world.corp.calls_to("/token") == []


@pytest.mark.requirement("R-064", "R-043")
@pytest.mark.parametrize(
    "value", ["//evil.example", "https://evil.example", "/%5cevil", "//[", "/%E2%82%AC%0a", "%ff", ""]
)
async def test_login_refuses_to_come_back_elsewhere(value: str) -> None:
    """`/login` with a bad `return_to` is 400 and starts nothing."""
    from urllib.parse import quote

    async with asgi_gateway() as world:
        query = "return_to=" + (value if value == "%ff" else quote(value, safe=""))
        answer = await world.ask("/bff/login", TYPED, query=query)
        assert answer.status == 400
        assert world.internet.requests == type(world.internet.requests)()


@pytest.mark.requirement("R-270", "R-157", "R-041")
@pytest.mark.parametrize("path", ["/bff/user", "/bff/login", "/api/x", "/nowhere", "/bff/callback/corp"])
async def test_our_own_answers_are_neither_stored_nor_framed_nor_sniffed(path: str) -> None:
    """HSTS, nosniff, no-store, Referrer-Policy and a CSP that forbids framing are on every answer of our own."""
    async with asgi_gateway() as world:
        answer = await world.ask(path, {**TYPED, "x-csrf": "1"})
        assert answer.field("cache-control") == "no-store"
        assert answer.field("x-content-type-options") == "nosniff"
        assert answer.field("referrer-policy") == "no-referrer"
        assert "frame-ancestors 'none'" in answer.field("content-security-policy")
        assert answer.field("strict-transport-security").startswith("max-age=31536000")


@pytest.mark.requirement("R-276", "R-258")
@pytest.mark.parametrize(
    "headers",
    [
        {"user-agent": "GoogleHC/1.0"},
        {"user-agent": "kube-probe/1.30"},
        {"x-forwarded-uri": "/open"},
        {"x-original-url": "/open"},
        {"x-rewrite-url": "/open"},
        {"x-forwarded-prefix": "/open"},
        {"x-http-method-override": "OPTIONS"},
        {"x-forwarded-for": "127.0.0.1"},
    ],
)
async def test_no_field_opens_a_protected_route(headers: dict[str, str]) -> None:
    """No user agent and no forwarding field gets a request past the session check."""
    async with asgi_gateway() as world:
        assert (await world.ask("/api/x", {**FETCH, **headers})).status == 401
        assert (await world.ask("/api/x", headers)).status == 403


# --- allowed_origins --------------------------------------------------------------------------------------------------

FROM_UI = {b"origin": UI, b"sec-fetch-site": b"same-site", b"x-csrf": b"1"}


@pytest.mark.requirement("R-015")
@pytest.mark.parametrize("by", ["header", "origin"])
@pytest.mark.parametrize("method", [b"GET", b"POST", b"DELETE"])
def test_an_allowed_origin_may_call(by: str, method: bytes) -> None:
    """A page of an origin that is listed passes with the header, also in a browser without fetch metadata."""
    guards.csrf(a_head(FROM_UI, method=method), by=by, site=WIDER)
    guards.csrf(a_head({b"origin": UI, b"x-csrf": b"1"}, method=method), by=by, site=WIDER)


@pytest.mark.requirement("R-015")
@pytest.mark.parametrize(
    "seen",
    [
        {b"sec-fetch-site": b"cross-site"},
        {b"origin": b"https://other.example.com"},
        {b"origin": b"null"},
        {b"origin": b"https://ui.example.com.evil.example"},
        {b"origin": b"http://ui.example.com"},
        {b"origin": b"https://UI.example.com"},
        {b"origin": b"https://ui.example.com:443"},
        {b"origin": None},
        {b"origin": OURS},
        {b"x-csrf": b"2"},
        {b"x-csrf": None},
    ],
)
def test_no_other_origin_of_the_site_may_call(seen: dict[bytes, bytes | None]) -> None:
    """`same-site` without the very origin that is listed is refused, and so is a call without the header."""
    fields = {name: value for name, value in {**FROM_UI, **seen}.items() if value is not None}
    with pytest.raises(CsrfRefused):
        guards.csrf(a_head(fields, method=b"POST"), by="header", site=WIDER)


def test_the_own_origin_passes_as_ever() -> None:
    """A list of others takes nothing from our own pages."""
    fields = {b"origin": OURS, b"sec-fetch-site": b"same-origin", b"x-csrf": b"1"}
    guards.csrf(a_head(fields, method=b"POST"), by="header", site=WIDER)


@pytest.mark.requirement("R-015")
def test_a_websocket_of_an_allowed_origin() -> None:
    """It is opened from the origins that are listed, and from no other of the site."""
    guards.websocket_origin(a_head({b"origin": UI, b"sec-fetch-site": b"same-site"}), site=WIDER)
    guards.websocket_origin(a_head({b"origin": UI}), site=WIDER)
    for seen in ({b"origin": UI, b"sec-fetch-site": b"cross-site"}, {b"origin": OURS, b"sec-fetch-site": b"same-site"}):
        with pytest.raises(CsrfRefused):
            guards.websocket_origin(a_head(seen), site=WIDER)
    with pytest.raises(CsrfRefused):
        guards.websocket_origin(a_head({b"origin": UI}), site=SITE)
