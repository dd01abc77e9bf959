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

A head is kept as bytes until its empty line is there, and only then judged, at once (`judged_head.py`). So an unfinished head costs
its own length and no more, and what a head means cannot depend on how it was cut into segments.
A page repeats its fields: lines that llhttp has accepted, and that say nothing about content, protocol or the connection, are not
judged again; of a plain request line that comes before them only the bytes are (llhttp: 9,400 of 160,000 instructions a call).
"""

import re
from enum import Enum, auto

from msgspec import Struct

from bff.config.model import LimitsConfig
from bff.errors import BrowserError, MalformedRequest
from bff.request_head import Peer, RequestHead, kept_section, own_fields
from bff.request_id import new_request_id
from bff.server.chunked import ChunkedError, ChunkedReader
from bff.server.guessed_head import guessed_head
from bff.server.judged_head import Message, given_id, judge_size, judged_head
from bff.varying_fields import parted

_END = b"\r\n\r\n"
# A request line that llhttp accepts before fields that it has accepted, and that leaves nothing to be judged: method, path, query.
# The target is visible ASCII without `#`, and its query is not empty.
_PLAIN_LINE = re.compile(
    rb"(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (/[!\"$->@-~]*)(?:\?([!\"$-~]+))? HTTP/1\.1",
)


class Phase(Enum):
    """What the reader waits for; the table above."""

    HEAD = auto()
    LENGTH = auto()
    CHUNKS = auto()
    TUNNEL = auto()
    STOPPED = auto()


_HEAD, _LENGTH, _CHUNKS, _TUNNEL, _STOPPED = Phase  # a module's global costs a third of an Enum's member


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
        return self._judge_size(data, self._lines)

    def _go_on_with_head(self, data: bytes) -> Event | None:
        head = self._head
        searched = max(0, len(head) - 3)
        head += data
        end = head.find(_END, searched)
        if end < 0:
            self._lines += data.count(b"\n")
            return self._judge_size(head, self._lines)
        self._head, self.unread = bytearray(), bytes(head[end + 4 :])
        whole = bytes(head[: end + 4])
        return self._known(whole) or self._judge(whole)

    def _judge_size(self, head: bytes | bytearray, lines: int) -> BrowserError | None:
        self.is_head_request = head[:5] == b"HEAD "
        try:
            judge_size(head, lines=lines, limits=self._limits)
        except BrowserError as error:
            return self._refused(error, head)
        return None

    def _known(self, head: bytes) -> Message | None:
        """The message of a head whose fields are kept (they end with the empty line, their first), behind a plain request line."""
        if len(head) > self._surely_small:
            return None
        line, _, lines_of_fields = head.partition(b"\r\n")
        section, found = kept_section(lines_of_fields), None
        if section is None:
            found = parted(lines_of_fields)
            section = kept_section(found.lines)
        plain = None if section is None else _PLAIN_LINE.fullmatch(line)
        if section is None or plain is None or not section.is_plain:
            return None
        method, path, query = plain.groups(b"")
        self.is_head_request = method == b"HEAD"
        given = None if found is None else found.request_id
        request_id = given_id(section, given, self._peer) if self._peer.trusted else new_request_id()  # without a call
        if found is None or not found.varying:
            request = RequestHead(method, path, query, section, section.fields, section.named, self._peer, request_id)
        else:
            fields, named = own_fields(section, found.varying)
            request = RequestHead(method, path, query, section, fields, named, self._peer, request_id, found.varying)
        if section.length:
            self._left, self._keep_alive = section.length, True
            self.phase, self.in_content = _LENGTH, True
        return Message(request, b"1.1", True, section.length > 0, False, False)

    def _judge(self, head: bytes) -> Event:
        """The message of a head, or what is wrong with it."""
        self.is_head_request = head[:5] == b"HEAD "
        try:
            message, self._left = judged_head(head, peer=self._peer, limits=self._limits)
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

    def _refused(self, error: BrowserError, head: bytes | bytearray = b"") -> BrowserError:
        self.stop()
        self._refused_head = bytes(head[: self._limits.max_head])
        return error
