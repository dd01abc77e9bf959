"""How much one request may ask for: bytes of a head, a target, a body, and time (ASVS V4.2.5)."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from support.raw_world import SMUGGLED, RawWorld, raw_world

pytestmark = pytest.mark.asyncio(loop_scope="module")

TINY = {"max_head": "4KiB", "max_target": "1KiB", "max_body": "1KiB"}
ROUTES = [
    {"path": "/open", "upstream": "{raw}", "token": "none", "timeouts": {"idle": "200ms"}},
    {"path": "/api", "upstream": "{raw}", "provider": "corp"},
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def tiny() -> AsyncIterator[RawWorld]:
    """A gateway that takes little."""
    async with raw_world(routes=ROUTES, limits=TINY) as running:
        yield running


@pytest.fixture
def small(tiny: RawWorld) -> RawWorld:
    """The same, with nothing seen yet."""
    return tiny.forget()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def impatient() -> AsyncIterator[RawWorld]:
    """A gateway that waits half a second for a head; longer than a busy machine takes between a connection and its first bytes."""
    async with raw_world(routes=ROUTES, limits={"head_timeout": "500ms"}) as running:
        yield running


@pytest.fixture
def hasty(impatient: RawWorld) -> RawWorld:
    """The same, with nothing seen yet."""
    return impatient.forget()


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize("path", ["/open/", "/bff/user?", "/nowhere/"])
@pytest.mark.parametrize("whole", [True, False])
async def test_a_long_target_is_refused(small: RawWorld, path: str, whole: bool) -> None:
    """414 and close, also before the head is complete."""
    line = f"GET {path}".encode() + b"x" * 1024
    async with small.connect() as browser:
        await browser.say(small.request(line) + SMUGGLED if whole else line)
        reply = await browser.reply()
        assert (reply.status, reply.closes) == (414, True)
        assert await browser.rest() == b""
    assert small.seen == []


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize(
    "head",
    [
        b"X-Big: " + b"x" * 4096,
        b"\r\n".join(b"X-%d: %b" % (number, b"x" * 100) for number in range(50)),
        b"X" * 5000 + b": y",
    ],
    ids=["one value", "many", "one name"],
)
@pytest.mark.parametrize("whole", [True, False])
async def test_a_large_head_is_refused(small: RawWorld, head: bytes, whole: bool) -> None:
    """431 and close, whether it ends or not."""
    request = small.request("GET /open/x", head)
    async with small.connect() as browser:
        await browser.say(request + SMUGGLED if whole else request[:-4])
        reply = await browser.reply()
        assert (reply.status, reply.closes) == (431, True)
        assert await browser.rest() == b""
    assert small.seen == []


@pytest.mark.requirement("R-261")
async def test_a_head_without_end_is_refused_in_time(small: RawWorld) -> None:
    """Field after field in segments of their own: 431 long before a megabyte of them was read."""
    async with small.connect() as browser:
        await browser.say(b"GET /open/x HTTP/1.1\r\n")
        for number in range(1_000):
            await browser.say(b"X-%d: %b\r\n" % (number, b"x" * 1000))
            if browser.ended:
                break
        reply = await browser.reply()
        assert reply.status == 431
    assert small.seen == []


@pytest.mark.requirement("R-261")
async def test_the_number_of_fields_is_bounded(site: RawWorld) -> None:
    """431 for more of them than anybody needs, however small."""
    assert (await site.ask(site.request("GET /open/x", *(b"X: y" for _ in range(90))))).status == 200
    assert (await site.ask(site.request("GET /open/x", *(b"X: y" for _ in range(101))))).status == 431
    assert len(site.seen) == 1


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize("path", ["/open/x", "/api/x"])
async def test_a_body_declared_too_large_is_refused_before_it_is_read(small: RawWorld, path: str) -> None:
    """413 at once; the upstream hears of nothing."""
    reply = await small.ask(small.request(f"POST {path}", b"Content-Length: 1025"))
    assert reply.status == 413
    assert small.seen == []
    assert (await small.ask(small.request(f"POST {path}", body=b"x" * 1024))).status == 200


@pytest.mark.requirement("R-261")
async def test_a_body_streamed_too_large_is_cut(small: RawWorld) -> None:
    """413 as soon as it is; the upstream's request is never complete."""
    async with small.connect() as browser:
        await browser.say(small.request("POST /open/x", b"Transfer-Encoding: chunked"))
        await browser.say(*(b"200\r\n" + b"x" * 512 + b"\r\n" for _ in range(4)))
        assert (await browser.reply()).status == 413
    assert small.seen == []


@pytest.mark.requirement("R-261")
async def test_a_refused_body_is_not_read_for_ever(site: RawWorld) -> None:
    """After its answer a body may end, within limits; then the connection is closed in its face."""
    async with site.connect() as browser:
        await browser.say(site.request("POST /small/x", b"Content-Length: 100000000"))
        assert (await browser.reply()).status == 413
        for _ in range(5_000):  # 50 MB, of which 32 MiB are read
            await browser.say(b"x" * 10_000)
            if browser.ended:
                break
        else:
            pytest.fail("it reads on and on")
    assert site.seen == []


