"""Requests out of the bytes of one connection, sans-I/O: bytes in, messages and judgements out.

`next_event` takes bytes and returns what they make, one event a call; `feed` only keeps them. The next message is read when the caller
asks for it, so requests that wait for the answer to another cost their bytes and nothing else.

    phase     what it waits for                 limits while it comes                                  then
    HEAD      the end of a head                 `max_head` bytes (431), 100 fields (431),              LENGTH, CHUNKS, HEAD,
                                                a target of `max_target` bytes (414)                   TUNNEL, STOPPED
    LENGTH    so many bytes of content          `Content-Length`                                       HEAD, STOPPED
    CHUNKS    the last chunk and trailers       see chunked.py                                         HEAD, STOPPED
    TUNNEL    nothing: a WebSocket's bytes      -                                                      -
    STOPPED   nothing: what comes is dropped    -                                                      -

A head is kept as bytes until its empty line is there, and only then parsed, at once: llhttp judges it, and its lines are its fields.
So an unfinished head costs its own length and no more, and what a head means cannot depend on how it was cut into segments.
Each head that is judged gets a parser of its own (0.6 us): llhttp refuses what follows a `Proxy-Connection: close`, which ends no
connection (RFC 9112 section 9.3), so the next request of another user on a proxy's connection would be refused.
A page repeats its fields: lines that llhttp has accepted, and that say nothing about content, protocol or the connection, are not
judged again; of a plain request line that comes before them only the bytes are (llhttp: 9,400 of 160,000 instructions a call).

What is judged here, because a hop before us must not read it otherwise:
    lines      end with CRLF. llhttp refuses a bare CR and a bare LF, which RFC 9112 section 2.2 lets a recipient take for a line end
               (https://www.rfc-editor.org/rfc/rfc9112#section-2.2): proxies disagree about it. The tests hold llhttp to that
    target     the authority of an absolute-form beats Host (RFC 9112 section 3.2.2); a `#` is no part of a target
    framing    one Content-Length of digits, or `Transfer-Encoding: chunked` alone and in HTTP/1.1 only (RFC 9112 section 6.1)
    version    1.1 and 1.0
    upgrades   `websocket` in HTTP/1.1 without content; every other one is ignored, as RFC 9110 section 7.8 allows
"""

import re
from enum import Enum, auto

import httptools
from msgspec import Struct

from bff.config.model import LimitsConfig
from bff.errors import (
    BrowserError,
    HeadTooLarge,
    MalformedRequest,
    NotImplementedHere,
    TargetTooLong,
    VersionNotSupported,
)
from bff.proxy.fields import connection_options
from bff.proxy.response_head import JUDGE
from bff.proxy.rewrite import MAX_FIELDS
from bff.request_head import (
    NUMBER,
    FieldSection,
    Peer,
    RequestHead,
    field_section,
    kept_section,
    request_id_of,
    section_of_lines,
)
from bff.request_id import cut_out, new_request_id
from bff.server.chunked import ChunkedError, ChunkedReader
from bff.server.guessed_head import guessed_head

