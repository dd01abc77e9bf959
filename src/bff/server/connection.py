"""One connection of a browser: messages in their order, deadlines, and how it ends.

a message at a time   the next one is read when the answer before it is complete (RFC 9112 section 9.3.2); what a browser sends
                      ahead of that stays in the reader as bytes, and the socket is not read meanwhile
the lane first        a message that can be forwarded at once is; every other one is answered by an `Exchange`, in a task
deadlines             for a head (408), for rest between messages, for a close; one timer a connection (deadline.py)
refusals              are the last answer of their connection
the end               after an answer the browser may still be sending: closing at once would make its kernel throw the answer away.
                      What comes is read and dropped, at most 32 MiB and 10 s (RFC 9112 section 9.6,
                      https://www.rfc-editor.org/rfc/rfc9112#section-9.6; R-362)
"""

import asyncio
import math
from collections.abc import Coroutine
from typing import cast

from bff.errors import BrowserError, RequestTimeout
from bff.request_head import Peer
from bff.server.answer import closing_answer
from bff.server.deadline import Deadline
from bff.server.exchange import AsgiApp, Exchange
from bff.server.judged_head import Message
from bff.server.lane_call import LaneCall
from bff.server.output import Output
from bff.server.request_reader import Content, RequestReader
from bff.server.served import Served, ServerState
from bff.server.websocket import HandedOver, Handshake
from bff.web.api import BegunStream

LINGER_BYTES = 32 * 1024 * 1024
LINGER_SECONDS = 10.0
LANE_SECONDS = 1.0  # that the lane waits for content; then the recipe does, whose waits have limits of the route


