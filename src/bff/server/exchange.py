"""One message and its answer, run by a task: the ASGI face of a connection (https://asgi.readthedocs.io/en/latest/specs/www.html).

`receive` waits for nothing but futures: `proxy/browser.py` steps it by hand. Content that the application does not read is held up to
64 KiB; then the browser is not read any more.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol
from urllib.parse import unquote_to_bytes

from bff.clock import steady
from bff.proxy.browser import Message as AsgiMessage
from bff.proxy.browser import Receive, Scope, Send
from bff.server.answer import CONTINUE, Answer, AnswerError, closing_answer
from bff.server.judged_head import Message
from bff.server.output import Output
from bff.telemetry import requests as telemetry
from bff.web.api import BegunStream, BrokenTransfer

HIGH_WATER = 64 * 1024  # bytes of content that wait for the application

AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_FAILED = b"Internal Server Error"
_FAILED_FIELDS = ((b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(_FAILED)))


class BrowserSide(Protocol):
    """What an exchange needs of its connection."""

    output: Output
    write_paused: bool
    address: tuple[str, int] | None
    local_address: tuple[str, int] | None

    @property
    def follows(self) -> bool:
        """Whether event streams go on without a task."""
        ...

    def follow(self, exchange: "Exchange", begun: BegunStream) -> None:
        """Go on with the event stream that the exchange has begun."""
        ...

    def hold_content(self, held: bool) -> None:
        """Read no more content from the browser, or go on."""
        ...

    def answered(self) -> None:
        """The answer is complete."""
        ...

    def break_off(self, *, reset: bool) -> None:
        """The answer stays incomplete, and the browser must see that it is."""
        ...


class _Wakeup:
    """Resumes the tasks that wait. An `asyncio.Event` would do; its queue costs 760 bytes of each idle stream."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    async def wait(self) -> None:
        """Until `wake`."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def wake(self) -> None:
        """Something has changed."""
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)


class Exchange:
    """One message of `connection`. The connection calls the first group of methods, the application `receive` and `send`."""

    __slots__ = (
        "_connection",
        "_continue_owed",
        "_end_delivered",
        "_ended",
        "_finished",
        "_gone",
        "_held",
        "_news",
        "_room",
        "answer",
        "began",
        "is_followed",
        "is_refused",
        "message",
    )

    def __init__(self, connection: BrowserSide, message: Message, *, keep_alive: bool) -> None:
        self._connection = connection
        self._held = bytearray()
        self._ended = not message.has_content  # all content has come
        self._end_delivered = False  # and the application knows
        self._continue_owed = message.expects_continue and message.has_content
        self._gone = False
        self._finished = False
        self._news = _Wakeup()
        self._room = _Wakeup()
        self.message = message
        self.began = steady()
        self.is_refused = False
        self.is_followed = False  # the server goes on with the answer, and tells of it
        self.answer = Answer(version=message.version, method=message.head.method, keep_alive=keep_alive)

    # --- for the connection ---

    @property
    def started(self) -> bool:
        """Whether the answer has begun."""
        return self.answer.started

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays after the answer."""
        return self.answer.keep_alive

    def content(self, data: bytes, *, last: bool) -> None:
        """Content came; dropped once the answer is complete."""
        self._continue_owed = False
        self._ended = last
        if not self._finished:
            self._held += data
            if len(self._held) > HIGH_WATER and not last:
                self._connection.hold_content(True)
        self._news.wake()

    def browser_left(self) -> None:
        """The connection is gone."""
        self._gone = True
        self._news.wake()
        self._room.wake()

    def refused(self) -> None:
        """Its content cannot be read on, and the connection has answered and logged that."""
        self.is_refused = True
        self.browser_left()

    def has_room(self) -> None:
        """The browser has read."""
        self._room.wake()

    def close_after_answer(self) -> None:
        """The connection ends with this answer."""
        self.answer.keep_alive = False

    async def run(self, app: AsgiApp) -> None:
        """Have `app` answer, unless the content was refused, or the browser left, before this task could begin."""
        if self._gone:
            return
        try:
            await app(self._scope(), self.receive, self.send)
        except BrokenTransfer:
            pass  # `web/app.py` has logged it
        except Exception as error:  # noqa: BLE001 - the edge of the task: the browser must see that its answer is broken
            telemetry.answer_failed(error)
        finally:
            self._give_up()

    def _give_up(self) -> None:
        """The application has returned: without a complete answer it broke off, or failed before it began one."""
        if self._gone or self._finished:
            return
        self._finished = True
        if self.answer.started:
            self._connection.break_off(reset=self.answer.breaks_by_reset)
            return
        head_only = self.message.head.method == b"HEAD"
        self.answer.keep_alive = False
        self._connection.output.write(closing_answer(500, _FAILED_FIELDS, _FAILED, head_only=head_only))
        self._connection.answered()

    def _scope(self) -> Scope:
        message, head = self.message, self.message.head
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": message.version.decode("ascii"),
            "method": head.method.decode("ascii"),
            "scheme": "http",
            "path": unquote_to_bytes(head.path).decode("utf-8", "replace"),
            "raw_path": head.path,
            "root_path": "",
            "query_string": head.query,
            "headers": head.fields,
            "client": self._connection.address,
            "server": self._connection.local_address,
            "extensions": {"bff.request_head": head, "bff.exchange": self},
        }

    # --- for the application ---

    @property
    def follows(self) -> bool:
        """Whether the server can go on with an event stream by itself."""
        return self._connection.follows

    def follow(self, begun: BegunStream) -> None:
        """Go on with an event stream whose head was sent; nothing more is asked of the application, which is to return."""
        if self._gone:
            begun.response.discard()
            return
        self._finished = self.is_followed = True
        self._connection.follow(self, begun)

    async def receive(self) -> AsgiMessage:
        """The next content, or that the browser left; after the answer there is nothing left to wait for either."""
        if self._continue_owed and not self.answer.started:
            self._continue_owed = False
            self._connection.output.write(CONTINUE)
        while not (self._held or self._gone or self._finished or (self._ended and not self._end_delivered)):
            await self._news.wait()
        if self._gone or self._finished:
            return {"type": "http.disconnect"}
        data = bytes(self._held)
        self._held.clear()
        self._connection.hold_content(False)
        self._end_delivered = self._ended
        return {"type": "http.request", "body": data, "more_body": not self._ended}

    async def send(self, message: AsgiMessage) -> None:
        """The start of the answer, or some of its content; dropped when the browser left.

        Raises:
            AnswerError: the application breaks ASGI, or its own Content-Length.
        """
        while self._connection.write_paused and not self._gone:
            await self._room.wait()
        if self._gone:
            return
        if message["type"] == "http.response.start":
            self._start(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self._send_content(message.get("body", b""), last=not message.get("more_body", False))

    def _start(self, status: int, fields: Any) -> None:
        if self.answer.started:
            raise AnswerError("the answer has begun already")
        if self._continue_owed:
            # RFC 9110 section 10.1.1: without `100 Continue` it stays open whether the content follows.
            self.answer.keep_alive = False
        self._connection.output.write(
            self.answer.start(status, [(bytes(name), bytes(value)) for name, value in fields])
        )

    def _send_content(self, data: bytes, *, last: bool) -> None:
        if not self.answer.started or self._finished:
            raise AnswerError("content outside of an answer")
        for piece in self.answer.content(data):
            self._connection.output.write(piece)
        if last:
            for piece in self.answer.end():
                self._connection.output.write(piece)
            self._finished = True
            self._held.clear()
            self._news.wake()
            self._connection.answered()
