"""The WebSocket handshake as bytes: judged before it is answered, and nothing of it becomes anything else (RFC 6455 section 4)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from support.dpop_api import read_proof
from support.raw_browser import RawBrowser
from support.raw_world import RawWorld, raw_world
from support.scripted_upstream import (
    Conversation,
    Received,
    Script,
    closes_without_a_byte,
    response,
    scripted_upstream,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # to the key below (RFC 6455 section 1.3)
UPGRADE = (
    b"Connection: Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)
SEEN: list[Received] = []


async def accepting(it: Conversation) -> None:
    """Takes every handshake, echoes nothing, and waits for the end."""
    import base64
    import hashlib

    request = await it.head()
    SEEN.append(request)
    key = request.values(b"sec-websocket-key")[0]
    answer = base64.b64encode(
        hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest()
    )
    await it.send(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + answer + b"\r\nSet-Cookie: __Host-Http-bff=evil\r\n\r\n"
    )
    await it.send(b"\x81\x05hello")
    await it.reader.read(1)  # a close frame, or the end: either way it leaves at once


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway() -> AsyncIterator[RawWorld]:
    """A gateway with WebSocket routes."""
    routes = [
        {"path": "/ws", "upstream": "{raw}", "provider": "corp", "websocket": True},
        {"path": "/openws", "upstream": "{raw}", "token": "none", "websocket": True},
        {"path": "/plain", "upstream": "{raw}", "provider": "corp"},
    ]
    async with raw_world(accepting, routes=routes) as running:
        yield running


@pytest.fixture
def site(gateway: RawWorld) -> RawWorld:
    """The same, with nothing seen yet."""
    SEEN.clear()
    return gateway


def origin(site: RawWorld) -> bytes:
    """Our own."""
    return b"Origin: http://" + site.host


async def greeted(browser: RawBrowser) -> None:
    """The handshake is accepted and the upstream's first message arrives."""
    status, fields = await browser.head()
    assert status == 101
    assert (b"sec-websocket-accept", ACCEPT) in fields
    assert not [name for name, _ in fields if name == b"set-cookie"]
    assert await browser.wire.exactly(7) == b"\x81\x05hello"


@pytest.mark.requirement("R-255", "R-256")
@pytest.mark.parametrize("path", ["/ws/x", "/openws/x"])
async def test_our_own_page_gets_through(site: RawWorld, path: str) -> None:
    """101 with the right answer, the token for the upstream where the route has one, and no cookie of the upstream's for us."""
    async with site.connect() as browser:
        await browser.say(site.request(f"GET {path}", *UPGRADE, origin(site)))
        await greeted(browser)
    (seen,) = SEEN
    assert len(seen.values(b"authorization")) == (1 if path == "/ws/x" else 0)
    assert seen.values(b"cookie") == []
    assert seen.target == b"/x"


@pytest.mark.requirement("R-255")
@pytest.mark.parametrize(
    "origins",
    [
        (),
        (b"Origin: null",),
        (b"Origin: https://evil.example",),
        (b"Origin: http://HOST.evil.example",),
        (b"Origin: https://HOST",),
        (b"Origin: http://localhost",),
        (b"Origin: HTTP://HOST",),
        (b"Origin: http://HOST/",),
        (b"Origin: http://HOST", b"Origin: https://evil.example"),
        (b"Origin: http://HOST, https://evil.example",),
    ],
)
@pytest.mark.parametrize("path", ["/ws/x", "/openws/x"])
async def test_another_origin_is_refused_before_the_upgrade(
    site: RawWorld, path: str, origins: tuple[bytes, ...]
) -> None:
    """Although the cookie is there: an answer that is no 101, and no upstream hears of it (cross-site WebSocket hijacking)."""
    told = [line.replace(b"HOST", site.host) for line in origins]
    reply = await site.ask(site.request(f"GET {path}", *UPGRADE, *told))
    assert reply.status in {400, 403}
    assert SEEN == []


@pytest.mark.requirement("R-255", "R-275")
async def test_a_refused_handshake_is_no_error_of_ours(site: RawWorld, caplog: pytest.LogCaptureFixture) -> None:
    """Any peer can be refused as often as it likes: the server under us has nothing to say about it."""
    reply = await site.ask(site.request("GET /ws/x", *UPGRADE, b"Origin: https://evil.example"))
    assert reply.status == 403
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.mark.requirement("R-255")
async def test_a_stranger_is_refused_before_the_upgrade(site: RawWorld) -> None:
    """401 where a session is needed; a made-up cookie is none."""
    for cookie in ((), (b"Cookie: __Host-Http-bff=made.up",)):
        reply = await site.ask(site.request("GET /ws/x", *UPGRADE, origin(site), *cookie, signed_in=False))
        assert reply.status == 401
    assert SEEN == []


