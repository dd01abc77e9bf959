"""Random traffic that two gateways get alike, and an upstream that answers as the last segment of a target says.

    episodes = [an_episode(chance, number) for number in range(100)]
    async with raw_world(upstream := Acting(), routes=ROUTES) as site:
        seen = await Player(site, upstream).play(episodes[0])

What a player has seen is free of what differs from world to world: ports, request ids, cookies, and the values of tokens, of which
only the order remains. So two worlds that behave alike have seen the same.
"""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from structlog.testing import capture_logs

from bff.telemetry import metrics
from support.pool_usage import usage
from support.raw_browser import RawBrowser, Truncated
from support.raw_world import RawWorld
from support.scripted_upstream import Conversation, PeerLeft, Received, chunked, response
from support.waiting import until

PAUSE_SECONDS = 0.002

ROUTES: list[dict[str, Any]] = [
    {"path": "/api", "upstream": "{raw}/v2", "provider": "corp"},
    {"path": "/pages", "upstream": "{raw}", "provider": "corp", "csrf": "origin"},
    {"path": "/open", "upstream": "{raw}", "token": "none"},
    {"path": "/maybe", "upstream": "{raw}", "provider": "corp", "token": "user_or_none"},
    {"path": "/machine", "upstream": "{raw}", "provider": "corp", "token": "client", "scope": "rates:read"},
    {"path": "/scripts", "upstream": "{raw}", "provider": "corp", "bearer": "pass"},
    {"path": "/ruled", "upstream": "{raw}", "provider": "corp", "require": {"claims": {"sub": "alice"}}},
    {"path": "/strict", "upstream": "{raw}", "provider": "corp", "require": {"claims": {"sub": "bob"}}},
    {"path": "/dav", "upstream": "{raw}/v2", "provider": "corp", "methods": ["GET", "COPY", "MOVE"]},
    {"path": "/small", "upstream": "{raw}", "token": "none", "max_body": "1KiB"},
    {"path": "/", "files": "dist"},
]

# --- the upstream -----------------------------------------------------------------------------------------------------

PAUSE, CLOSE, RESET = b"pause", b"close", b"reset"  # pieces that are no bytes
_EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
_LATE = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

