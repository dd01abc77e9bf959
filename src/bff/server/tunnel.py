"""A WebSocket after both handshakes: two connections, and the bytes of each go to the other.

    frames        pass as they are; only their heads are read (`proxy/websocket_frames.py`), for the size of messages and for the
                  places where a close of ours may stand
    back-pressure a side that does not read stops the reading of the other; one that takes nothing for `patience_seconds` is
                  aborted (`output.py`). So it is for the rest of a frame that a close of ours waits for
    a close       that one side sends passes. Where one did not, `proxy/closes.py` has the close to send. Ours is written between two
                  frames: in the middle of one, after its end
    the end       the browser's connection is closed when it has sent and received a close (RFC 6455 section 7.1.1,
                  https://www.rfc-editor.org/rfc/rfc6455#section-7.1.1), and the upstream's after it. Both have `CLOSE_SECONDS` from
                  the first close on, and are aborted then

No task runs: an idle WebSocket costs the objects here and the two transports.
"""

import asyncio
import secrets
from collections.abc import Callable
from typing import Protocol

from bff.proxy.closes import (
    BROWSER_BROKE,
    BROWSER_LOST,
    SERVER_STOPS,
    SESSION_ENDED,
    TOO_BIG,
    UPSTREAM_BROKE,
    UPSTREAM_LOST,
    Close,
    Ending,
    answer_to,
)
from bff.proxy.websocket_frames import Fault, FrameReader, close_frame
from bff.server.output import Output

CLOSE_SECONDS = 5.0


class Stoppable(Protocol):
    """What `uvicorn.Server` keeps in its set of connections."""

    def shutdown(self) -> None:
        """The server stops."""
        ...


class End(asyncio.Protocol):
    """One of the two connections; `other` gets what comes here."""

    __slots__ = (
        "_farewell",
        "_is_client",
        "_transport",
        "_tunnel",
        "frames",
        "is_gone",
        "other",
        "output",
        "was_closed",
    )

    other: "End"

    def __init__(
        self,
        transport: asyncio.Transport,
        tunnel: "Tunnel",
        *,
        is_client: bool,
        max_message: int,
        patience_seconds: float,
    ) -> None:
        self._transport = transport
        self._tunnel = tunnel
        self._is_client = is_client  # the browser's end: it sends masked frames and gets frames without
        self._farewell: bytes | None = None  # a close that waits for the end of a frame
        self.frames = FrameReader(masked=is_client, limit=max_message)
        self.output = Output(transport, loop=asyncio.get_running_loop(), patience_seconds=patience_seconds)
        self.was_closed = False  # a close frame has been sent to this end
        self.is_gone = False

    # --- what the event loop calls ---

    def data_received(self, data: bytes) -> None:
        """Pass on what came; after the end of the conversation only what ends a frame."""
        frames, other = self.frames, self.other
        if self._tunnel.is_ending:
            if other.has_farewell:
                rest = frames.finish(data)
                other.write(rest)
                data = data[len(rest) :]
                if frames.at_boundary:
                    other.write_farewell()
            frames.feed(data)
        else:
            passed = frames.feed(data)
            if passed:
                other.write(passed)
        if frames.fault is not None or frames.close_code is not None:
            self._tunnel.noticed(self)

    def pause_writing(self) -> None:
        """This end reads more slowly than the other sends."""
        self.output.wait_for_room()
        if not self._tunnel.is_ending or self.has_farewell:
            self.other.hold(True)

    def resume_writing(self) -> None:
        """It has read."""
        self.output.has_room()
        self.other.hold(False)

    def connection_lost(self, exc: Exception | None) -> None:
        """This end is gone."""
        self.is_gone = True
        self.output.lost()
        self._tunnel.lost(self)

    def shutdown(self) -> None:
        """The server stops: called by `uvicorn.Server`, for the browser's end."""
        self._tunnel.end(SERVER_STOPS)

    # --- for the other end and the tunnel ---

    @property
    def has_farewell(self) -> bool:
        """Whether a close waits here for the end of a frame, which the other end still sends."""
        return self._farewell is not None

    def take_over(self) -> None:
        """Become the transport's protocol."""
        self._transport.set_protocol(self)
        self.hold(False)

    def write(self, data: bytes) -> None:
        """Send frames, or parts of them."""
        if data and not self._transport.is_closing():
            self._transport.write(data)

    def hold(self, held: bool) -> None:
        """Do not read this end, or go on."""
        if self._transport.is_closing():
            return
        if held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def send_close(self, close: Close | None) -> None:
        """Send a close, at once or behind the frame that is under way; None: this end has left."""
        if close is None or self.is_gone or self.was_closed:
            return
        self._farewell = close_frame(close, mask=None if self._is_client else secrets.token_bytes(4))
        if self.other.frames.at_boundary:
            self.write_farewell()
        elif self.other.is_gone:
            self.close()

    def write_farewell(self) -> None:
        """The stream to this end is between two frames; the other end is read for its own close, whatever this one takes."""
        farewell, self._farewell = self._farewell, None
        if farewell is not None:
            self.write(farewell)
            self.was_closed = True
            self.other.hold(False)

    def close(self) -> None:
        """Send what is left, then close."""
        if not self._transport.is_closing():
            self.output.close()

    def abort(self) -> None:
        """Close at once."""
        if not self.is_gone:
            self._transport.abort()