@pytest.mark.requirement("R-261")
async def test_a_refused_body_that_does_not_come_ends_the_connection(small: RawWorld) -> None:
    """Whoever got an answer and never sends the rest does not keep the connection."""
    async with small.connect() as browser:
        await browser.say(small.request("POST /nowhere", b"Content-Length: 100"), b"x")
        assert (await browser.reply()).status == 404
        assert await browser.rest() == b""


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize("start", [b"G", b"GET /open/x HTTP/1.1\r\n", b"GET /open/x HTTP/1.1\r\nHost: a\r\nX:"])
async def test_a_slow_head_is_refused(hasty: RawWorld, start: bytes) -> None:
    """408 and close."""
    async with hasty.connect() as browser:
        await browser.say(start)
        reply = await browser.reply()
        assert (reply.status, reply.closes) == (408, True)
        assert await browser.rest() == b""


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize("start", [b"", b"\r\n", b"\r\n\r\n"])
async def test_a_connection_that_says_nothing_is_closed(hasty: RawWorld, start: bytes) -> None:
    """Without a word: nothing was asked. Empty lines are nothing."""
    async with hasty.connect() as browser:
        await browser.say(start)
        assert await browser.rest() == b""


@pytest.mark.requirement("R-261")
async def test_a_slow_second_head_is_refused_too(hasty: RawWorld) -> None:
    """Also behind an answer, and behind stray empty lines."""
    for start in (b"GET /open/y HTT", b"\r\n\r\nGET"):
        async with hasty.connect() as browser:
            await browser.say(hasty.request("GET /open/x") + start)
            assert (await browser.reply()).status == 200
            assert (await browser.reply()).status == 408
            assert await browser.rest() == b""


@pytest.mark.requirement("R-261")
@pytest.mark.parametrize("fields", [b"Content-Length: 100", b"Transfer-Encoding: chunked"])
async def test_a_slow_body_is_refused(small: RawWorld, fields: bytes) -> None:
    """408: it stopped coming, and the upstream's request is never complete."""
    async with small.connect() as browser:
        await browser.say(small.request("POST /open/x", fields), b"5\r\nhello\r\n")
        assert (await browser.reply()).status == 408
    assert small.seen == []


@pytest.mark.requirement("R-261")
async def test_a_slow_head_does_not_cut_an_answer(small: RawWorld) -> None:
    """While an answer is under way the next head may take its time: no refusal is written into it."""
    asked, gate, loop = asyncio.Event(), asyncio.Event(), asyncio.get_running_loop()

    async def slow(it: object) -> None:
        request = await it.request()  # type: ignore[attr-defined]  # a Conversation
        assert request.target == b"/x"
        asked.set()
        await gate.wait()
        await it.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nfine")  # type: ignore[attr-defined]  # as above

    async with raw_world(slow, signed_in=False, limits={"head_timeout": "10s"}) as site, site.connect() as browser:
        await browser.say(site.request("GET /open/x") + b"GET /open/y HT")
        await asked.wait()
        for _ in range(5):
            loop.jump(5)
            await asyncio.sleep(0.001)
        gate.set()
        reply = await browser.reply()
        assert (reply.status, reply.body) == (200, b"fine")
        loop.jump(10)
        assert (await browser.reply()).status == 408


PAGE_LOAD = (
    b"Sec-Fetch-Mode: navigate",
    b"Sec-Fetch-Dest: document",
    b"Sec-Fetch-Site: same-origin",
    b"Accept: text/html",
)
OLD_BROWSER = (b"Accept: text/html,*/*;q=0.8",)


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize("fields", [PAGE_LOAD, OLD_BROWSER], ids=["with metadata", "without"])
@pytest.mark.parametrize(
    ("line", "more", "status"),
    [
        (b"GET /open/" + b"x" * 1024, b"", 414),
        (b"GET /open/x", b"Cookie: " + b"x" * 4096, 431),
        (b"GET /open/x", b"X: y\r\n" * 101 + b"X: y", 431),
        (b"GET /open/x", b"no field", 400),
        (b"POST /open/x", b"Content-Length: 5000", 413),
        (b"POST /open/x", b"Transfer-Encoding: x, chunked", 501),
        (b"GET /open/x", b"Content-Length: 1\r\nContent-Length: 2", 400),
    ],
    ids=["target", "cookies", "fields", "no field", "content", "coding", "lengths"],
)
async def test_a_person_sees_a_page_for_what_is_refused_before_the_gateway(
    small: RawWorld, fields: tuple[bytes, ...], line: bytes, more: bytes, status: int
) -> None:
    """A page load that the server itself refuses is answered with a page; the same refusal of a call is a problem."""
    for kind, sent in (("text/html; charset=utf-8", fields), ("application/problem+json", (b"Accept: */*",))):
        reply = await small.ask(small.request(line, *sent, more, signed_in=False))
        assert (reply.status, reply.values("content-type")) == (status, [kind])
        assert (b"<h1>" in reply.body) is (sent is fields)


@pytest.mark.requirement("R-302")
async def test_a_person_sees_a_page_when_the_browser_is_too_slow(hasty: RawWorld) -> None:
    """408: what has come of the head says who waits."""
    begun = hasty.request("GET /open/x", *PAGE_LOAD, signed_in=False).removesuffix(b"\r\n")
    reply = await hasty.ask(begun)
    assert (reply.status, reply.values("content-type")) == (408, ["text/html; charset=utf-8"])