ANSWERS: dict[str, tuple[bytes, ...]] = {
    "length": (response(b"fine"),),
    "pieces": (_LATE, b"01234", PAUSE, b"56789"),
    "bytewise": tuple(bytes([one]) for one in response(b"fine", "X-A: b")),
    "chunks": (chunked(b"one", b"two"),),
    "slow-chunks": (_CHUNKS, b"3\r\none\r\n", PAUSE, b"3\r\ntw", PAUSE, b"o\r\n0\r\n\r\n"),
    "trailers": (chunked(b"one", trailers=b"X-T: 1\r\n"),),
    "until-close": (b"HTTP/1.1 200 OK\r\n\r\nall", PAUSE, b" of it", CLOSE),
    "http-1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", CLOSE),
    "closes": (response(b"last", "Connection: close"), CLOSE),
    "empty": (response(),),
    "204": (b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",),
    "204-length": (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",),
    "304": (b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n',),
    "interim": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
        PAUSE,
        response(b"fine"),
    ),
    "404": (response(b"none", status="404 Nothing Here"),),
    "500": (response(b"{}", "Content-Type: application/json", status="500 Oh"),),
    "503": (response(b"", "Retry-After: 3", status="503 Busy"),),
    "599": (response(b"odd", status="599 Odd"),),
    "401": (response(b"who", "WWW-Authenticate: Bearer", status="401 Unauthorized"),),
    "401-stronger": (
        response(
            b"more",
            'WWW-Authenticate: Bearer error="insufficient_user_authentication", max_age="5"',
            status="401 Unauthorized",
        ),
    ),
    "401-chunks": (chunked(b"who").replace(b"200 OK", b"401 Who"),),
    "cut": (_LATE + b"half", CLOSE),
    "cut-later": (_LATE, b"half", PAUSE, RESET),
    "cut-chunks": (_CHUNKS + b"3\r\none\r\n5\r\nfo", PAUSE, CLOSE),
    "cut-head": (b"HTTP/1.1 200 OK\r\nContent-Le", CLOSE),
    "nothing": (CLOSE,),
    "reset": (RESET,),
    "garbage": (b"nonsense\r\n\r\n", CLOSE),
    "bad-length": (b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello", CLOSE),
    "two-lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc", CLOSE),
    "bad-chunks": (_CHUNKS + b"3\r\none\r\n", PAUSE, b"xyz\r\n", CLOSE),
    "101": (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", CLOSE),
    "coded": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", CLOSE),
    "extra": (response(b"ok") + b"more", CLOSE),
    "events": (_EVENTS, b"9\r\ndata: 1\n\n\r\n", PAUSE, b"9\r\ndata: 2\n\n\r\n", PAUSE, b"0\r\n\r\n"),
    "events-at-once": (response(b"data: 1\n\n", "Content-Type: text/event-stream"),),
    "events-cut": (_EVENTS, b"9\r\ndata: 1\n\n\r\n", PAUSE, RESET),
    "cookies": (
        response(b"", "Set-Cookie: a=b; Path=/", "Set-Cookie: __Host-Http-bff=x", "Set-Cookie: c=d; Domain=x.y"),
    ),
    "redirect": (response(b"", "Location: /v2/elsewhere?x=y", status="302 Found"),),
    "hops": (response(b"ok", "Connection: X-A", "X-A: b", "Keep-Alive: timeout=9", "Upgrade: h2c", "X-B: c"),),
    "site": (
        response(b"ok", "Strict-Transport-Security: max-age=1", "X-Accel-Redirect: /x", "Server: s", "Via: 1.1 v"),
    ),
    "cached": (response(b"ok", "Cache-Control: public, max-age=60", 'ETag: "e"', "Vary: Accept"),),
    "unnamed": (response(b"ok", "X-A:", "X-B: a\tb"),),
    "big": (response(b"0123456789abcdef" * 20_000),),
    "big-chunks": (chunked(*[b"0123456789abcdef" * 500] * 20),),
}
EARLY: dict[str, tuple[bytes, ...]] = {  # before the content of the request has been read
    "early": (response(b"already"),),
    "early-413": (response(b"too much", status="413 Too Much"),),
    "early-events": (_EVENTS + b"9\r\ndata: 1\n\n\r\n", PAUSE, b"0\r\n\r\n"),
    "early-cut": (_LATE + b"half", CLOSE),
}


class Acting:
    """An upstream's script: it keeps what came, with the number of the connection, and answers as the target says.

    A request is kept once it is complete, or before its content if it is answered early: how much of a broken one comes is chance.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[int, Received]] = []
        self._rejected: set[bytes] = set()

    async def __call__(self, it: Conversation) -> None:
        """Serve one connection."""
        while True:
            head = await it.head()
            kind = head.target.partition(b"?")[0].rpartition(b"/")[2].decode()
            if kind in EARLY:
                self.seen.append((it.number, head))
                await self._send(it, head, EARLY[kind])
            content = await it.content(head)
            if kind not in EARLY:
                self.seen.append((it.number, replace(head, content=content)))
                await self._send(it, head, self._answer(kind, head.target))

    def _answer(self, kind: str, target: bytes) -> tuple[bytes, ...]:
        if kind == "401-once":
            kind = "length" if target in self._rejected else "401"
            self._rejected.add(target)
        return ANSWERS.get(kind, ANSWERS["length"])

    async def _send(self, it: Conversation, head: Received, pieces: tuple[bytes, ...]) -> None:
        if head.method == b"HEAD":
            said = b"".join(one for one in pieces if one not in {PAUSE, CLOSE, RESET})
            pieces = (_heads(said), *(one for one in pieces if one in {CLOSE, RESET}))
        for piece in pieces:
            if piece == PAUSE:
                await asyncio.sleep(PAUSE_SECONDS)
            elif piece == CLOSE:
                it.close()
                raise PeerLeft
            elif piece == RESET:
                it.reset()
                raise PeerLeft
            else:
                await it.send(piece)


def _heads(said: bytes) -> bytes:
    """The interim heads and the final one; all of what has none."""
    at = 0
    while said.startswith(b"HTTP/1.1 1", at) and b"\r\n\r\n" in said[at:]:
        at = said.index(b"\r\n\r\n", at) + 4
    return said[: said.find(b"\r\n\r\n", at) + 4] or said


# --- the traffic ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request as pieces to be written; `{cookie}` and `{host}` stand for a world's own. `early`: pieces after the reply."""

    method: str
    pieces: tuple[bytes, ...]
    slow: bool
    early: int
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """One connection: its requests, in one write or each after the reply before, once the clock was moved."""

    asks: tuple[Ask, ...]
    pipelined: bool
    later_seconds: float


TOO_LONG = b"Content-Length: 99999999999"
METHODS = ["GET"] * 8 + ["POST"] * 5 + ["PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "COPY", "MOVE"]
BAD_CHUNK = b"zz\r\n"
PREFIXES = (
    ["/api"] * 6 + ["/open"] * 3 + ["/pages", "/maybe", "/machine", "/small", "/scripts", "/ruled", "/strict", "/dav"]
)
STRANGE = [
    "/open/../api/x", "/open/%2e%2e/x", "/open//x", "/nowhere/x", "/open/%00", "/open/a%2Fb", "/open/%zz", "/bff/nothing",
    "/", "/api", "/apix", "/open/x?a=%2e", "/open/length;x=y", "/open/" + "x" * 300, "*",
]  # fmt: skip
MORE = [
    b"Authorization: Bearer mine", b"X-Forwarded-For: 9.9.9.9", b"X-Request-Id: me", b"Range: bytes=0-1", b"Accept-Encoding: gzip",
    b'If-None-Match: "a"', b"Max-Forwards: 0", b"Max-Forwards: 3", b"Via: 1.1 x", b"Connection: X-A", b"X-A: b", b"TE: trailers",
    b"Remote-User: root", b"Forwarded: for=1.2.3.4", b"Cookie: other=1", b"Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document",
    b"Host: other", b"Content-Type: text/plain", b"Expect: 100-continue", b"Upgrade: h2c", b"Accept: text/event-stream",
    b"Origin: null", b"Keep-Alive: timeout=5", b"Content-Encoding: gzip", b"Traceparent: 00-1-2-03",
    b"traceparent: 00-4-5-06", b"traceparent: two words", b"CF-Ray: a", b"CF-Ray: b\r\nX-Request-Id: c",
    b"Destination: /dav/b", b"Destination: /api/b",
]  # fmt: skip


PLAIN = Ask(
    method="GET",
    pieces=(b"GET /api/plain/length HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nX-CSRF: 1\r\n\r\n",),
    slow=False,
    early=0,
    target="/api/plain/length",
)


TOKENS = Episode(  # both kinds of token are used, and so named, one after the other
    asks=(PLAIN, replace(PLAIN, pieces=tuple(piece.replace(b"/api", b"/machine") for piece in PLAIN.pieces))),
    pipelined=False,
    later_seconds=0.0,
)


def an_episode(chance: Random, number: int, *, renews: bool = True) -> Episode:
    """The next one; `renews`: tokens may be rejected or run out, so that others are fetched."""
    pipelined = chance.random() < 0.25
    asks = tuple(
        _ask(chance, f"{number}-{at}", alone=not pipelined, renews=renews) for at in range(chance.choice([1, 2, 3, 4]))
    )
    if chance.random() < 0.5:  # after it there is an idle connection to the upstream, mostly
        asks = (PLAIN, *asks)
    later = chance.choice([0.4, 3.0, 300.0, 540.0, 601.0, 1000.0]) if renews and chance.random() < 0.12 else 0.0
    return Episode(asks=asks, pipelined=pipelined, later_seconds=later)


def _ask(chance: Random, name: str, *, alone: bool, renews: bool) -> Ask:
    method = chance.choice(METHODS)
    content = chance.random() < (0.9 if method in {"POST", "PUT", "PATCH"} else 0.1)
    framing, pieces = _content(chance, alone=alone) if content else ((), ())
    kinds = [*ANSWERS, *["length"] * 12, *["401-once"] * 3]
    if not (alone and renews):
        kinds = [kind for kind in kinds if not kind.startswith("401")]  # renewals would race with what follows
    kind = chance.choice(list(EARLY)) if alone and len(pieces) > 1 and chance.random() < 0.3 else chance.choice(kinds)
    prefix = chance.choice(PREFIXES)
    if prefix == "/small" and pieces[-1:] == (
        BAD_CHUNK,
    ):  # refused for its size or for its form, whichever is read first
        pieces = (*pieces[:-1], b"0\r\n\r\n")
    target = f"{prefix}/{name}/{kind}"
    if kind not in EARLY and chance.random() < 0.08:
        target = chance.choice(STRANGE)
    version = b"1.0" if chance.random() < 0.08 else b"1.1"
    fields = [*_proofs(chance), *framing]
    fields += chance.sample(MORE, chance.choice([1, 2])) if chance.random() < 0.4 else ()
    fields += [b"Connection: close"] if chance.random() < 0.06 else ()
    head = (
        f"{method} {target} HTTP/".encode()
        + version
        + b"\r\nHost: {host}\r\n"
        + b"".join(one + b"\r\n" for one in fields)
    )
    together = pieces and chance.random() < 0.5 and kind not in EARLY
    first = head + b"\r\n" + (pieces[0] if together else b"")
    return Ask(
        method=method,
        pieces=(first, *(pieces[1:] if together else pieces)),
        slow=alone and chance.random() < 0.4,
        early=max(0, len(pieces) - 1) if kind in EARLY else 0,
        target=target,
    )


def _proofs(chance: Random) -> list[bytes]:
    cookie = chance.choice([b"{cookie}"] * 12 + [b"a=b; {cookie}; c=d", b"__Host-Http-bff=bad", b"", b""])
    csrf = chance.choice([b"X-CSRF: 1"] * 20 + [b"X-CSRF: 2", b""])
    site = chance.choice([b"same-origin"] * 20 + [b"cross-site", b"none", b""])
    return [
        *([b"Cookie: " + cookie] if cookie else []),
        *([csrf] if csrf else []),
        *([b"Sec-Fetch-Site: " + site] if site else []),
    ]


def _content(chance: Random, *, alone: bool) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """The fields that frame it, and its pieces."""
    size = chance.choice([1, 5, 5, 700, 2000, 70_000 if alone else 30])
    data = bytes(chance.choice(b"abcdef") for _ in range(min(size, 50))) * max(1, size // 50)
    parts = [data[at : at + len(data) // 3 + 1] for at in range(0, len(data), len(data) // 3 + 1)]
    form = chance.choice(["length"] * 4 + ["chunks"] * 4 + ["no length", "no chunks", "bad chunk", "long"])
    if form == "length":
        return (b"Content-Length: %d" % len(data),), tuple(parts)
    if form == "no length":
        return (b"Content-Length: 0",), ()
    if form == "long":
        return (TOO_LONG,), (b"x",)
    framed = [b"%x\r\n%b\r\n" % (len(part), part) for part in parts]
    if form == "no chunks":
        framed = []
    end = BAD_CHUNK if form == "bad chunk" else chance.choice([b"0\r\n\r\n", b"0\r\nX-T: 1\r\n\r\n"])
    return (b"Transfer-Encoding: chunked",), (*framed, end)


# --- two worlds that are compared -------------------------------------------------------------------------------------


@dataclass(slots=True, eq=True)
class Seen:
    """What one episode was to the browser, the upstream, the log and the metrics."""

    replies: list[tuple[object, ...]] = field(default_factory=list)
    requests: list[tuple[object, ...]] = field(default_factory=list)
    events: list[dict[str, object]] = field(default_factory=list)
    counts: dict[tuple[object, ...], float] = field(default_factory=dict)


class Player:
    """Plays episodes against one world."""

    def __init__(self, site: RawWorld, upstream: Acting) -> None:
        self._site = site
        self._upstream = upstream
        self._names: dict[bytes, bytes] = {}  # of tokens, in the order of their use
        self._cookie = site.cookie
        ports = {
            "gateway": site.port,
            "upstream": site.upstream.port,
            "corp": int(site.world.corp.issuer.split(":")[2].split("/")[0]),
        }
        self._ports = {b":%d" % port: f":{name}".encode() for name, port in ports.items()}

    async def play(self, episode: Episode) -> Seen:
        """One connection from its first byte to its last."""
        seen = Seen()
        self._upstream.seen.clear()
        before = _counts()
        self._site.world.clock.now += episode.later_seconds
        with capture_logs() as events:
            if (
                episode.later_seconds
            ):  # the session is read again, and tokens of both kinds may be renewed in the background
                for path in ("/api/later/length", "/machine/later/length"):
                    await self._site.ask(self._site.request(f"GET {path}"))
                    await self._settled()
            async with self._site.connect() as browser:
                await self._talk(browser, episode, seen)
            await self._settled()
        self._note(seen, events, before)
        return seen

    async def play_together(self, episodes: Sequence[Episode]) -> Seen:
        """All of them at once; `replies` in their order, `requests` in any, each once."""
        if not self._names:
            await self.play(TOKENS)
        seen = Seen()
        self._upstream.seen.clear()
        before = _counts()

        async def play(episode: Episode) -> list[tuple[object, ...]]:
            part = Seen()
            async with self._site.connect() as browser:
                await self._talk(browser, episode, part, alone=False)
            return part.replies

        with capture_logs() as events:
            seen.replies = [tuple(replies) for replies in await asyncio.gather(*map(play, episodes))]
            await self._settled()
        # How often one upstream is left out and back depends on how answers and failures of several connections interleave.
        self._note(seen, [one for one in events if one["event"] not in {"upstream.left_out", "upstream.back"}], before)
        each = {
            str(request[1:]): request[1:] for request in seen.requests
        }  # again, where a connection in use was closed
        seen.requests = [each[key] for key in sorted(each)]
        return seen

    def _note(self, seen: Seen, events: Sequence[Any], before: dict[tuple[object, ...], float]) -> None:
        connections = list(dict.fromkeys(number for number, _ in self._upstream.seen))
        seen.requests = [
            (connections.index(number), one.method, self._masked(one.target), self._masked_fields(one), one.content)
            for number, one in self._upstream.seen
        ]
        seen.events = sorted((self._event(one) for one in events), key=str)
        after = _counts()
        seen.counts = {key: after[key] - before.get(key, 0.0) for key in after if after[key] != before.get(key, 0.0)}

    async def _talk(self, browser: RawBrowser, episode: Episode, seen: Seen, *, alone: bool = True) -> None:
        if episode.pipelined:
            await browser.say(b"".join(self._filled(piece) for ask in episode.asks for piece in ask.pieces))
        for ask in episode.asks:
            early = len(ask.pieces) - ask.early
            if not episode.pipelined:
                await self._say(browser, ask, ask.pieces[:early])
            goes_on = await self._hear(browser, ask, seen)
            if not goes_on:
                return
            if not episode.pipelined:
                await self._settled(but_answers=ask.early > 0 or not alone)
                await self._say(browser, ask, ask.pieces[early:])

    async def _say(self, browser: RawBrowser, ask: Ask, pieces: tuple[bytes, ...]) -> None:
        for piece in pieces:
            await browser.say(self._filled(piece))
            if ask.slow:
                await asyncio.sleep(PAUSE_SECONDS)

    async def _hear(self, browser: RawBrowser, ask: Ask, seen: Seen) -> bool:
        browser.heads.clear()
        try:
            reply = await browser.reply(to=ask.method)
        except Truncated as cut:
            seen.replies.append(("cut", self._heads(browser), cut.body, browser.wire.was_reset))
            return False
        seen.replies.append((self._heads(browser), self._masked(reply.body)))
        if TOO_LONG in ask.pieces[0]:  # the gateway waits for content that does not come
            return False
        if not reply.closes and (browser.wire.received or not browser.ended):  # what is left may be the next reply
            return True
        seen.replies.append(("end", await browser.rest(), browser.wire.was_reset))
        return False

    def _heads(self, browser: RawBrowser) -> bytes:
        """As they came, but for a 100: there is none if the content came before it was asked for."""
        return self._masked(b"".join(head for head in browser.heads if not head.startswith(b"HTTP/1.1 100 ")))

    async def _settled(self, *, but_answers: bool = False) -> None:
        process = self._site.world.app.process
        await until(lambda: not process.tasks._tasks)
        if not but_answers:
            await until(lambda: not tasks_of_exchanges() and all(usage(pool).active == 0 for pool in process.pools))
            await until(lambda: self._site.upstream.open == sum(usage(pool).connections for pool in process.pools))

    def _filled(self, piece: bytes) -> bytes:
        return piece.replace(b"{host}", self._site.host).replace(b"{cookie}", self._cookie)

    def _masked(self, data: bytes) -> bytes:
        for port, name in self._ports.items():
            data = data.replace(port, name)
        data = re.sub(rb"(?<=1\.1 bff-)[0-9a-f]{12}", b"pseudonym", data)
        data = re.sub(rb"(\r\n(?:date|last-modified): )[^\r]+GMT", rb"\1", data)
        data = re.sub(rb'(\r\netag: ")[0-9a-f]{24,64}', rb"\1", data)
        data = re.sub(rb"(x-request-id: )[0-9a-f]{16}", rb"\1one of ours", data)
        data = re.sub(rb'("request_id": ?")[0-9a-f]+', rb"\1", data)
        data = re.sub(rb"(Reference <code>)[0-9a-f]+", rb"\1", data)
        data = re.sub(rb"(?<=&step_up=)[\w.-]+", b"ticket", data)  # signed by a key that each world makes
        return re.sub(rb"(?<=Bearer )[\w.~+/=-]{20,}", self._named, data)

    def _named(self, token: "re.Match[bytes]") -> bytes:
        return self._names.setdefault(token[0], b"token %d" % len(self._names))

    def _masked_fields(self, request: Received) -> list[tuple[bytes, bytes]]:
        return [(name, b"..." if name == b"x-request-id" else self._masked(value)) for name, value in request.fields]

    def _event(self, event: Any) -> dict[str, object]:
        hidden = {"request_id", "seconds", "upstream_seconds", "session", "exc_info", "token"}
        return {
            key: "..." if key in hidden else self._masked(str(value).encode()) for key, value in sorted(event.items())
        }


def tasks_of_exchanges() -> list["asyncio.Task[Any]"]:
    """The tasks in which a gateway of this process answers now."""
    return [task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__qualname__", "") == "Exchange.run"]


def _counts() -> dict[tuple[object, ...], float]:
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for counter in (metrics.REQUESTS, metrics.PROBLEMS, metrics.REFRESHES)
        for family in counter.collect()
        for sample in family.samples
        if sample.name.endswith("_total")
    }
