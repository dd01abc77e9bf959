"""One response of an upstream as its bytes come in, sans-I/O.

What the reader holds to (RFC 9112 section 6.3, and the reasons in brackets):
    - Every response gets a parser of its own; nothing of one response can lead into the next.
    - Interim responses (1xx) are skipped, any number; 101 breaks the exchange, unless an upgrade was asked for (`UpgradeReader`).
    - A response to HEAD, and 204 and 304, end with their fields; Content-Length does not matter there.
    - A response without Content-Length and chunked coding ends with the connection, cleanly only if that was closed in order.
    - Trailers are dropped, never merged (llhttp reports them through `on_header`, after the content).
    - `Transfer-Encoding` other than `chunked`, or besides Content-Length, and impossible lengths or status codes: broken.
    - No more than `MAX_BARREN` bytes in a row may come without content: heads, interim responses, chunk extensions, trailers. Fields
      are counted as they are read: the limit is the same however they were cut into segments.

`reusable` is true only after a response that was complete, that left no byte over, and whose framing leaves no room for one (not
after HEAD, nor a length where no content may be: some upstreams send it nevertheless).
"""

from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from bff.proxy.response_head import ResponseHead, kept_head, read_head
from bff.request_head import Field

MAX_BARREN = 64 * 1024

_CLOSED = "closed before the end of its answer"
_LOST = "the connection was lost"
_BARREN = "too many bytes without content"

# Names that the reader looks at have one of these lengths: an integer in a set is found faster than six names are lower-cased.
_WATCHED_LENGTHS = frozenset(map(len, (b"content-length", b"transfer-encoding", b"keep-alive", b"content-type")))
_NO_CONTENT = frozenset({204, 304})


