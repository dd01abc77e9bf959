"""One id for one request: in the answer, at the upstream, in a problem and on a page; and the trace that goes through (R-364)."""

import json
import re
from collections.abc import AsyncIterator

import pytest

from support.gateway_world import SERVER
from support.raw_browser import Reply
from support.raw_world import RawWorld, raw_world
from support.scripted_upstream import response
from support.switched_lane import switched

TRUSTED = {"trusted_proxies": ["127.0.0.0/8"]}
GIVEN = b"X-Request-Id: from-the-proxy.1"
PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


@pytest.fixture(params=["on", "off"])
async def site(request: pytest.FixtureRequest) -> AsyncIterator[RawWorld]:
    """A gateway behind a trusted proxy, with the lane and without, and an idle connection to its upstream."""
    with switched(request.param):
        async with raw_world(**TRUSTED) as running:
            await running.ask(running.request("GET /api/first"))
            yield running.forget()


def the_id(reply: Reply) -> str:
    """The one id that the answer names."""
    (found,) = reply.values("x-request-id")
    return found


@pytest.mark.requirement("R-364")
@pytest.mark.parametrize("path", ["/api/x", "/open/x", "/maybe/x"])
async def test_a_proxys_id_goes_through(site: RawWorld, path: str) -> None:
    """What a trusted proxy calls a request is what the upstream and the answer call it."""
    reply = await site.ask(site.request(f"GET {path}", GIVEN))
    assert (reply.status, the_id(reply)) == (200, "from-the-proxy.1")
    assert site.seen[0].values(b"x-request-id") == [b"from-the-proxy.1"]


@pytest.mark.requirement("R-364")
async def test_an_id_is_made_where_there_is_none(site: RawWorld) -> None:
    """The same at the upstream and in the answer, another one for each request."""
    async with site.connect() as browser:
        await browser.say(site.request("GET /api/x") * 3)
        ids = [the_id(await browser.reply()) for _ in range(3)]
    assert len(set(ids)) == 3
    assert [request.values(b"x-request-id") for request in site.seen] == [[one.encode()] for one in ids]
    assert all(re.fullmatch("[0-9a-f]{16}", one) for one in ids)


@pytest.mark.requirement("R-364")
@pytest.mark.parametrize("framing", ["Content-Length: 2", "Transfer-Encoding: chunked"])
async def test_an_upstreams_own_id_does_not_reach_the_browser(site: RawWorld, framing: str) -> None:
    """An answer has one id, which is also in the log: ours."""
    body = "ok" if "Length" in framing else "2\r\nok\r\n0\r\n\r\n"
    site.answer_next(f"HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\n{framing}\r\n\r\n{body}".encode())
    assert the_id(await site.ask(site.request("GET /api/x", GIVEN))) == "from-the-proxy.1"


@pytest.mark.requirement("R-364")
async def test_a_problem_names_it(site: RawWorld) -> None:
    """Refused by the gateway: field and content name the same id."""
    refused = await site.ask(site.request("GET /api/x", GIVEN, signed_in=False))
    assert refused.status == 403
    assert (json.loads(refused.body)["request_id"], the_id(refused)) == ("from-the-proxy.1", "from-the-proxy.1")


@pytest.mark.requirement("R-364")
@pytest.mark.skipif(SERVER != "bff", reason="another server refuses what is malformed by itself")
async def test_a_problem_of_the_server_names_it(site: RawWorld) -> None:
    """Refused before there is a head: field and content name the same id."""
    malformed = await site.ask(site.request("GET /api/a b", GIVEN))
    assert malformed.status == 400
    assert json.loads(malformed.body)["request_id"] == the_id(malformed)


@pytest.mark.requirement("R-364")
async def test_a_page_names_it(site: RawWorld) -> None:
    """What a person reads out to the support is what the log has."""
    navigation = (b"Sec-Fetch-Mode: navigate", b"Sec-Fetch-Dest: document", b"Accept: text/html")
    page = await site.ask(site.request("GET /nowhere", GIVEN, *navigation))
    assert (page.status, the_id(page)) == (404, "from-the-proxy.1")
    assert b"from-the-proxy.1" in page.body


@pytest.mark.requirement("R-364")
@pytest.mark.parametrize("path", ["/bff/user", "/bff/login", "/bff/nothing"])
async def test_our_own_endpoints_name_it(site: RawWorld, path: str) -> None:
    """Every answer has an id."""
    assert the_id(await site.ask(site.request(f"GET {path}", GIVEN))) == "from-the-proxy.1"


@pytest.mark.requirement("R-364")
@pytest.mark.parametrize("lane", ["on", "off"])
async def test_a_browsers_id_goes_nowhere(lane: str) -> None:
    """A peer that is no trusted proxy names no request, in no spelling."""
    with switched(lane):
        async with raw_world() as site:
            for field in (b"X-Request-Id: mine", b"x-request-id: mine\r\nX-REQUEST-ID: mine", b"X_Request_Id: mine"):
                reply = await site.forget().ask(site.request("GET /api/x", field))
                assert "mine" not in the_id(reply)
                assert site.seen[0].values(b"x-request-id") == [the_id(reply).encode()]
                assert not site.seen[0].values(b"x_request_id")


@pytest.mark.requirement("R-364")
@pytest.mark.parametrize("lane", ["on", "off"])
@pytest.mark.parametrize("trusted", [True, False])
async def test_a_trace_passes(lane: str, trusted: bool) -> None:
    """`traceparent` and `tracestate` carry no authority, and a trace begins in the page: they pass from every peer."""
    with switched(lane):
        async with raw_world(**(TRUSTED if trusted else {})) as site:
            await site.ask(site.request("GET /api/x", b"traceparent: " + PARENT, b"tracestate: vendor=1"))
            assert site.seen[0].values(b"traceparent") == [PARENT]
            assert site.seen[0].values(b"tracestate") == [b"vendor=1"]


@pytest.mark.requirement("R-364")
@pytest.mark.skipif(SERVER != "bff", reason="another server answers the handshake by itself")
async def test_a_handshake_has_an_id_too() -> None:
    """A refused one, and one that the upstream refuses."""
    upgrade = (
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )
    routes = [{"path": "/ws", "upstream": "{raw}", "token": "none", "websocket": True}]
    async with raw_world(routes=routes, signed_in=False, **TRUSTED) as site:
        elsewhere = await site.ask(site.request("GET /ws", GIVEN, *upgrade, b"Origin: https://evil.example"))
        assert (elsewhere.status, the_id(elsewhere)) == (403, "from-the-proxy.1")
        site.answer_next(response(b"no", status="404 Not Found"))
        refused = await site.ask(site.request("GET /ws", GIVEN, *upgrade, b"Origin: http://" + site.host))
        assert (refused.status, the_id(refused)) == (404, "from-the-proxy.1")
        assert site.seen[0].values(b"x-request-id") == [b"from-the-proxy.1"]