_END = b"\r\n\r\n"
_VERSIONS = frozenset({b"HTTP/1.1", b"HTTP/1.0"})
# A request line that llhttp accepts before fields that it has accepted, and that leaves nothing to be judged: method, path, query.
# The target is visible ASCII without `#`.
_PLAIN_LINE = re.compile(
    rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[!\"$->@-~]*)(?:\?([!\"$-~]*))? HTTP/1\.1",
)
_NO_OPTIONS: frozenset[bytes] = frozenset()
# The bytes that a method begins with: llhttp would take a TLS record for a head that has not ended.
_LETTERS = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


class Phase(Enum):
    """What the reader waits for; the table above."""

    HEAD = auto()
    LENGTH = auto()
    CHUNKS = auto()
    TUNNEL = auto()
    STOPPED = auto()


_HEAD, _LENGTH, _CHUNKS, _TUNNEL, _STOPPED = Phase  # a module's global costs a third of an Enum's member


class Message(Struct, frozen=True):
    """A request whose head has come. With `has_content` there follows `Content`, up to the `last`.

    `expects_continue`: the browser may wait for `100 Continue` before it sends content (RFC 9110 section 10.1.1).
    """

    head: RequestHead
    version: bytes  # b"1.1" or b"1.0"
    keep_alive: bool
    has_content: bool
    expects_continue: bool
    is_websocket: bool


class Content(Struct, frozen=True):
    """Some content of the message before; `last`: all of it has come."""

    data: bytes
    last: bool


Event = Message | Content | BrowserError


class RequestReader:
    """The requests of one connection. After a `BrowserError` nothing more is reported."""

    __slots__ = (
        "_chunks",
        "_head",
        "_keep_alive",
        "_left",
        "_limits",
        "_lines",
        "_peer",
        "_refused_head",
        "_surely_small",
        "in_content",
        "is_head_request",
        "phase",
        "refused_content",
        "unread",
    )

    def __init__(self, *, peer: Peer, limits: LimitsConfig) -> None:
        self.settle(peer=peer, limits=limits)
        self._head = bytearray()  # of a head that has not ended
        self._refused_head = b""
        self._lines = 0  # in it
        self._left = 0  # bytes of content that are still to come
        self._chunks: ChunkedReader | None = None
        self._keep_alive = True
        self.unread = b""  # bytes that no event has reported
        self.in_content = False  # content is still to come
        self.is_head_request = False  # the last head that was looked at was a HEAD's, whose answer has no content
        self.refused_content = False  # the refusal is of a message's content, not of a head
        self.phase = _HEAD

    def settle(self, *, peer: Peer, limits: LimitsConfig) -> None:
        """Judge the heads that end from now on by these."""
        self._peer = peer
        self._limits = limits
        self._surely_small = min(limits.max_target, limits.max_head)

    @property
    def in_head(self) -> bool:
        """Whether a part of a head has come."""
        return bool(self._head)

    def refused_head(self) -> RequestHead | None:
        """What is known of a head that was refused, or has not ended: for the shape of the answer, and for nothing else."""
        return guessed_head(self._refused_head or bytes(self._head), self._peer)

    def stop(self) -> None:
        """Read nothing more."""
        self.phase = _STOPPED
        self.in_content = False
        self._chunks = None
        self._head = bytearray()
        self.unread = b""

    def feed(self, data: bytes) -> None:
        """Keep what came for `next_event`; after a refusal it is dropped."""
        if self.phase is not _STOPPED:
            self.unread = self.unread + data if self.unread else data

    def next_event(self, data: bytes = b"") -> Event | None:
        """What comes next, with `data` behind all that was fed; None while it is not known. A `BrowserError` is the last event."""
        if self.unread:
            data, self.unread = self.unread + data, b""
        if not data:
            return None
        if self.phase is _HEAD:
            return self._read_head(data)
        if self.phase is _LENGTH:
            return self._read_length(data)
        return self._read_chunks(data) if self.phase is _CHUNKS else None

    def rest(self) -> bytes:
        """What came behind a WebSocket's handshake and was not read here."""
        rest, self.unread = self.unread, b""
        return rest

    # --- a head ---

    def _read_head(self, data: bytes) -> Event | None:
        if self._head:
            return self._go_on_with_head(data)
        known = self._known(data)
        if known is not None:
            return known
        if data[0] in b"\r\n":  # RFC 9112 section 2.2: empty lines before a request line are ignored
            data = data.lstrip(b"\r\n")
        end = data.find(_END)
        if end < 0:
            return self._keep(data) if data else None
        size = end + 4
        if size == len(data):
            return self._judge(data)
        head, self.unread = data[:size], data[size:]
        return self._known(head) or self._judge(head)

    def _keep(self, data: bytes) -> Event | None:
        """Keep the beginning of a head, unless it cannot be one."""
        self._head = bytearray(data)
        self._lines = data.count(b"\n")
        return self._too_large(data, self._lines)

    def _go_on_with_head(self, data: bytes) -> Event | None:
        head = self._head
        searched = max(0, len(head) - 3)
        head += data
        end = head.find(_END, searched)
        if end < 0:
            self._lines += data.count(b"\n")
            return self._too_large(head, self._lines)
        self._head, self.unread = bytearray(), bytes(head[end + 4 :])
        whole = bytes(head[: end + 4])
        return self._known(whole) or self._judge(whole)

    def _too_large(self, head: bytes | bytearray, lines: int) -> BrowserError | None:
        """The judgement of a head's beginning and size, the same for a whole one and for what has come of it."""
        self.is_head_request = head[:5] == b"HEAD "
        if head[0] not in _LETTERS:
            return self._refused(MalformedRequest("This is not HTTP."), head)
        if len(head) > self._limits.max_target and _target_length(head) > self._limits.max_target:
            return self._refused(self._target_too_long(), head)
        if len(head) > self._limits.max_head or lines > MAX_FIELDS + 2:
            return self._refused(self._head_too_large(), head)
        return None

    def _known(self, head: bytes) -> Message | None:
        """The message of a head whose fields are kept (they end with the empty line, their first), behind a plain request line."""
        if len(head) > self._surely_small:
            return None
        line, _, lines_of_fields = head.partition(b"\r\n")
        section, given = kept_section(lines_of_fields), None
        if section is None:
            lines_of_fields, given = cut_out(lines_of_fields)
            section = None if given is None else kept_section(lines_of_fields)
        plain = None if section is None else _PLAIN_LINE.fullmatch(line)
        if section is None or plain is None or not section.is_plain:
            return None
        method, path, query = plain.groups(b"")
        self.is_head_request = method == b"HEAD"
        request_id = self._request_id(section, given) if self._peer.trusted else new_request_id()  # without a call
        request = RequestHead(method, path, query, section, section.fields, section.named, self._peer, request_id)
        if section.length:
            self._left, self._keep_alive = section.length, True
            self.phase, self.in_content = _LENGTH, True
        return Message(request, b"1.1", True, section.length > 0, False, False)

    def _request_id(self, section: FieldSection, given: bytes | None) -> bytes:
        """The id of a request: that which its trusted peer has `given`, else a new one."""
        return given if given is not None and self._peer.trusted else request_id_of(section, self._peer)

    def _judge(self, head: bytes) -> Event:
        """The message of a head, or what is wrong with it."""
        self.is_head_request = head[:5] == b"HEAD "
        words = head.partition(b"\r\n")[0].split(b" ")
        lines = head.count(b"\n")
        if len(head) > self._surely_small or lines > MAX_FIELDS + 2:
            too_large = self._too_large(head, lines)
            if too_large is not None:
                return too_large
        try:
            httptools.HttpRequestParser(JUDGE).feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # whether there is one is judged below
        except httptools.HttpParserError:
            words = []
        if len(words) != 3:  # the parser takes more than one space, which RFC 9112 section 3 does not know
            return self._refused(MalformedRequest("This is not HTTP, or has more than one meaning."), head)
        method, target, version = words
        try:
            message = self._message(method, target, version, *cut_out(head.partition(b"\r\n")[2]))
        except BrowserError as error:
            return self._refused(error, head)
        if message.has_content or message.is_websocket or not message.keep_alive:
            self._begin_content(message)
        return message

    def _begin_content(self, message: Message) -> None:
        self._keep_alive = message.keep_alive
        if message.is_websocket:
            self.phase = _TUNNEL
        elif not message.has_content:
            self.stop()
        elif self._left:
            self.phase, self.in_content = _LENGTH, True
        else:
            self._chunks = ChunkedReader()
            self.phase, self.in_content = _CHUNKS, True

    def _message(self, method: bytes, target: bytes, version: bytes, lines: bytes, given: bytes | None) -> Message:
        """The message of a head; its fields are `lines`, but for the line of an id that was `given`.

        Raises:
            BrowserError: it cannot be served.
        """
        if version not in _VERSIONS:
            if method == b"PRI":  # RFC 9113 section 3.4: the preface of HTTP/2
                raise MalformedRequest("This server does not speak HTTP/2.")
            raise VersionNotSupported("This server speaks HTTP/1.1 and HTTP/1.0.")
        if method == b"CONNECT":
            raise NotImplementedHere("There is no CONNECT here.")
        section = section_of_lines(lines)
        if target[:1] != b"/" or b"#" in target:
            target, section = _origin_form(target, section)
        path, _, query = target.partition(b"?")
        named = section.named
        request_id = self._request_id(section, given)
        head = RequestHead(method, path, query, section, section.fields, named, self._peer, request_id)
        is_1_1 = version == b"HTTP/1.1"
        has_content = (b"content-length" in named or b"transfer-encoding" in named) and self._framing(head, is_1_1)
        options = _NO_OPTIONS
        some_repeated = len(named) != len(section.fields)  # `named` has the last of several `Connection` lines only
        if b"connection" in named and (some_repeated or named[b"connection"] != b"keep-alive"):
            options = connection_options(value for name, value in section.fields if name == b"connection")
        is_websocket = is_1_1 and b"upgrade" in options and _names_websocket(head)
        if is_websocket and has_content:
            raise MalformedRequest("A WebSocket handshake has no content.")
        return Message(
            head,
            b"1.1" if is_1_1 else b"1.0",
            is_1_1 and b"close" not in options,
            has_content,
            is_1_1 and b"expect" in named and named[b"expect"].lower() == b"100-continue",
            is_websocket,
        )

    def _framing(self, head: RequestHead, is_1_1: bool) -> bool:
        """Whether content follows a head with either field; without them there is none (RFC 9112 section 6.3)."""
        named = head.named
        coding, length = named.get(b"transfer-encoding"), named.get(b"content-length")
        self._left = 0
        if coding is not None and length is not None:
            raise MalformedRequest("Both Content-Length and Transfer-Encoding.")
        if length is not None:
            lengths = [value for name, value in head.fields if name == b"content-length"]
            if len(lengths) != 1 or NUMBER.fullmatch(length) is None:
                raise MalformedRequest("Content-Length is not one number.")
            self._left = int(length)
            return self._left > 0
        codings = b",".join(value for name, value in head.fields if name == b"transfer-encoding").lower()
        if codings != b"chunked" or not is_1_1:
            below_chunked = codings.replace(b" ", b"").replace(b"\t", b"").endswith(b",chunked")
            kind = NotImplementedHere if below_chunked and is_1_1 else MalformedRequest
            raise kind("The only transfer coding is chunked, and only in HTTP/1.1.")
        return True

    # --- content ---

    def _read_length(self, data: bytes) -> Content:
        if len(data) > self._left:
            data, self.unread = data[: self._left], data[self._left :]
        self._left -= len(data)
        if self._left:
            return Content(data, False)
        self._end_message()
        return Content(data, True)

    def _read_chunks(self, data: bytes) -> Event | None:
        chunks = self._chunks
        if chunks is None:
            raise RuntimeError("no chunked content is being read")
        try:
            content = b"".join(chunks.feed(data))
        except ChunkedError:
            self.refused_content = True
            return self._refused(MalformedRequest("The content is not in chunks, or is more framing than content."))
        if chunks.complete:
            self._chunks, self.unread = None, chunks.rest
            self._end_message()
            return Content(content, True)
        return Content(content, False) if content else None

    def _end_message(self) -> None:
        self.in_content = False
        if self._keep_alive:
            self.phase = _HEAD
        else:
            self.stop()

    # --- judgements ---

    def _refused(self, error: BrowserError, head: bytes | bytearray = b"") -> BrowserError:
        self.stop()
        self._refused_head = bytes(head[: self._limits.max_head])
        return error

    def _target_too_long(self) -> TargetTooLong:
        return TargetTooLong(f"The request target is longer than {self._limits.max_target} bytes.")

    def _head_too_large(self) -> HeadTooLarge:
        return HeadTooLarge(
            f"The header fields are larger than {self._limits.max_head} bytes, or more than {MAX_FIELDS}."
        )


def _origin_form(target: bytes, section: FieldSection) -> tuple[bytes, FieldSection]:
    """The target as a path, and the fields; of an absolute-form the authority becomes the Host field (RFC 9112 section 3.2.2).

    Raises:
        MalformedRequest: it is neither.
    """
    if b"#" in target:
        raise MalformedRequest("A fragment is no part of a request target.")
    if target[:1] == b"/" or target == b"*":
        return target, section
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in {b"http", b"https"}:
        raise MalformedRequest("The request target is neither a path nor an http URL.")
    end = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
    authority, path = rest[:end], rest[end:]
    fields = [*section.fields]
    hosts = [index for index, (name, _) in enumerate(fields) if name == b"host"]
    if len(hosts) != 1 or not authority:
        raise MalformedRequest("The Host field, or the host in the request target, is missing or there twice.")
    fields[hosts[0]] = (b"host", authority)
    return path if path.startswith(b"/") else b"/" + path, field_section(fields)


def _target_length(head: bytes | bytearray) -> int:
    """Bytes of the target, or of what has come of it."""
    line_end = head.find(b"\r\n")
    begin = head.find(b" ") + 1
    if begin == 0 or -1 < line_end < begin:
        return 0
    end = head.find(b" ", begin, len(head) if line_end < 0 else line_end)
    if end < 0:
        # The "\r" of a line end whose "\n" has not come is no part of the target.
        end = len(head) - head.endswith(b"\r") if line_end < 0 else line_end
    return end - begin


def _names_websocket(head: RequestHead) -> bool:
    """Whether the protocol to switch to is WebSocket (RFC 6455 section 4.2.1); with another method than GET it is refused."""
    return head.named.get(b"upgrade", b"").lower() == b"websocket"