@pytest.mark.requirement("R-254", "R-255")
async def test_a_route_without_websockets_takes_none(site: RawWorld) -> None:
    """404, and the handshake is not forwarded as a request either."""
    for path in ("/plain/x", "/nowhere", "/bff/user"):
        reply = await site.ask(site.request(f"GET {path}", *UPGRADE, origin(site)))
        assert reply.status in {403, 404}
    assert SEEN == []


@pytest.mark.requirement("R-240", "R-239")
async def test_a_handshake_is_judged_by_its_target_and_host(site: RawWorld) -> None:
    """Absolute-form with another authority, a foreign Host, two of them, a fragment, dot segments: refused like any request."""
    ours = site.host
    for line, status in (
        (b"GET http://evil.example/ws/x", {421}),
        (b"GET /ws/x#y", {400}),
        (b"GET /openws/../ws/x", {400}),
        (b"GET /openws/%2e%2e/ws/x", {400}),
    ):
        assert (await site.ask(site.request(line, *UPGRADE, origin(site)))).status in status
    head = b"GET /ws/x HTTP/1.1\r\nHost: evil.example\r\n" + b"\r\n".join(
        [*UPGRADE, origin(site), b"Cookie: " + site.cookie]
    )
    assert (await site.ask(head + b"\r\n\r\n")).status == 421
    async with site.connect() as browser:
        await browser.say(site.request(b"GET http://" + ours + b"/ws/x", *UPGRADE, origin(site)))
        await greeted(browser)
    assert [request.target for request in SEEN] == [b"/x"]


@pytest.mark.requirement("R-254", "R-235")
@pytest.mark.parametrize("framing", [b"Content-Length: 30", b"Transfer-Encoding: chunked"])
async def test_a_handshake_has_no_content(site: RawWorld, framing: bytes) -> None:
    """What could hide a request, or frames, is refused and closed."""
    async with site.connect() as browser:
        await browser.say(
            site.request("GET /ws/x", *UPGRADE, origin(site), framing) + b"GET /openws/canary HTTP/1.1\r\n\r\n"
        )
        reply = await browser.reply()
        assert reply.status == 400
        assert await browser.rest() == b""
    assert SEEN == []


@pytest.mark.requirement("R-254")
@pytest.mark.parametrize(
    ("line", "fields"),
    [
        ("POST /ws/x", UPGRADE),
        ("GET /ws/x", tuple(line for line in UPGRADE if b"Key" not in line)),
        ("GET /ws/x", tuple(line.replace(b"13", b"8") for line in UPGRADE)),
        ("GET /ws/x", (*UPGRADE[:3], b"Sec-WebSocket-Key: short")),
    ],
    ids=["POST", "no key", "version 8", "short key"],
)
async def test_half_a_handshake_is_none(site: RawWorld, line: str, fields: tuple[bytes, ...]) -> None:
    """Refused by the server before anybody else looks at it."""
    reply = await site.ask(site.request(line, *fields, origin(site)))
    assert 400 <= reply.status < 500
    assert SEEN == []


@pytest.mark.requirement("R-254")
async def test_a_handshake_behind_a_request_is_answered_after_it(site: RawWorld) -> None:
    """An answer never lands in a WebSocket: messages are read one at a time, so the handshake has its turn when all is answered.

    The server before this one refused it with 400, since it read ahead of its answers.
    """
    async with site.connect() as browser:
        await browser.say(site.request("GET /bff/user") + site.request("GET /ws/x", *UPGRADE, origin(site)))
        assert (await browser.reply()).status == 200
        await greeted(browser)
    assert len(SEEN) == 1


@pytest.mark.requirement("R-254")
async def test_http_1_0_cannot_upgrade(site: RawWorld) -> None:
    """An HTTP/1.0 request is answered as if it had not asked (RFC 9110 section 7.8)."""
    async with site.connect() as browser:
        await browser.say(site.request("GET /bff/user", *UPGRADE, origin(site), version="1.0"))
        reply = await browser.reply()
        assert (reply.status, reply.closes) == (200, True)
        assert await browser.rest() == b""
    assert SEEN == []


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize("field", [b"X: " + b"y" * 70_000, b"\r\n".join([b"X: y"] * 200)], ids=["long", "many"])
async def test_a_handshake_that_is_too_large_is_told_so(site: RawWorld, field: bytes) -> None:
    """431, never a connection that just hangs. A handshake has the limits of any other request: it is parsed once."""
    reply = await site.ask(site.request("GET /ws/x", *UPGRADE, origin(site), field))
    assert (reply.status, reply.closes) == (431, True)
    assert SEEN == []


