"""One connection to an upstream: it carries exchanges one by one.

A doubtful connection is closed, never pooled (invariant 4): it is idle again only after a response that its reader calls reusable
and that came after all of the request was written. Bytes on an idle connection belong to no exchange: it is closed. The event loop may
not have reported bytes, or an end, yet. So the socket is polled once more before it is used again (0.3 us): what is there by then
cannot be an answer to a request that was not sent yet.

A caller names the reader that it started the connection with. Once that response is over the connection may serve another exchange,
and calls with the old reader are ignored.
"""

import asyncio
import math
import select
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from bff.proxy.reader import ResponseReader

if TYPE_CHECKING:
    from bff.proxy.response import UpstreamResponse

HIGH_WATER = 64 * 1024  # content that waits for a slow browser; beyond it we stop reading


class Connection(asyncio.Protocol):
    """One connection to an upstream; at any time it serves one reader or none.

    `on_idle` is called when it can serve the next one, `on_closed` once, when it is gone.
    """

    __slots__ = (
        "_arrivals",
        "_last_use",
        "_on_closed",
        "_on_idle",
        "_reader",
        "_reading_paused",
        "_transport",
        "_wake",
        "_writing",
        "closes_at",
        "holder",
        "is_old",
        "keep_alive",
        "retires_at",
        "reused",
        "write_paused",
    )

    def __init__(self, *, on_idle: "Callable[[Connection], None]", on_closed: "Callable[[Connection], None]") -> None:
        self._on_idle = on_idle
        self._on_closed = on_closed
        self._transport: asyncio.Transport | None = None
        self._arrivals = select.poll()
        self._reader: ResponseReader | None = None
        self._wake: Callable[[], None] | None = None
        self._last_use = False
        self._writing = False  # more of the request is to come
        self._reading_paused = False
        self.holder: UpstreamResponse | None = None  # whose place is given back when the connection is done with it
        self.reused = False
        self.write_paused = False
        self.closes_at = 0.0  # when idle; 0.0: not yet decided
        self.retires_at = math.inf
        self.is_old = False  # it serves no other request
        self.keep_alive: bytes | None = None

    # --- what an exchange does with it ---

    @property
    def usable(self) -> bool:
        """Whether it is open and quiet: a request can be written, and what comes then can be its answer."""
        if self._transport is None or self._transport.is_closing() or self._reader is not None:
            return False
        return not self._arrivals.poll(0)

    @property
    def unsent(self) -> int:
        """Bytes of the request that the upstream has not made room for."""
        transport = self._transport
        return 0 if transport is None or transport.is_closing() else transport.get_write_buffer_size()

    def start(
        self, reader: ResponseReader, *, wake: Callable[[], None], head: bytes, content: bool, last_use: bool = False
    ) -> None:
        """Writes a request's head; with `content`, `write` is called until its `last`; with `last_use` no other request follows.

        An empty head comes with the first content.

        `wake` is called whenever the exchange can go on: status, content, end, failure, or room for more content.
        """
        transport = cast(asyncio.Transport, self._transport)
        if transport.is_closing():  # uvloop raises where asyncio ignores
            reader.lost()
            return
        self._reader = reader
        self._wake = wake
        self._writing = content
        self._last_use = last_use
        if head:
            transport.write(head)

    def wake_by(self, reader: ResponseReader, wake: Callable[[], None]) -> None:
        """Another is to be called from now on."""
        if self._reader is reader:
            self._wake = wake

    def write(self, reader: ResponseReader, pieces: list[bytes], *, last: bool) -> None:
        """Content, framed by the caller; dropped without a word when the exchange is over."""
        transport = cast(asyncio.Transport, self._transport)
        if self._reader is reader and not transport.is_closing():
            self._writing = not last
            transport.writelines(pieces)

    def resume_reading(self, reader: ResponseReader) -> None:
        """After `reader.take` when more than `HIGH_WATER` had gathered."""
        if self._reading_paused and self._reader is reader:
            self._reading_paused = False
            cast(asyncio.Transport, self._transport).resume_reading()

    def abort(self, reader: ResponseReader) -> None:
        """Ends an exchange that is not complete: the upstream sees the connection close at once."""
        if self._reader is reader:
            self.close()

    def close(self) -> None:
        """Closes at once, also in the middle of an exchange."""
        self._reader = None
        self._wake = None
        if self._transport is not None:
            self._transport.abort()

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready to serve."""
        self._transport = cast(asyncio.Transport, transport)
        self._arrivals.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        """Bytes of a response; on an idle connection they belong to none, and it is closed."""
        reader = self._reader
        if reader is None:
            self.close()
            return
        reader.feed(data)
        if reader.complete:
            self._finish(reader)
        elif reader.broken is not None:
            self._leave()
        elif reader.buffered > HIGH_WATER:
            self._reading_paused = True
            cast(asyncio.Transport, self._transport).pause_reading()
            self._call_waker()
        elif reader.status:
            self._call_waker()

    def eof_received(self) -> None:
        """The upstream sends nothing more; then the transport closes by itself."""
        reader = self._reader
        if reader is None:
            return
        if _ended_in_order(cast(asyncio.Transport, self._transport)):
            reader.eof()
        else:
            reader.lost()
        self._leave()

    def connection_lost(self, exc: Exception | None) -> None:
        """The last call."""
        if self._reader is not None:
            # In TLS 1.3 a server refuses our certificate when the request is written already (RFC 8446 section 4.4.2.4).
            self._reader.lost(exc.reason if isinstance(exc, ssl.SSLError) else None)
            self._leave()
        self._on_closed(self)

    def pause_writing(self) -> None:
        """The upstream reads more slowly than the browser sends."""
        self.write_paused = True

    def resume_writing(self) -> None:
        """There is room again."""
        self.write_paused = False
        self._call_waker()

    def _call_waker(self) -> None:
        if self._wake is not None:
            self._wake()

    def _finish(self, reader: ResponseReader) -> None:
        transport = cast(asyncio.Transport, self._transport)
        if (
            not reader.reusable
            or self._last_use
            or self.is_old
            or self._writing
            or self._reading_paused
            or transport.get_write_buffer_size()
        ):
            self._leave()
            return
        wake = self._wake
        self._reader = self._wake = None
        self.reused = True
        self.closes_at = 0.0
        self.keep_alive = reader.keep_alive
        self._on_idle(self)
        if wake is not None:
            wake()

    def _leave(self) -> None:
        """End the response, resume its exchange, and close."""
        wake = self._wake
        self.close()
        if wake is not None:
            wake()


def _ended_in_order(transport: asyncio.Transport) -> bool:
    """FIN; over TLS close_notify, since anybody on the way could have sent a FIN (RFC 9112 section 9.8).

    Both event loops report either in the same way. The TLS object distinguishes them: its end has been read, or it wants more.
    """
    tls: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
    try:
        return tls is None or not tls.read(1)
    except ssl.SSLError:
        return False
