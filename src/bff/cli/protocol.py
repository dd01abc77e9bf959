"""uvicorn's HTTP/1.1 protocol with what it leaves out, so that a request means the same to us as to any hop before us.

    limits         size of a head (431, 414) and the time it may take (408); framing round content, and content nobody reads;
                   requests that wait for the answers before theirs; answers that nobody reads
    trailers       dropped: uvicorn adds them to the fields that the application sees (RFC 9110 section 6.5.1)
    upgrades       other than to WebSocket, and in HTTP/1.0, are ignored (RFC 9110 section 7.8): llhttp would skip the content and
                   read it as the next request. A WebSocket's handshake is the first request or waits for the answers before it:
                   uvicorn would write them into the WebSocket
    target         the authority of an absolute-form beats Host (RFC 9112 section 3.2.2); a `#` is no part of a target
    framing        `Transfer-Encoding` but exactly `chunked`, or in HTTP/1.0, is refused (RFC 9112 section 6.1); so is a version
                   other than 1.0 and 1.1, `CONNECT`, and content with a WebSocket handshake. llhttp refuses the rest
    Expect         a request that got its answer instead of `100 Continue` leaves open whether its content follows: the
                   connection ends with that answer (RFC 9110 section 10.1.1)
    order          what is wrong with a pipelined request is said after the answers before it, never into one
    leaving        is told to the request that is being answered; uvicorn tells the last one that came

uvicorn bounds neither size nor time with httptools; a client that never ends its head would hold memory and a connection for good
(ASVS V4.2.5). A head that arrives whole in one segment, which nearly all do, costs one look at each field.
"""

import asyncio
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from bff.cli.answer_start import closing_answer, quick_start
from bff.cli.joined_writes import JoinedWrites
from bff.cli.websocket_protocol import BoundedWebSocketProtocol
from bff.config.model import LimitsConfig
from bff.errors import (
    BrowserError,
    HeadTooLarge,
    MalformedRequest,
    NotImplementedHere,
    RequestTimeout,
    TargetTooLong,
    VersionNotSupported,
)
from bff.web.problems import problem_of

MAX_FRAMING = 16 * 1024  # bytes of chunk sizes, extensions and trailers, beside ...
FRAMING_PER_BYTE = 16  # ... so many for each byte of content: one-byte chunks have five
MAX_UNREAD = 256 * 1024  # bytes of content that still come after the answer
MAX_PIPELINED = 32  # requests that wait for an answer to another: 256 KiB can hold ten thousand, at 1.5 KB each for us