@pytest.mark.requirement("R-256")
async def test_a_browser_that_leaves_ends_the_upstreams_websocket(site: RawWorld) -> None:
    """Neither connection outlives the other."""
    async with site.connect() as browser:
        await browser.say(site.request("GET /ws/x", *UPGRADE, origin(site)))
        await greeted(browser)
        browser.leave()
    async with asyncio.timeout(15):
        while site.upstream.open:
            await asyncio.sleep(0.01)


@pytest.mark.requirement("R-256", "R-279")
async def test_an_open_websocket_is_a_connection_to_the_upstream() -> None:
    """It holds one of the route's `max_connections`, and whoever comes when all are held gets the 503 of a busy upstream."""
    routes = [{"path": "/ws", "upstream": "{raw}", "token": "none", "websocket": True, "max_connections": 1}]
    async with raw_world(accepting, routes=routes, signed_in=False) as site:
        handshake = site.request("GET /ws/x", *UPGRADE, origin(site))
        async with site.connect() as browser:
            await browser.say(handshake)
            await greeted(browser)
            reply = await site.ask(handshake)
            assert (reply.status, reply.values("retry-after")) == (503, ["5"])
            assert b"urn:bff:problem:upstream-busy" in reply.body
            assert len(site.upstream.conversations) == 1
            browser.leave()
            async with asyncio.timeout(15):
                while site.upstream.open:
                    await asyncio.sleep(0.01)
        async with site.connect() as browser:
            await browser.say(handshake)
            await greeted(browser)


@pytest.mark.requirement("R-261")
async def test_a_long_field_of_a_handshake_passes(site: RawWorld) -> None:
    """The WebSocket library before took 8 KiB a line; within `limits.max_head` there is no such limit any more."""
    async with site.connect() as browser:
        await browser.say(site.request("GET /ws/x", *UPGRADE, origin(site), b"X: " + b"y" * 9000))
        await greeted(browser)
    assert SEEN[0].values(b"x") == [b"y" * 9000]


@pytest.mark.requirement("R-254")
@pytest.mark.parametrize("version", [(), (b"Sec-WebSocket-Version: 8",), (b"Sec-WebSocket-Version: 13, 8",)])
async def test_another_version_is_told_which_one_is_spoken(site: RawWorld, version: tuple[bytes, ...]) -> None:
    """426 with `Sec-WebSocket-Version: 13` (RFC 6455 section 4.4)."""
    reply = await site.ask(site.request("GET /ws/x", *UPGRADE[:2], *version, UPGRADE[3], origin(site)))
    assert (reply.status, reply.values("sec-websocket-version"), reply.values("upgrade")) == (
        426,
        ["13"],
        ["websocket"],
    )
    assert b"urn:bff:problem:websocket-version" in reply.body
    assert SEEN == []


@pytest.mark.requirement("R-254", "R-256")
@pytest.mark.parametrize(
    "field",
    [
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        b"Sec-WebSocket-Protocol: a b",
        b"Sec-WebSocket-Protocol: ",
        b"Sec-WebSocket-Protocol: , ,",
        b"Sec-WebSocket-Extensions: permessage-deflate; =",
        b'Sec-WebSocket-Extensions: x; a="b',
    ],
)
async def test_an_offer_that_is_none_is_refused(site: RawWorld, field: bytes) -> None:
    """A second key, subprotocols that are no tokens, extensions that do not parse: 400, and no upstream hears of it."""
    reply = await site.ask(site.request("GET /ws/x", *UPGRADE, origin(site), field))
    assert (reply.status, reply.closes) == (400, True)
    assert SEEN == []


@pytest.mark.requirement("R-254")
@pytest.mark.parametrize(
    "lines",
    [
        (b"Upgrade: h2c, websocket",),
        (b"Upgrade: WebSocket , h2c",),
        (b"Upgrade: ,websocket,",),
        (b"Upgrade: websocket", b"Upgrade: h2c"),
        (b"Upgrade: h2c", b"Upgrade: foo/1, websocket"),
    ],
)
async def test_websocket_may_be_offered_among_other_protocols(site: RawWorld, lines: tuple[bytes, ...]) -> None:
    """RFC 6455 section 4.2.1: the field contains the value. The API is offered nothing else, and nothing else is answered."""
    async with site.connect() as browser:
        await browser.say(site.request("GET /ws/x", UPGRADE[0], *lines, *UPGRADE[2:], origin(site)))
        status, fields = await browser.head()
    assert (status, [value for name, value in fields if name == b"upgrade"]) == (101, [b"websocket"])
    (seen,) = SEEN
    assert (seen.values(b"upgrade"), seen.values(b"connection")) == ([b"websocket"], [b"Upgrade"])


