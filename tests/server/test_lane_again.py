"""What the lane keeps of a field section is what the judgements would give again: what they read besides is judged each time."""

from collections.abc import AsyncIterator

import pytest

from bff.proxy.fields import SESSION_COOKIE
from bff.web.gateway import build_gateway
from support.gateway_world import SERVER
from support.raw_browser import RawBrowser, raw_browser
from support.raw_world import RawWorld, raw_world

pytestmark = pytest.mark.skipif(SERVER != "bff", reason="only our own server has a lane")

OFTEN = 3  # the first call fills the copy, the second is remembered, the third goes by it


@pytest.fixture
async def site() -> AsyncIterator[RawWorld]:
    """A gateway with a signed-in user, whose page sends the same fields again and again."""
    async with raw_world() as site:
        yield site


async def statuses(browser: RawBrowser, *requests: bytes) -> list[int]:
    """Of the answers to these, one after the other."""
    found = []
    for request in requests:
        await browser.say(request)
        found.append((await browser.reply()).status)
    return found


async def test_another_method_is_judged_anew(site: RawWorld) -> None:
    """A GET that no page sent (`Sec-Fetch-Site: none`) passes as often as it comes; a POST with the same fields never does."""
    fields = b"Cookie: %b\r\nHost: %b\r\nX-CSRF: 1\r\nSec-Fetch-Site: none\r\n\r\n" % (site.cookie, site.host)
    get, post = (method + b" /pages/x HTTP/1.1\r\n" + fields for method in (b"GET", b"POST"))
    async with site.connect() as browser:
        assert await statuses(browser, *[get] * OFTEN, post, get, post) == [200] * OFTEN + [403, 200, 403]
    assert {request.method for request in site.seen} == {b"GET"}


async def test_a_method_that_the_route_does_not_take_is_refused_each_time() -> None:
    """A route's own list of methods counts for fields that another method has brought through."""
    routes = [{"path": "/api", "upstream": "{raw}", "provider": "corp", "methods": ["GET"]}]
    async with raw_world(routes=routes) as site, site.connect() as browser:
        get, delete = site.request("GET /api/x"), site.request("DELETE /api/x")
        assert await statuses(browser, *[get] * OFTEN, delete, get) == [200] * OFTEN + [405, 200]


async def test_another_route_is_judged_anew(site: RawWorld) -> None:
    """The same fields bring a token to one route, none to another, and a refusal where the path has two meanings."""
    async with site.connect() as browser:
        for _ in range(OFTEN):
            lines = ("GET /api/a", "GET /open/b", "GET /maybe/c", "GET /api/%2e%2e/open", "GET /nowhere")
            assert await statuses(browser, *map(site.request, lines)) == [200, 200, 200, 400, 404]
    carried = {(one.target, len(one.values(b"authorization"))) for one in site.seen}
    assert carried == {(b"/a", 1), (b"/b", 0), (b"/c", 1)}


async def test_the_query_is_judged_each_time(site: RawWorld) -> None:
    """It goes upstream as it came, or not at all."""
    async with site.connect() as browser:
        assert await statuses(browser, *[site.request("GET /api/x?a=%31&b")] * OFTEN) == [200] * OFTEN
        assert await statuses(browser, site.request("GET /api/x?"), site.request(b"GET /api/x?a=\xff")) == [200, 400]
    assert set(site.targets) == {b"/x?a=%31&b", b"/x?"}


async def test_content_of_a_length_that_was_judged_is_content(site: RawWorld) -> None:
    """The same length again and again, then another: each body arrives whole, and is no request of its own."""
    bodies = [b"hello"] * OFTEN + [b"GET /api/y HTTP/1.1\r\n\r\n", b"", b"hello"]
    async with site.connect() as browser:
        sent = [site.request("PUT /api/x", body=body) for body in bodies]
        assert await statuses(browser, *sent) == [200] * len(bodies)
        await browser.say(b"".join(sent))  # pipelined
        assert [(await browser.reply()).status for _ in sent] == [200] * len(bodies)
    assert [request.content for request in site.seen] == bodies * 2
    assert set(site.targets) == {b"/x"}


