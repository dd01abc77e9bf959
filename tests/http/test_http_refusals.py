"""What is refused before there is a request is told like every other error (RFC 9457), whichever way it was noticed."""

import asyncio
import json

import pytest

from support.raw_browser import RawBrowser, Reply
from support.raw_world import RawWorld, raw_world
from support.scripted_upstream import Conversation, response

pytestmark = pytest.mark.asyncio(loop_scope="module")

REFUSALS = {
    "no http": (b"hello\r\n\r\n", 400, "malformed-request"),
    "chunk": (
        b"POST /open/x HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        400,
        "malformed-request",
    ),
    "target": (b"GET /" + b"x" * 20_000, 414, "target-too-long"),
    "fields": (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431, "head-too-large"),
    "coding": (
        b"POST / HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        501,
        "not-implemented",
    ),
    "connect": (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n", 501, "not-implemented"),
    "version": (b"GET / HTTP/2.0\r\nHost: {host}\r\n\r\n", 505, "version-not-supported"),
}
OUR_FIELDS = {
    "content-type": ["application/problem+json"],
    "cache-control": ["no-store"],
    "x-content-type-options": ["nosniff"],
    "referrer-policy": ["no-referrer"],
    "connection": ["close"],
}


async def the_only_reply(browser: RawBrowser, *, to: str = "GET") -> Reply:
    """What comes, and nothing after it."""
    reply = await browser.reply(to=to)
    assert await browser.rest() == b""
    return reply


def told(reply: Reply) -> dict[str, object]:
    """The problem of a reply that has all fields of our own answers."""
    for name, values in OUR_FIELDS.items():
        assert reply.values(name) == values
    assert len(reply.values("date")) == len(reply.values("content-security-policy")) == 1
    problem: dict[str, object] = json.loads(reply.body)
    assert set(problem) == {"type", "title", "status", "detail", "request_id"}
    assert problem["status"] == reply.status
    assert problem["title"]
    assert problem["detail"]
    return problem


@pytest.mark.requirement("R-261", "R-270", "R-273")
@pytest.mark.parametrize("what", REFUSALS)
async def test_a_refusal_is_a_problem(site: RawWorld, what: str) -> None:
    """Type, title, status, detail and request id, with the fields that all our answers have; HSTS only over https."""
    raw, status, kind = REFUSALS[what]
    async with site.connect() as browser:
        await browser.say(raw.replace(b"{host}", site.host))
        reply = await the_only_reply(browser)
    assert (reply.status, told(reply)["type"]) == (status, f"urn:bff:problem:{kind}")
    assert reply.values("strict-transport-security") == []
    assert site.seen == []


@pytest.mark.requirement("R-261", "R-270")
async def test_a_refusal_over_https_says_so() -> None:
    """HSTS where browsers reach us over TLS; and a head that does not come in time is a problem like the others."""
    quick = raw_world(public_url="https://app.example.com", limits={"head_timeout": "50ms"})
    async with quick as site, site.connect() as browser:
        await browser.say(b"GET / HT")
        reply = await the_only_reply(browser)
    assert (reply.status, told(reply)["type"]) == (408, "urn:bff:problem:request-timeout")
    assert len(reply.values("strict-transport-security")) == 1


@pytest.mark.requirement("R-251", "R-261")
@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"HEAD /open/x#y HTTP/1.1\r\nHost: {host}\r\n\r\n", 400),
        (b"HEAD /open/x HTTP/1.1\r\nHost: {host}\r\nX : y\r\n\r\n", 400),
        (b"HEAD /" + b"x" * 20_000, 414),
    ],
)
async def test_a_refused_head_request_gets_no_content(site: RawWorld, raw: bytes, status: int) -> None:
    """The fields are those of the problem, its length too; nothing follows them (RFC 9110 section 9.3.2)."""
    async with site.connect() as browser:
        await browser.say(raw.replace(b"{host}", site.host))
        reply = await the_only_reply(browser, to="HEAD")
    assert (reply.status, reply.closes) == (status, True)
    assert int(reply.values("content-length")[0]) > 0


@pytest.mark.requirement("R-251", "R-261")
async def test_what_follows_a_head_request_is_refused_with_content(site: RawWorld) -> None:
    """Whoever asked before, the refusal answers what is wrong now."""
    async with site.connect() as browser:
        await browser.say(site.request("HEAD /open/x") + b"hello\r\n\r\n")
        assert (await browser.reply(to="HEAD")).status == 200
        assert told(await the_only_reply(browser))["status"] == 400


@pytest.mark.requirement("R-261")
async def test_a_refusal_waits_for_the_answers_before_it() -> None:
    """A problem is written after the answer under way, never into it (RFC 9112 section 9.3.2)."""
    gate = asyncio.Event()

    async def slow(it: Conversation) -> None:
        await it.request()
        await gate.wait()
        await it.send(response(b"fine"))

    async with raw_world(slow, signed_in=False) as site, site.connect() as browser:
        await browser.say(site.request("GET /open/x") + b"hello\r\n\r\n")
        gate.set()
        assert (await browser.reply()).body == b"fine"
        assert told(await the_only_reply(browser))["status"] == 400


PROXY_1 = b"PROXY TCP4 192.0.2.1 127.0.0.1 40000 80\r\n"
PROXY_2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x7f\x00\x00\x01\x9c\x40\x00\x50"


@pytest.mark.parametrize("proxy_header", [PROXY_1, PROXY_2, PROXY_2[:12]], ids=["version 1", "version 2", "signature"])
@pytest.mark.parametrize("bytewise", [False, True], ids=["whole", "bytewise"])
async def test_proxy_protocol_is_refused(site: RawWorld, proxy_header: bytes, bytewise: bool) -> None:
    """It is no HTTP: the connection ends with 400, what follows is not forwarded, and no address in it is believed."""
    site.forget()
    async with site.connect() as browser:
        if bytewise:
            await browser.say_bytewise(proxy_header)
            await browser.say(site.request("GET /open/x"))
        else:
            await browser.say(proxy_header + site.request("GET /open/x"))
        assert told(await the_only_reply(browser))["status"] == 400
    assert site.seen == []
