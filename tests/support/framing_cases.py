"""Requests whose end or target could be read in two ways, as templates, and their crossings.

A template is bytes with placeholders, which `wire` fills in:

    @TARGET@   what the request asks for; it names the case and what the upstream is to do
    @HOST@     the public authority
    @OURS@     the fields of a call from our own page: Cookie, X-CSRF, Sec-Fetch-Site
    @HIDDEN@   a request that hides behind or in the content; it forges what an edge and the gateway set
    @SIZE@     its length in decimal digits, @HEX@ in hexadecimal ones

The placeholders are never split by a mutation, so what a case may reach is known: the targets of `Case`.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

FORGED = b"forged"  # a hidden request claims to have this mark and this bearer

Framing = tuple[list[bytes], bytes]  # field lines, and what follows the head

LENGTHS = [
    b"0", b"5", b"05", b"+5", b"-5", b"5, 5", b"5, 6", b"5,", b",5", b"0x5", b"5;", b"5.0", b"1e1", b"", b"'5'",
    b"\xb2", b"5\x00", b"5\x0b", b"18446744073709551616", b"18446744073709551621", b"4294967301", b"1" + b"0" * 30,
    b"@SIZE@", b"50000",
]  # fmt: skip
CODINGS = [
    b"chunked", b"Chunked", b"gzip", b"identity", b"xchunked", b"chunkedx", b"chunked;q=1", b'"chunked"', b"",
    b"chunked,", b",chunked", b"chunked, chunked", b"chunked, identity", b"identity, chunked", b"gzip, chunked",
    b"chunked\x0b", b"\x0bchunked", b"chunked\x00", b"chun\r\n ked", b"\r\n chunked", b"\tchunked\t",
    b"trailers, chunked", b"chunked\x80", b"cow",
]  # fmt: skip
NAMES = [
    b"Transfer-Encoding : chunked", b" Transfer-Encoding: chunked", b"\tTransfer-Encoding: chunked",
    b"Transfer_Encoding: chunked", b"X: y\nTransfer-Encoding: chunked", b"X: y\rTransfer-Encoding: chunked",
    b"X: y\x00\r\nTransfer-Encoding: chunked", b"Transfer-Encoding\x0b: chunked", b"Transfer-Encoding\x00: chunked",
    b"Transfer\xadEncoding: chunked", b"Transfer-Encoding\nX: chunked", b"Transfer-Encoding:chunked",
    b"TRANSFER-ENCODING:\tchunked", b"Content-Length : @SIZE@", b" Content-Length: @SIZE@", b"Content_Length: @SIZE@",
    b"X: y\nContent-Length: @SIZE@", b"Content-Length\x00: @SIZE@", b"Content-Length:@SIZE@",
    b"Content-Length: @SIZE@\r\n ", b"X: a\r\n folded", b"X: a\r\n\tContent-Length: @SIZE@", b": nameless",
    b"no colon", b"X(Y): a",
]  # fmt: skip
CHUNKS = [
    b"0\r\n\r\n@HIDDEN@", b"@HEX@\r\n@HIDDEN@\r\n0\r\n\r\n", b"5\r\nhello\r\n0\r\n\r\n@HIDDEN@",
    b"5;a=b\r\nhello\r\n0;c\r\n\r\n@HIDDEN@", b"5\nhello\r\n0\r\n\r\n@HIDDEN@", b"5\r\nhello\n0\r\n\r\n@HIDDEN@",
    b"5\r\nhello\r\n0\n\n@HIDDEN@", b"5\r\nhelloXX0\r\n\r\n@HIDDEN@", b"0x5\r\nhello\r\n0\r\n\r\n@HIDDEN@",
    b" 5\r\nhello\r\n0\r\n\r\n@HIDDEN@", b"5 \r\nhello\r\n0\r\n\r\n@HIDDEN@", b"+5\r\nhello\r\n0\r\n\r\n@HIDDEN@",
    b"5;a\nX@HIDDEN@\r\n0\r\n\r\n", b"5;\rhello\r\n0\r\n\r\n@HIDDEN@", b'5;a="\r\n@HIDDEN@"\r\n',
    b"5;\x00\r\nhello\r\n0\r\n\r\n@HIDDEN@", b"0\r\nX: y\r\n\r\n@HIDDEN@",
    b"0\r\nContent-Length: @SIZE@\r\n\r\n@HIDDEN@",
    b"0\r\nHost: evil\r\nAuthorization: Bearer forged\r\n\r\n@HIDDEN@", b"0\r\n @HIDDEN@",
    b"0\r\nX : y\r\n\r\n@HIDDEN@", b"0\r\nX: y\n\r\n@HIDDEN@", b"00000000000000005\r\nhello\r\n0\r\n\r\n@HIDDEN@",
    b"10000000000000005\r\nhello\r\n0\r\n\r\n@HIDDEN@", b"FFFFFFFFFFFFFFFF\r\nhello\r\n0\r\n\r\n@HIDDEN@",
    b"-1\r\n@HIDDEN@", b"\r\n0\r\n\r\n@HIDDEN@", b"5_0\r\nhello\r\n0\r\n\r\n@HIDDEN@", b"5\r\nhel",
    b"5\r\nhello\r\n0\r\n", b"0\r\n\r@HIDDEN@", b"1000;" + b"a" * 300 + b"\r\n@HIDDEN@",
]  # fmt: skip
WEBSOCKET_KEY = b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
OTHERS: list[Framing] = [
    ([], b""),
    ([], b"@HIDDEN@"),
    ([], b"\r\n@HIDDEN@"),
    ([], b"\n@HIDDEN@"),
    ([], b"0\r\n\r\n@HIDDEN@"),
    ([b"Content-Length: 5", b"Content-Length: 5"], b"hello@HIDDEN@"),
    ([b"Content-Length: 5", b"Content-Length: 6"], b"hello@HIDDEN@"),
    ([b"Content-Length: 0", b"Content-Length: @SIZE@"], b"@HIDDEN@"),
    ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"], b"0\r\n\r\n@HIDDEN@"),
    ([b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"], b"0\r\n\r\n@HIDDEN@"),
    ([b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"], b"0\r\n\r\n@HIDDEN@"),
    ([b"Content-Length: 5", b"Transfer-Encoding: chunked"], b"0\r\n\r\n@HIDDEN@"),
    ([b"Transfer-Encoding: chunked", b"Content-Length: 5"], b"0\r\n\r\n@HIDDEN@"),
    ([b"Content-Length: 0", b"Transfer-Encoding: chunked"], b"@HEX@\r\n@HIDDEN@\r\n0\r\n\r\n"),
    ([b"Content-Length: @SIZE@", b"Transfer-Encoding: xchunked"], b"@HIDDEN@"),
    ([b"Content-Length: @SIZE@", b"Transfer-Encoding: identity"], b"@HIDDEN@"),
    ([b"Content-Length: @SIZE@", b"Transfer-Encoding :chunked"], b"@HIDDEN@"),
    ([b"Content-Length: 5", b"Transfer-Encoding: chunked", b"Connection: content-length"], b"0\r\n\r\n@HIDDEN@"),
    ([b"Content-Length: @SIZE@", b"Connection: content-length"], b"@HIDDEN@"),
    ([b"Transfer-Encoding: chunked", b"Connection: transfer-encoding"], b"@HEX@\r\n@HIDDEN@\r\n0\r\n\r\n"),
    ([b"Connection: close"], b"@HIDDEN@"),
    ([b"Connection: keep-alive, close"], b"@HIDDEN@"),
    ([b"Connection: cookie, x-csrf, authorization"], b"@HIDDEN@"),
    ([b"Connection: host"], b"@HIDDEN@"),
    ([b"Keep-Alive: timeout=1, max=1", b"Proxy-Connection: close"], b"@HIDDEN@"),
    ([b"Content-Length: @SIZE@", b"Expect: 100-continue"], b"@HIDDEN@"),
    ([b"Content-Length: @SIZE@", b"Expect: 100-Continue", b"Expect: 100-continue"], b"@HIDDEN@"),
    ([b"Content-Length: @SIZE@", b"Expect: y 100-continue"], b"@HIDDEN@"),
    ([b"Content-Length: @SIZE@", b"Expect:\r\n 100-continue"], b"@HIDDEN@"),
    ([b"Transfer-Encoding: chunked", b"Expect: 100-continue"], b"@HEX@\r\n@HIDDEN@\r\n0\r\n\r\n"),
    ([b"Content-Length: 0", b"Expect: 100-continue"], b"@HIDDEN@"),
    ([b"Expect: 100-continue"], b"@HIDDEN@"),
    ([b"Transfer-Encoding: chunked", b"Trailer: X-Sum, Content-Length"], b"0\r\nX-Sum: 1\r\nContent-Length: @SIZE@\r\n\r\n@HIDDEN@"),
    ([b"TE: trailers, chunked", b"Connection: TE"], b"@HIDDEN@"),
    ([b"Upgrade: h2c", b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA"], b"@HIDDEN@"),
    ([b"Upgrade: h2c", b"Connection: Upgrade", b"Content-Length: @SIZE@"], b"@HIDDEN@"),
    ([b"Upgrade: websocket", b"Connection: Upgrade"], b"@HIDDEN@"),
    ([b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 1", WEBSOCKET_KEY], b"@HIDDEN@"),
    ([b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", WEBSOCKET_KEY], b"@HIDDEN@"),
    ([b"Upgrade: websocket", b"Connection: Upgrade", b"Sec-WebSocket-Version: 13", WEBSOCKET_KEY], b"@HIDDEN@"),
    ([b"Upgrade: TLS/1.0", b"Connection: Upgrade", b"Transfer-Encoding: chunked"], b"0\r\n\r\n@HIDDEN@"),
    ([b"Host: evil.test"], b"@HIDDEN@"),
    ([b"host: @HOST@"], b"@HIDDEN@"),
    ([b"Host : evil.test"], b"@HIDDEN@"),
    ([b"X-Forwarded-Host: evil.test", b"Forwarded: host=evil.test", b"X-Original-URL: /api/b", b"X-Rewrite-URL: /api/b"], b"@HIDDEN@"),
    ([b"X-HTTP-Method-Override: PUT", b"X-Method: HEAD"], b"@HIDDEN@"),
    ([b"X: " + b"a" * 7000], b"@HIDDEN@"),
    ([b"Content-Length: 20000"], b"a" * 20000 + b"@HIDDEN@"),
    ([b"Transfer-Encoding: chunked"], b"4e20\r\n" + b"a" * 20000 + b"\r\n0\r\n\r\n@HIDDEN@"),
    ([b"Range: bytes=0-1", b"If-None-Match: *", b"Accept-Encoding: gzip"], b"@HIDDEN@"),
]  # fmt: skip

FRAMINGS: list[Framing] = [
    *(([b"Content-Length: " + length], b"@HIDDEN@") for length in LENGTHS),
    *(([b"Content-Length: " + length], b"hello@HIDDEN@") for length in LENGTHS if b"5" in length),
    *(([b"Transfer-Encoding: " + coding], b"0\r\n\r\n@HIDDEN@") for coding in CODINGS),
    *(([b"Transfer-Encoding: " + coding, b"Content-Length: 5"], b"0\r\n\r\n@HIDDEN@") for coding in CODINGS),
    *(([name], b"0\r\n\r\n@HIDDEN@") for name in NAMES),
    *(([name, b"Content-Length: 5"], b"0\r\n\r\n@HIDDEN@") for name in NAMES if b"chunked" in name),
    *(([b"Transfer-Encoding: chunked"], content) for content in CHUNKS),
    *OTHERS,
]

LINES = [
    b"http://@HOST@@TARGET@", b"HTTP://@HOST@@TARGET@", b"http://evil.test@TARGET@", b"http://evil@@HOST@@TARGET@",
    b"https://@HOST@@TARGET@", b"//@HOST@@TARGET@", b"//evil.test@TARGET@", b"@TARGET@#part",
    b"@TARGET@?a=%0d%0aX:%20y", b"@TARGET@ x", b"@TARGET@\tx", b"@TARGET@\x00", b"@TARGET@\x80", b"/..@TARGET@",
    b"/%2e%2e@TARGET@", b"@TARGET@/../x", b"\\@TARGET@", b"@HOST@", b"*", b"", b"@TARGET@;a=b?c", b"x@TARGET@",
]  # fmt: skip
VERSIONS = [
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/1.2",
    b"HTTP/1.1 ",
    b"http/1.1",
    b"HTTP/1.1\n",
    b"HTTP/01.1",
]
PLAIN: list[Framing] = [
    ([], b"@HIDDEN@"),
    ([b"Content-Length: @SIZE@"], b"@HIDDEN@"),
    ([b"Transfer-Encoding: chunked"], b"0\r\n\r\n@HIDDEN@"),
    ([b"Connection: keep-alive", b"Content-Length: 5"], b"hello@HIDDEN@"),
]

METHODS = [b"POST", b"GET", b"HEAD", b"DELETE"]
KINDS = [
    "echo",
    "chunked",
    "early",
    "nocontent",
    "notmodified",
    "hints",
    "close",
    "earlyclose",
]  # what the upstream does
CUTS = ["whole", "head", "halves", "lines"]  # how the bytes are parted into segments

HIDDEN_HEAD = b"GET @HIDDENTARGET@ HTTP/1.1\r\nHost: @HOST@\r\n@OURS@X-Edge: forged\r\nAuthorization: Bearer forged\r\n"
WHOLE = HIDDEN_HEAD + b"\r\n"
OPEN_ENDED = HIDDEN_HEAD + b"X-Open: "  # what follows on the connection becomes the value of a field

TOKENS = [
    b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\x00", b"\x0b", b"\x0c", b"\x80", b"\xff", b":", b",", b";",
    b"0", b"1", b"f", b"#", b"?", b"%00", b"chunked", b"Content-Length: 3\r\n", b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b" HTTP/1.1", b"Host: evil\r\n", b"Connection: close\r\n",
    b"Connection: content-length\r\n", b"\r\n ", b"Expect: 100-continue\r\n", b"TE: trailers\r\n",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sends a case: a signed-in user of this public authority."""

    name: str
    host: bytes
    cookie: bytes

    @property
    def ours(self) -> bytes:
        """The field lines of a call from our own page."""
        return b"Cookie: " + self.cookie + b"\r\nX-CSRF: 1\r\nSec-Fetch-Site: same-origin\r\n"

    def target(self, number: int, what: str) -> bytes:
        """`/api/a/7/echo`: whose it is, the case, and what the upstream is to do."""
        return f"/api/{self.name}/{number}/{what}".encode()

    def canary(self, number: int) -> bytes:
        """A whole request that is beyond doubt."""
        return b"GET %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (self.target(number, "canary"), self.host, self.ours)


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One template, what hides in it, and how it is sent."""

    template: bytes
    hidden: bytes
    kind: str
    cut: str

    @property
    def is_head(self) -> bool:
        """Whether its answer has no content."""
        return self.template.startswith(b"HEAD ")

    def wire(self, caller: Caller, number: int) -> bytes:
        """The bytes that this caller sends."""
        hidden = _filled(self.hidden, caller, HIDDENTARGET=caller.target(number, "hidden"))
        size = len(hidden)
        sizes = {"SIZE": b"%d" % size, "HEX": b"%x" % size, "HIDDEN": hidden}
        return _filled(self.template, caller, TARGET=caller.target(number, self.kind), **sizes)

    def pieces(self, caller: Caller, number: int) -> list[bytes]:
        """The same in segments."""
        wire = self.wire(caller, number)
        if self.cut == "whole":
            return [wire]
        if self.cut == "lines":
            return wire.splitlines(keepends=True)
        at = wire.find(b"\r\n\r\n") + 4 if self.cut == "head" else len(wire) // 2
        return [part for part in (wire[:at], wire[at:]) if part]


PLACEHOLDER = re.compile(rb"(@[A-Z]+@)")


def _filled(template: bytes, caller: Caller, **values: bytes) -> bytes:
    every = {"HOST": caller.host, "OURS": caller.ours, **values}
    return PLACEHOLDER.sub(lambda found: every[found[1].decode().strip("@")], template)


def template(method: bytes, target: bytes, framing: Framing, *, version: bytes = b"HTTP/1.1") -> bytes:
    """A request with this line and framing."""
    lines, content = framing
    fields = b"".join(line + b"\r\n" for line in lines)
    return b"%b %b %b\r\nHost: @HOST@\r\n@OURS@%b\r\n%b" % (method, target, version, fields, content)


def crossed() -> list[Case]:
    """Every framing with every method, every line with every version; both kinds of hidden requests; the rest goes round."""
    templates = [template(method, b"@TARGET@", framing) for framing in FRAMINGS for method in METHODS]
    templates += [
        template(METHODS[at % 2], line, framing, version=version)
        for line in [b"@TARGET@", *LINES]
        for version in VERSIONS[: None if line == b"@TARGET@" else 2]
        for at, framing in enumerate(PLAIN)
    ]
    return [
        Case(template=one, hidden=hidden, kind=KINDS[at % len(KINDS)], cut=CUTS[at % 11 % len(CUTS)])
        for at, (one, hidden) in enumerate((one, hidden) for one in templates for hidden in (WHOLE, OPEN_ENDED))
    ]


def mutated(chance: random.Random, *, count: int) -> Iterator[Case]:
    """So many of them with up to three insertions or deletions at random, behind the target and outside of the placeholders."""
    cases = crossed()
    for _ in range(count):
        case = chance.choice(cases)
        changed = case.template
        for _ in range(chance.randint(1, 3)):
            changed = _mutated(changed, chance)
        yield Case(template=changed, hidden=case.hidden, kind=chance.choice(KINDS), cut=chance.choice(CUTS))


def _mutated(whole: bytes, chance: random.Random) -> bytes:
    parts = PLACEHOLDER.split(whole)
    plain = [at for at, part in enumerate(parts) if at >= 2 and not PLACEHOLDER.fullmatch(part) and part]
    if not plain:
        return whole
    at = chance.choice(plain)
    where = chance.randint(0, len(parts[at]))
    gone = where + chance.choice([0, 0, 0, 1, 2])
    parts[at] = parts[at][:where] + (chance.choice(TOKENS) if gone == where else b"") + parts[at][gone:]
    return b"".join(parts)