class Tunnel:
    """The two ends. `on_end` is called when both are gone; `is_ending`: we end it, and what comes is not passed on any more."""

    __slots__ = ("_close_seconds", "_on_end", "_timer", "browser", "is_ending", "upstream")

    def __init__(
        self,
        browser: asyncio.Transport,
        upstream: asyncio.Transport,
        *,
        max_message: int,
        patience_seconds: float,
        on_end: Callable[["Tunnel"], None],
        close_seconds: float = CLOSE_SECONDS,
    ) -> None:
        self._on_end: Callable[[Tunnel], None] = on_end
        self._close_seconds = close_seconds
        self._timer: asyncio.TimerHandle | None = None
        self.is_ending = False
        self.browser = End(browser, self, is_client=True, max_message=max_message, patience_seconds=patience_seconds)
        self.upstream = End(upstream, self, is_client=False, max_message=max_message, patience_seconds=patience_seconds)
        self.browser.other, self.upstream.other = self.upstream, self.browser

    def begin(self, *, from_browser: bytes, from_upstream: bytes, browser_is_slow: bool) -> None:
        """Take both transports over; the bytes came behind the handshakes."""
        for end in (self.browser, self.upstream):
            end.take_over()
        if browser_is_slow:
            self.browser.pause_writing()
        for end, came in ((self.upstream, from_upstream), (self.browser, from_browser)):
            if came:
                end.data_received(came)

    def session_ended(self) -> None:
        """The session is over."""
        self.end(SESSION_ENDED)

    def end(self, ending: Ending) -> None:
        """End the conversation, unless it has ended otherwise."""
        if self.is_ending or (self.browser.is_gone and self.upstream.is_gone):
            return
        self.is_ending = True
        self._give_time()
        for end, close in ((self.browser, ending.browser), (self.upstream, ending.upstream)):
            end.send_close(close)
        for end in (self.browser, self.upstream):
            if not end.other.has_farewell:
                end.hold(False)
        self._close_what_is_done()

    def noticed(self, end: End) -> None:
        """An end has sent a close, or a frame that is not passed on."""
        fault = end.frames.fault
        if fault is Fault.TOO_BIG:
            self.end(TOO_BIG)
        elif fault is Fault.BROKEN:
            self.end(BROWSER_BROKE if end is self.browser else UPSTREAM_BROKE)
        if end.frames.has_closed:
            if not self.is_ending:
                end.other.was_closed = True
            self._give_time()
            self._close_what_is_done()

    def lost(self, end: End) -> None:
        """An end is gone."""
        if self.browser.is_gone and self.upstream.is_gone:
            self._finish()
            return
        other = end.other
        if other.frames.has_closed and not other.was_closed:  # it waits for an answer that does not come any more
            self.end(self._answered(other))
        elif not end.frames.has_closed:
            self.end(BROWSER_LOST if end is self.browser else UPSTREAM_LOST)
        if not other.was_closed and not other.is_gone:  # a frame will not end
            other.close()
        self._close_what_is_done()

    def _answered(self, end: End) -> Ending:
        answer = answer_to(end.frames.close_code)
        return Ending(answer, None) if end is self.browser else Ending(None, answer)

    def _close_what_is_done(self) -> None:
        browser, upstream = self.browser, self.upstream
        for end in (browser, upstream):
            done = end.was_closed and end.frames.has_closed
            if done and not end.is_gone and (end is browser or browser.is_gone):
                end.close()

    def _give_time(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._close_seconds, self._give_up)

    def _give_up(self) -> None:
        self.browser.abort()
        self.upstream.abort()

    def _finish(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._on_end(self)
        del self.browser.other, self.upstream.other  # a cycle