class ResponseReader:
    """One response, sans-I/O: bytes go in through `feed` and `eof`, content comes out through `take`.

    `status` is 0 until the final response's fields are all in `fields` (lower-case names, wire order). `broken` is one phrase: what
    the upstream did wrong; it is set at most once, and never after `complete`. `received` counts bytes, heads and framing too.
    """

    __slots__ = (
        "_chunks",
        "_coding",
        "_content_seen_at",
        "_field_bytes",
        "_head_only",
        "_length",
        "_lost_by",
        "_parser",
        "_rest",
        "_until_close",
        "broken",
        "buffered",
        "complete",
        "fields",
        "head",
        "keep_alive",
        "media_type",
        "received",
        "reusable",
        "status",
    )

    def __init__(self, head_only: bool) -> None:
        self._head_only = head_only  # the request is a HEAD
        self._parser: HttpResponseParser | None = None  # made when the first bytes come
        self._chunks: list[bytes] = []
        self._coding: bytes | None = None
        self._length: bytes | None = None
        self._rest = 0  # content still to come, once the parser has handed over; content of a known length needs none
        self._until_close = False
        self._content_seen_at = 0
        self._field_bytes = 0  # of field lines since the last content
        self._lost_by: str | None = None
        self.status = 0
        self.fields: list[Field] = []
        self.head: ResponseHead | None = None  # if it was read whole
        self.keep_alive: bytes | None = None  # the upstream's word on how long it keeps the connection
        self.media_type: bytes | None = None
        self.received = 0
        self.buffered = 0
        self.complete = False
        self.reusable = False
        self.broken: str | None = None

    @property
    def was_lost(self) -> bool:
        """Whether it is broken because the connection ended."""
        return self._lost_by is not None

    @property
    def broken_by(self) -> str:
        """The word for it: `lost` with its connection, which `tls` may have ended, or a rule of `http`."""
        return self._lost_by or "http"

    def feed(self, data: bytes) -> None:
        """Takes in what the upstream sent."""
        self.received += len(data)
        if self._rest:
            self._count_down(data)
            return
        if self._parser is None:
            rest = self._whole_head(data)
            if rest is not None:
                if len(rest) == self._rest:  # all of it is here, as nearly always: `_count_down` without a call
                    self._rest, self.buffered = 0, len(rest)
                    self._chunks.append(rest)
                    self.complete = True
                else:
                    self._count_down(rest)
                return
        try:
            cast(HttpResponseParser, self._parser).feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._switched(data[upgrade.args[0] :])
            return
        except HttpParserError as error:
            # The text is llhttp's or ours; it quotes nothing that was received.
            self._break(str(error.__context__ or error))
            return
        if self.complete:
            self._parser = None
        elif self.received - self._content_seen_at > MAX_BARREN:
            self._break(_BARREN)
        elif self._length is not None and self.status:
            self._rest = int(self._length) - self.buffered
            self._parser = None

    def _whole_head(self, data: bytes) -> bytes | None:
        """What follows a head that is whole and says how long its content is: nearly all are. None: the parser has to tell."""
        end = data.find(b"\r\n\r\n") + 4
        head = None
        if 4 <= end <= MAX_BARREN and not self._head_only:
            written = data if end == len(data) else data[:end]
            head = kept_head(written) or read_head(written)
        if head is None:
            self._parser = HttpResponseParser(self)
            return None
        self.head = head
        self.fields = head.fields
        self._rest = head.length
        self.keep_alive = head.keep_alive
        self.media_type = head.media_type
        self.reusable = True
        self.status = head.status
        return data[end:]

    def eof(self) -> None:
        """The upstream closed in order."""
        if self._until_close and self.broken is None:
            self.complete = True
            self._parser = None
        else:
            self._lose("lost", _CLOSED)

    def lost(self, tls: str | None = None) -> None:
        """The connection went away, and not in order; `tls` is what OpenSSL says, if TLS ended it."""
        if tls is None:
            self._lose("lost", _LOST)
        else:
            self._lose("tls", tls)

    def _lose(self, by: str, reason: str) -> None:
        if not self.complete and self.broken is None:
            self._lost_by = by
        self._break(reason)

    def take(self) -> bytes:
        """The content that came in since the last call."""
        chunks = self._chunks
        if not chunks:
            return b""
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks = []
        self.buffered = 0
        return data

    def _switched(self, behind: bytes) -> None:
        """The upstream switches protocols; `behind` came after the head."""
        self._break("switched protocols")

    def _break(self, reason: str) -> None:
        self._parser = None  # its callbacks are our methods: a cycle
        self.reusable = False
        if not self.complete and self.broken is None:
            self.broken = reason

    def _count_down(self, data: bytes) -> None:
        """Content of a known length: a parser would copy it."""
        if not data:
            return
        if len(data) >= self._rest:
            self.reusable = self.reusable and len(data) == self._rest
            data = data[: self._rest]
            self.complete = True
        self._rest -= len(data)
        self._chunks.append(data)
        self.buffered += len(data)

    # --- what llhttp reports; what is raised here comes out of `feed_data` as an HttpParserError ---

    def on_message_begin(self) -> None:
        """Also before each interim response."""
        if self.complete:
            raise HttpParserError("bytes after the response")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Also for each trailer, after the content."""
        self._field_bytes += len(name) + len(value) + 4
        if self._field_bytes > MAX_BARREN:
            raise HttpParserError(_BARREN)
        if self.status:
            return
        name, value = name.lower(), value.strip(b" \t")
        if len(name) in _WATCHED_LENGTHS:
            self._note(name, value)
        self.fields.append((name, value))

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._length = value  # digits: llhttp has seen to it, and to its being the only one
        elif name == b"transfer-encoding":
            self._coding = value.lower() if self._coding is None else b"twice"
        elif name == b"keep-alive":
            self.keep_alive = value
        elif name == b"content-type" and self.media_type is None:
            self.media_type = value

    def on_headers_complete(self) -> None:
        """The end of a head, interim or final."""
        parser = cast(HttpResponseParser, self._parser)
        status = parser.get_status_code()
        if status < 200:
            self._skip_interim(status)
            return
        self._check_framing(status)
        self.reusable = parser.should_keep_alive()
        if self._head_only or status in _NO_CONTENT:
            self.complete = True
            self.reusable = (
                self.reusable and not self._head_only and self._length in {None, b"0"} and self._coding is None
            )
        elif self._coding is not None:
            self.reusable = self.reusable and parser.get_http_version() == "1.1"  # RFC 9112 section 6.1
        elif self._length is None:
            self._until_close = True
        self.status = status

    def _skip_interim(self, status: int) -> None:
        if status < 100 or status == 101:
            raise HttpParserError("switched protocols" if status == 101 else "impossible status code")
        if self._coding is not None or self._length is not None:
            raise HttpParserError("content in an interim response")  # RFC 9110 section 8.6
        self.media_type = None
        self.fields.clear()

    def _check_framing(self, status: int) -> None:
        if status > 599:
            raise HttpParserError("impossible status code")  # RFC 9110 section 15
        if self._coding is not None and self._coding != b"chunked":
            raise HttpParserError("a transfer coding that we did not ask for")

    def on_body(self, chunk: bytes) -> None:
        """Some content; what comes after the head of a response that may have none is dropped."""
        if self.complete:
            return
        self._content_seen_at = self.received
        self._field_bytes = 0
        self._chunks.append(chunk)
        self.buffered += len(chunk)

    def on_message_complete(self) -> None:
        """The end of a message, interim or final."""
        if self.status:
            self.complete = True


class UpgradeReader(ResponseReader):
    """The response to a request for an upgrade: a 101 is its end, and `tail` is what came behind it in the other protocol."""

    __slots__ = ("tail",)

    def __init__(self) -> None:
        super().__init__(False)
        self.tail = b""

    def feed(self, data: bytes) -> None:
        """Takes in what the upstream sent."""
        if self.status == 101:
            self.tail += data
        else:
            super().feed(data)

    def _skip_interim(self, status: int) -> None:
        if status == 101:
            self.status = status
        else:
            super()._skip_interim(status)

    def _switched(self, behind: bytes) -> None:
        self._parser = None
        self.complete = True
        self.tail = behind