async def test_content_of_a_get_ends_its_upstream_connection_each_time(site: RawWorld) -> None:
    """An upstream that ignores it would take it for the next request (CL.0, R-367)."""
    async with site.connect() as browser:
        for method in ("GET", "PUT", "GET"):
            assert await statuses(browser, *[site.request(f"{method} /api/x", body=b"hello")] * OFTEN) == [200] * OFTEN
    closes = [one.values(b"connection") for one in site.seen]
    assert closes == [[b"close"]] * OFTEN + [[]] * OFTEN + [[b"close"]] * OFTEN


async def test_a_field_that_varies_has_each_requests_own_value(site: RawWorld) -> None:
    """Of two users whose calls differ in trace and ray only: each value goes up with its call, in its place, and no other time."""
    sent, again = [], OFTEN + 1
    value = (await site.world.signed_in("bob")).cookie(SESSION_COOKIE)
    bob = f"{SESSION_COOKIE}={value}".encode()
    async with site.connect() as browser:
        for number in range(4 * again):
            fields = b"Host: %b\r\nX-CSRF: 1\r\nSec-Fetch-Site: same-origin\r\n" % site.host
            fields += b"Traceparent: T-%d\r\n" % number if number % again else b""
            fields += b"Cookie: %b\r\n" % (site.cookie if number % 2 else bob)
            fields += b"CF-Ray: R-%d\r\nAccept: a\r\n" % number if number % 3 else b"Accept: a\r\n"
            assert await statuses(browser, b"GET /api/%d HTTP/1.1\r\n%b\r\n" % (number, fields)) == [200]
            trace = [(b"traceparent", b"T-%d" % number)] if number % again else []
            ray = [(b"cf-ray", b"R-%d" % number)] if number % 3 else []
            sent.append([*trace, *ray, (b"accept", b"a")])
    names = {b"traceparent", b"cf-ray", b"accept"}
    assert [[field for field in one.fields if field[0] in names] for one in site.seen] == sent
    bearers = [one.values(b"authorization")[0] for one in site.seen]
    assert [len({*bearers[::2]}), len({*bearers[1::2]}), len({*bearers})] == [1, 1, 2]


async def test_another_peer_is_judged_anew() -> None:
    """What a trusted proxy may send is refused from elsewhere, though the fields are the same."""
    async with raw_world(trusted_proxies=["127.0.0.1/32"]) as site:
        fields = b"Cookie: %b\r\nHost: inside.example\r\nX-CSRF: 1\r\nSec-Fetch-Site: same-origin\r\n\r\n" % site.cookie
        request = b"GET /api/x HTTP/1.1\r\n" + fields
        for _ in range(2):
            async with raw_browser(site.port) as proxy, raw_browser(site.port, source="127.0.0.2") as other:
                assert await statuses(proxy, *[request] * OFTEN) == [200] * OFTEN
                assert await statuses(other, *[request] * OFTEN) == [421] * OFTEN
        hops = {one.values(b"x-forwarded-for")[0] for one in site.seen}
    assert hops == {b"127.0.0.1"}


async def test_another_configuration_judges_anew(site: RawWorld) -> None:
    """After a reload the same fields are judged by the new rules of their route."""
    pages = b"GET /pages/x HTTP/1.1\r\nHost: %b\r\nCookie: %b\r\nSec-Fetch-Site: same-origin\r\n\r\n"
    request = pages % (site.host, site.cookie)
    async with site.connect() as browser:
        assert await statuses(browser, *[request] * OFTEN) == [200] * OFTEN
        app, config = site.world.app, site.world.config
        routes = tuple(route.model_copy(update={"csrf": "header"}) for route in config.routes)
        app.replace(build_gateway(config.model_copy(update={"routes": routes}), app.process))
        assert await statuses(browser, *[request] * OFTEN) == [403] * OFTEN


async def test_a_session_that_ended_is_none_the_next_time(site: RawWorld) -> None:
    """The copy is gone with the session, and what is kept of the fields opens nothing."""
    async with site.connect() as browser:
        assert await statuses(browser, *[site.request("GET /api/x")] * OFTEN) == [200] * OFTEN
        out = site.request("POST /bff/logout", body=b"")
        assert (await statuses(browser, out, *[site.request("GET /api/x")] * OFTEN))[1:] == [401] * OFTEN
    assert len(site.seen) == OFTEN