class BoundedHttpToolsProtocol(HttpToolsProtocol):
    """One connection of a browser to our `App`, whose configuration has the limits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        app: Any = self.app
        self.ws_protocol_class = BoundedWebSocketProtocol
        self._parts = app.parts
        self._limits: LimitsConfig = app.parts.config.limits
        self._in_content = False  # between the end of a head and the end of its message
        self._in_head = False  # between the first byte of a head and its end
        self._messages = 0
        self._head_bytes = 0
        self._whole_segment: int | None = None  # bytes of the segment that holds all of the head, if one does
        self._content_bytes = 0  # received since the segment after the head, framing and all
        self._content = 0  # of that and of the head's own segment: content alone
        self._keep_alive_after_content = False
        self._deadline: asyncio.TimerHandle | None = None
        self._resting_since = 0.0  # on the event loop's clock
        self._refusal: BrowserError | None = None  # said when the answers before it are
        self._answering: RequestResponseCycle | None = None  # the last that was begun

    # --- the connection ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as the class above has it
        """Begin to wait for the first head."""
        joined: Any = JoinedWrites(transport, loop=self.loop, patience_seconds=self.timeout_keep_alive)
        super().connection_made(joined)  # a transport in all that it is asked for
        self._start_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._stop_deadline()
        self._unset_keepalive_if_required()
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()
        cast(JoinedWrites, self.transport).has_room()
        cast(JoinedWrites, self.transport).lost()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: no connection outlives the answer under way."""
        self._keep_alive_after_content = False
        super().shutdown()

    def pause_writing(self) -> None:
        """The browser reads more slowly than we write."""
        super().pause_writing()
        cast(JoinedWrites, self.transport).wait_for_room()

    def resume_writing(self) -> None:
        """It has read."""
        super().resume_writing()
        cast(JoinedWrites, self.transport).has_room()

    def data_received(self, data: bytes) -> None:
        """Parse, and judge what has come of a message that is not complete yet."""
        if self._refusal is not None:
            return
        messages, in_content = self._messages, self._in_content
        self._whole_segment = None if self._in_head else len(data)
        self._parse(data)
        if self.transport.is_closing():
            return
        other = in_content or messages != self._messages  # than one head alone: how much of it is a head is not known
        if self._in_content:
            if in_content and messages == self._messages:
                self._judge_framing(len(data))
        elif self._in_head or not other:
            self._judge_incomplete_head(0 if other else len(data))

    def _parse(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                if self._should_upgrade():
                    self._become_websocket()
                    return
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
            except httptools.HttpParserError:
                self._refuse(MalformedRequest("This is not HTTP, or has more than one meaning."))
                return

    def _should_upgrade(self) -> bool:
        return self.parser.get_http_version() == "1.1" and super()._should_upgrade()

    def _become_websocket(self) -> None:
        """Hand the connection over; refuse what the library on the other side has not even read, about which it says nothing."""
        self._stop_deadline()
        self._unset_keepalive_if_required()
        self.handle_websocket_upgrade()
        websocket: Any = self.transport.get_protocol()
        if not websocket.handshake_initiated:
            self._say(HeadTooLarge("A WebSocket handshake has at most 128 fields, of at most 8 KiB each."))

    def _head_without_upgrade(self) -> bytes:
        """To be parsed instead, by a parser that has not seen the upgrade."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        lines = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        start = b"%b %b HTTP/%b\r\n" % (
            self.scope["method"].encode("ascii"),
            self.url,
            self.scope["http_version"].encode("ascii"),
        )
        return b"".join([start, *lines, b"\r\n"])

    # --- what the parser reports ---

    def on_message_begin(self) -> None:
        """A head begins."""
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ValueError(
                "enough"
            )  # the last one's answer ends the connection; what follows is as if never received
        super().on_message_begin()
        self._in_head = True
        self._head_bytes = 0

    def on_headers_complete(self) -> None:
        """A head is complete: hand it on unless there is something wrong with it."""
        error = self._judge_head()
        if error is not None:
            self._refuse(error)
            raise ValueError("refused")  # stops the parser; `_refuse` then finds the connection answered
        if self.parser.should_upgrade() and not self._should_upgrade():
            self.scope["method"] = self.parser.get_method().decode("ascii")
            self.scope["http_version"] = self.parser.get_http_version()
            return
        self._in_head = False
        self._messages += 1
        self._content_bytes = self._content = 0
        self._stop_deadline()
        super().on_headers_complete()
        self._in_content = True
        if self.parser.should_upgrade():
            return
        self.headers = []  # trailers end up here and not in the scope
        if len(self.pipeline) >= MAX_PIPELINED:
            self.cycle.keep_alive = False  # RFC 9112 section 9.6
        if self.expect_100_continue:
            self._keep_alive_after_content = self.cycle.keep_alive
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, quick_start(app, cycle))

    def on_body(self, body: bytes) -> None:
        """Some content."""
        self._content += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The end of a message."""
        if self.parser.should_upgrade() and not self._should_upgrade():
            return  # it is parsed again
        self._in_content = False
        self._head_bytes = 0
        self._stop_deadline()
        super().on_message_complete()
        if self.parser.should_upgrade():
            return
        if self._keep_alive_after_content and not self.cycle.response_started:
            self.cycle.keep_alive = True
        self._keep_alive_after_content = False
        if self.cycle.response_complete and not self.transport.is_closing():  # the rest of what nobody wanted
            self._rest()

    def on_response_complete(self) -> None:
        """An answer has been given: there may be more to say, or to hear. As the class above has it, but for the rest."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._rest()
        if self._refusal is not None and not self._is_answering():
            self._say(self._refusal)
        elif self._in_content or self._in_head:
            self._start_deadline()

    # --- judgements ---

    def _judge_head(self) -> BrowserError | None:
        """What is wrong with it."""
        version = self.parser.get_http_version()
        size = self._whole_segment  # the head is no larger
        if size is None or size > self._limits.max_head:
            size = sum([len(name) + len(value) for name, value in self.headers])
        coding = b",".join([value for name, value in self.headers if name == b"transfer-encoding"]) or None
        if len(self.url) > self._limits.max_target:
            return self._target_too_long()
        if size > self._limits.max_head:
            return self._head_too_large()
        if version not in {"1.1", "1.0"}:
            return VersionNotSupported("This server speaks HTTP/1.1 and HTTP/1.0.")
        if coding is not None and (version == "1.0" or coding.lower() != b"chunked"):
            below_chunked = coding.lower().replace(b" ", b"").endswith(b",chunked")
            kind = NotImplementedHere if below_chunked and version == "1.1" else MalformedRequest
            return kind("The only transfer coding is chunked, and only in HTTP/1.1.")
        if version == "1.0":
            self.expect_100_continue = False  # RFC 9110 section 10.1.1
        return self._judge_target()

    def _judge_target(self) -> BrowserError | None:
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                return NotImplementedHere("There is no CONNECT here.")
            if self._should_upgrade() and (self._announces_content() or self._is_answering()):
                return MalformedRequest("A WebSocket handshake has no content, and waits for the answers before it.")
        if b"#" in self.url:
            return MalformedRequest("A fragment is no part of a request target.")
        if self.url[:1] == b"/" or self.url == b"*":
            return None
        return self._take_authority_from_target()

    def _announces_content(self) -> bool:
        return any(
            name == b"transfer-encoding" or (name == b"content-length" and value.strip(b"0 \t"))
            for name, value in self.headers
        )

    def _take_authority_from_target(self) -> BrowserError | None:
        """An absolute-form becomes origin-form and Host, which the guards judge like any other (RFC 9112 section 3.2.2)."""
        scheme, separator, rest = self.url.partition(b"://")
        if not separator or scheme.lower() not in {b"http", b"https"}:
            return MalformedRequest("The request target is neither a path nor an http URL.")
        end = min((at for at in (rest.find(b"/"), rest.find(b"?")) if at >= 0), default=len(rest))
        authority, target = rest[:end], rest[end:]
        hosts = [index for index, (name, _) in enumerate(self.headers) if name == b"host"]
        if len(hosts) != 1 or not authority:
            return MalformedRequest("The Host field, or the host in the request target, is missing or there twice.")
        self.headers[hosts[0]] = (b"host", authority)
        self.url = target if target.startswith(b"/") else b"/" + target
        return None

    def _judge_incomplete_head(self, size: int) -> None:
        self._head_bytes += size
        if self._in_head and len(self.url) > self._limits.max_target:
            self._refuse(self._target_too_long())
        elif self._head_bytes > self._limits.max_head:
            self._refuse(self._head_too_large())
        elif self._deadline is None:
            self._start_deadline()

    def _judge_framing(self, size: int) -> None:
        self._content_bytes += size
        self.headers.clear()  # trailers
        if self._content_bytes - self._content > MAX_FRAMING + FRAMING_PER_BYTE * self._content:
            self._refuse(MalformedRequest("The content has more framing than content."))
        elif self.cycle.response_complete and self._content_bytes > MAX_UNREAD:
            self.transport.close()

    def _target_too_long(self) -> TargetTooLong:
        return TargetTooLong(f"The request target is longer than {self._limits.max_target} bytes.")

    def _head_too_large(self) -> HeadTooLarge:
        return HeadTooLarge(f"The header fields are larger than {self._limits.max_head} bytes.")

    # --- refusals ---

    def _is_answering(self) -> bool:
        return bool(self.pipeline) or (self._answering is not None and not self._answering.response_complete)

    def _refuse(self, error: BrowserError) -> None:
        """Refuse what is being received; answers go out in the order of the requests (RFC 9112 section 9.3.2)."""
        if self.transport.is_closing() or self._refusal is not None:
            return
        if self._in_content and self.pipeline:
            self.pipeline.popleft()  # the one that came last, and that nobody has seen
            self._refusal = error
        elif self._in_content:
            if self.cycle.response_started:
                self.transport.close()
            else:
                self._say(error)
        elif self._is_answering():
            self._refusal = error
        else:
            self._say(error)

    def _say(self, error: BrowserError) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # it is answered here
            self.cycle.message_event.set()
        site, base_path = self._parts.site, self._parts.config.base_path
        problem = problem_of(error, base_path=base_path, https=site.https)
        self.transport.write(closing_answer(problem, head_only=self._is_head_request()))
        self.transport.close()

    def _is_head_request(self) -> bool:
        """As far as is known: the parser knows this request's method once there is some of its target."""
        return bool(self.scope and self.url) and self.parser.get_method() == b"HEAD"

    # --- the clock ---

    def _start_deadline(self) -> None:
        self._stop_deadline()
        self._deadline = self.loop.call_later(self._limits.head_timeout, self._is_late)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _is_late(self) -> None:
        self._deadline = None
        if self._in_head and not self._is_answering():
            self._refuse(RequestTimeout(f"The head was not there within {self._limits.head_timeout:g} seconds."))
        elif self._is_answering():
            self._start_deadline()
        else:  # nothing was asked, or all is answered and the rest of the content does not come
            self.transport.close()

    def _rest(self) -> None:
        """Idle from now on. One timer watches a connection for good: one for each answer costs 1 us of 50."""
        self._resting_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._watch_rest(self.timeout_keep_alive)

    def _watch_rest(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self._look_at_rest)

    def _look_at_rest(self) -> None:
        self.timeout_keep_alive_task = None
        if self._is_answering() or self._in_head or self._in_content:
            return  # another rest begins after the answer
        left = self._resting_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._watch_rest(left)
        else:
            self.timeout_keep_alive_handler()