@pytest.mark.requirement("R-254")
@pytest.mark.parametrize("offered", [b"a,,b", b", a,b", b"a ,\t, b,"])
async def test_empty_elements_of_a_list_are_ignored(site: RawWorld, offered: bytes) -> None:
    """RFC 9110 section 5.6.1.2. The API gets the list without them: there are libraries that refuse them."""
    lists = (b"Sec-WebSocket-Protocol: " + offered, b"Sec-WebSocket-Extensions: " + offered)
    async with site.connect() as browser:
        await browser.say(site.request("GET /ws/x", *UPGRADE, *lists, origin(site)))
        await greeted(browser)
    (seen,) = SEEN
    assert [value.replace(b" ", b"") for value in seen.values(b"sec-websocket-protocol")] == [b"a,b"]


@pytest.mark.requirement("R-254")
async def test_the_management_listener_takes_no_websockets(site: RawWorld) -> None:
    """404, as for every path that it does not know: routes are for the public listener."""
    from support.raw_browser import raw_browser

    management = site.world.config.management
    assert management is not None
    async with raw_browser(management.port) as browser:
        await browser.say(site.request("GET /ws/x", *UPGRADE, origin(site)))
        assert (await browser.reply()).status == 404
    assert SEEN == []


async def demanding(it: Conversation) -> None:
    """Demands its nonce in the proof, then takes the handshake."""
    request = await it.head()
    SEEN.append(request)
    await it.send(
        b'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: DPoP error="use_dpop_nonce"\r\nDPoP-Nonce: ws-1\r\n'
        b"Content-Length: 0\r\n\r\n"
    )


@pytest.mark.requirement("R-159", "R-160", "R-350")
async def test_bound_token_goes_with_a_proof_and_the_nonce_that_is_demanded() -> None:
    """RFC 9449: the handshake is made once more with a new proof, whose URL is the one that the API sees, by http and not by ws."""
    SEEN.clear()
    routes = [{"path": "/ws", "upstream": "{raw}", "provider": "corp", "websocket": True}]
    async with raw_world(demanding, accepting, routes=routes, corp={"dpop": "on"}) as site:
        async with site.connect() as browser:
            await browser.say(site.request("GET /ws/x?a=1", *UPGRADE, b"DPoP: mine", origin(site)))
            await greeted(browser)
        url = site.upstream.url
    proofs = [read_proof(b"".join(seen.values(b"dpop")).decode())[0] for seen in SEEN]
    assert [proof.get("nonce") for proof in proofs] == [None, "ws-1"]
    assert {(proof["htm"], proof["htu"]) for proof in proofs} == {("GET", f"{url}/x")}
    assert {b"".join(seen.values(b"authorization"))[:5] for seen in SEEN} == {b"DPoP "}


def refusing(challenge: str) -> Script:
    """Answers each handshake with 401 and this challenge."""

    async def script(it: Conversation) -> None:
        SEEN.append(await it.head())
        await it.send(response(b"no", f"WWW-Authenticate: {challenge}", status="401 Unauthorized"))

    return script


@pytest.mark.requirement("R-155", "R-350")
@pytest.mark.parametrize("more", ["", ', acr_values="gold"', ", max_age=60"])
@pytest.mark.parametrize("scheme", ["Bearer", "DPoP"])
async def test_no_token_is_renewed_for_a_challenge_about_the_sign_in(scheme: str, more: str) -> None:
    """One handshake, whose 401 is the browser's answer: another token of the same sign-in would be refused like this one."""
    SEEN.clear()
    challenge = f'{scheme} error="insufficient_user_authentication"{more}'
    routes = [{"path": "/ws", "upstream": "{raw}", "provider": "corp", "websocket": True}]
    async with raw_world(refusing(challenge), routes=routes) as site:
        reply = await site.ask(site.request("GET /ws/x", *UPGRADE, origin(site)))
        assert (reply.status, reply.body, reply.values("www-authenticate")) == (401, b"no", [challenge])
        assert site.world.token_calls("refresh_token") == []
    assert len(SEEN) == 1


@pytest.mark.requirement("R-159", "R-350")
async def test_a_repeat_at_another_upstream_has_a_proof_for_it() -> None:
    """The first of a list rejects the token and then closes: the next one gets the other token, and a proof for its own URL."""
    SEEN.clear()
    async with scripted_upstream(accepting) as second:
        routes = [{"path": "/ws", "upstream": ["{raw}", second.url], "provider": "corp", "websocket": True}]
        scripts = (refusing('DPoP error="invalid_token"'), closes_without_a_byte)
        async with raw_world(*scripts, routes=routes, corp={"dpop": "on"}) as site:
            async with site.connect() as browser:
                await browser.say(site.request("GET /ws/x", *UPGRADE, origin(site)))
                await greeted(browser)
            first = site.upstream.url
    proofs = [read_proof(b"".join(seen.values(b"dpop")).decode())[0] for seen in SEEN]
    assert [proof["htu"] for proof in proofs] == [f"{first}/x", f"{second.url}/x"]
    assert proofs[0]["ath"] != proofs[1]["ath"]