class BrowserConnection(asyncio.Protocol):
    """One connection. `uvicorn.Server` makes it, and calls `shutdown` when the server stops."""

    __slots__ = (
        "_awaits_head",
        "_current",
        "_deadline",
        "_holds_content",
        "_is_public",
        "_lingering",
        "_loop",
        "_reader",
        "_reading_paused",
        "_served",
        "_state",
        "_stopping",
        "_transport",
        "_unread_bytes",
        "address",
        "local_address",
        "output",
        "write_paused",
    )

    def __init__(self, served: Served, *, state: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self._served = served
        self._state = state
        self._loop = loop
        self._current: Exchange | LaneCall | Handshake | None = None
        self._reading_paused = False
        self._holds_content = False
        self._lingering = False  # nothing more is answered: what comes is dropped
        self._unread_bytes = 0  # of content that came after its answer
        self._stopping = False
        self._awaits_head = False  # a part of a head has come, and the time for the rest runs
        self._deadline = Deadline(loop, on_due=self._is_due)
        self.write_paused = False
        self.address: tuple[str, int] | None = None
        self.local_address: tuple[str, int] | None = None

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        self._transport = cast(asyncio.Transport, transport)
        self.output = Output(self._transport, loop=self._loop, patience_seconds=self._served.rest_seconds)
        self.address = _address(transport.get_extra_info("peername"))
        self.local_address = _address(transport.get_extra_info("sockname"))
        self._is_public = self.local_address is None or self.local_address[1] not in self._served.inner_ports
        self._reader = RequestReader(peer=self._peer(), limits=self._served.limits())
        self._state.connections.add(self)
        open_now = len(self._state.connections)
        if self._is_public and self._served.refuses(transport, connections=open_now, now=self._loop.time()):
            self._transport.abort()
            return
        self._deadline.set(self._served.limits().head_timeout)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let everything go."""
        self._state.connections.discard(self)
        self._reader.stop()
        self.output.lost()
        self._deadline.stop()
        current, self._current = self._current, None
        if current is not None:
            current.browser_left()

    def data_received(self, data: bytes) -> None:
        """Bytes of a message, or of what is dropped before the close."""
        if self._lingering:
            self._drop(len(data))
            return
        self._read_on(data)

    def pause_writing(self) -> None:
        """The browser reads more slowly than we write."""
        self.write_paused = True
        self.output.wait_for_room()

    def resume_writing(self) -> None:
        """It has read."""
        self.write_paused = False
        self.output.has_room()
        if self._current is not None:
            self._current.has_room()

    def shutdown(self) -> None:
        """The server stops: the connection ends with the answer under way."""
        self._stopping = True
        if self._current is None:
            self.output.close()
        else:
            self._current.close_after_answer()

    @property
    def is_made(self) -> bool:
        """Whether it has begun to wait for a head."""
        return self.local_address is not None

    def settle(self) -> None:
        """The configuration was replaced: judge what is read from now on by its limits and trusted proxies."""
        self._reader.settle(peer=self._peer(), limits=self._served.limits())

    def _peer(self) -> Peer:
        host = None if self.address is None else self.address[0]
        return Peer(host, host is not None and self._served.trusts(host))

    # --- messages ---

    def _read_on(self, data: bytes = b"") -> None:
        """Take what the reader can tell now: content whenever it comes, a message when nothing is being answered."""
        reader = self._reader
        while self._current is None or reader.in_content:
            event = reader.next_event(data)
            data = b""
            if event is None:
                break
            if isinstance(event, Message):
                self._begin(event)
            elif isinstance(event, Content):
                self._take_content(event)
            else:
                self._refuse(event)
                return
            if not reader.unread:
                break
        if data:
            reader.feed(data)
        if reader.unread or self._reading_paused:
            self._balance_reading()
        if self._current is None and not self._awaits_head and reader.in_head and not self._lingering:
            self._awaits_head = True
            self._deadline.set(self._served.limits().head_timeout)

    def _begin(self, message: Message) -> None:
        self._awaits_head = False
        self._deadline.due_at = math.inf
        if message.is_websocket and self._is_public:
            self._shake_hands(message)
            return
        keep_alive = message.keep_alive and not self._stopping and not self._served.tasks.stopping
        if message.is_websocket:  # asked about by a proxy: Envoy reads what is no 101 to the end of the connection
            keep_alive = False
        lane = self._served.lane
        if lane is not None and self._is_public:
            call = lane.take(message, self, keep_alive)
            if call is not None:
                self._current = call
                if message.has_content and isinstance(call, LaneCall):
                    self._deadline.set(LANE_SECONDS)
                return
        self._answer_by(Exchange(self, message, keep_alive=keep_alive), self._served.app)

    def step_aside(self, message: Message, app: AsgiApp, *, keep_alive: bool) -> Exchange:
        """The lane's call cannot go on without waiting: `app` answers in a task. Nothing of an answer was written."""
        exchange = Exchange(self, message, keep_alive=keep_alive)
        self._answer_by(exchange, app)
        self.hold_content(False)  # from now on the exchange holds what its application does not take
        return exchange

    @property
    def follows(self) -> bool:
        """Whether event streams go on in the lane."""
        return self._served.lane is not None and self._served.lane.follows

    def follow(self, exchange: Exchange, begun: BegunStream) -> None:
        """The exchange has begun an event stream: go on with it without its task."""
        if self._served.lane is not None:
            self._current = stream = self._served.lane.follow(exchange, begun, self)
            stream.go_on(begun.response)

    def _answer_by(self, exchange: Exchange, app: AsgiApp) -> None:
        self._current = exchange
        self._start_task(exchange.run(app))

    def _shake_hands(self, message: Message) -> None:
        served = self._served
        self._current = handshake = Handshake(
            self,
            message,
            app=served.websockets,
            problem=served.problem,
            rest_seconds=served.rest_seconds,
        )
        self._start_task(handshake.run())

    def hand_over(self) -> HandedOver:
        """A WebSocket begins: leave the connection to it."""
        self._current = None
        self._deadline.stop()
        self._state.connections.discard(self)
        self._state.total_requests += 1
        rest = self._reader.rest()
        self._reader.stop()
        self.output.lost()
        return HandedOver(self._transport, rest, self.write_paused, self._state.connections)

    def _start_task(self, answering: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(answering)
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def _take_content(self, content: Content) -> None:
        if self._current is not None:
            self._deadline.due_at = math.inf
            self._current.content(content.data, last=content.last)
        elif content.last:
            self._rest()
        else:
            self._drop(len(content.data))

    def hold_content(self, held: bool) -> None:
        """Read no more content from the browser, or go on."""
        if held is not self._holds_content:
            self._holds_content = held
            self._balance_reading()

    def answered(self) -> None:
        """The answer is complete: close, wait for the rest of the content, or read the next message."""
        current, self._current = self._current, None
        self._state.total_requests += 1
        self._holds_content = False
        if self._transport.is_closing():
            return
        if self._stopping or (current is not None and not current.keep_alive):
            self._end()
        elif self._reader.in_content:
            self._unread_bytes = 0
            self._deadline.set(LINGER_SECONDS)
            self._balance_reading()
        else:
            deadline, rest = self._deadline, self._served.rest_seconds
            deadline.due_at = self._loop.time() + rest
            if deadline.rings_at > deadline.due_at:  # else it is set as by `set`, without the call
                deadline.set(rest)
            if self._reader.unread:
                self._loop.call_soon(self._read_on_after_answer)
            elif self._reading_paused:
                self._balance_reading()

    def _read_on_after_answer(self) -> None:
        """In a turn of its own: a thousand refused messages in one segment must not nest a thousand calls."""
        if self._current is None and not self._transport.is_closing():
            self._read_on()

    def break_off(self, *, reset: bool) -> None:
        """The answer stays incomplete, and the browser must see that it is (RFC 9112 section 8)."""
        self._current = None
        self._reader.stop()
        if reset:
            self.output.reset()
        else:
            self.output.close()

    # --- refusals ---

    def _refuse(self, error: BrowserError) -> None:
        """Answer what cannot be read on; an answer under way is replaced if it has not begun, else cut."""
        current, self._current = self._current, None
        head_only = self._reader.is_head_request
        if current is None and self._reader.refused_content:  # of a message that has its answer, which must arrive
            self._end(linger=True)
            return
        if current is not None and current.started:
            current.browser_left()
            self.output.close()
            return
        head = self._reader.refused_head() if current is None else current.message.head
        problem = self._served.problem(error, head, began=None if current is None else current.began)
        if current is not None:
            current.refused()
            head_only = current.message.head.method == b"HEAD"
        self.output.write(closing_answer(problem.status, problem.fields, problem.body, head_only=head_only))
        self._end(linger=True)

    # --- reading ---

    def _balance_reading(self) -> None:
        """Read the socket while what comes can be used: not ahead of an answer, nor faster than content is taken."""
        ahead = self._current is not None and not self._reader.in_content and bool(self._reader.unread)
        pause = (ahead or self._holds_content) and not self._lingering
        if pause is self._reading_paused or self._transport.is_closing():
            return
        self._reading_paused = pause
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _drop(self, size: int) -> None:
        self._unread_bytes += size
        if self._unread_bytes > LINGER_BYTES:
            self.output.close()

    # --- the end ---

    def _end(self, *, linger: bool = False) -> None:
        """Close after the last answer, at once if nothing can be on its way."""
        if not (linger or self._reader.in_content or self._reader.unread):
            self._reader.stop()
            self.output.close()
            return
        self._reader.stop()
        self._lingering = True
        self._unread_bytes = 0
        self.output.end()
        self._deadline.set(LINGER_SECONDS)
        self._balance_reading()

    # --- the clock ---

    def _rest(self) -> None:
        self._awaits_head = False
        self._deadline.set(self._served.rest_seconds)

    def _is_due(self) -> None:
        if isinstance(self._current, LaneCall):
            self._current.wait_in_task()
        elif self._awaits_head:
            self._awaits_head = False
            limit = self._served.limits().head_timeout
            self._refuse(RequestTimeout(f"The head was not there within {limit:g} seconds."))
        else:  # idle for too long, or the rest of the content does not come
            self.output.close()


def local_port(transport: asyncio.BaseTransport) -> int | None:
    """The port that a connection came in on; a Unix socket has none."""
    address = _address(transport.get_extra_info("sockname"))
    return None if address is None else address[1]


def _address(name: object) -> tuple[str, int] | None:
    """Host and port; a Unix socket has none."""
    return (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) >= 2 else None
