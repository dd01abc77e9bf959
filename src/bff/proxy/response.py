"""One exchange: a request on its way to an upstream, and its response on the way to the browser.

A task drives it, that of the browser's request; or, in the server's lane, callbacks do (`follower`). An event (status, content, room
to write, a message from the browser, the end) only resumes the task, which then reads the state. The pool reads the clock, a few
times a second, and calls `tick`; an ordinary exchange is over before the first tick, and has then neither read the clock nor awaited
the browser.

An answer that comes before all of the request's content was sent: an error stops the content, anything else lets it go on beside
the answer (an upstream may stream both ways). Either way the connection is closed after it unless both came to their end.

What was received before a failure is delivered before the failure is raised. After a failure the browser's response must not be
completed: raising out of the application makes the server break the transfer, which is what a truncated body has to look like
(RFC 9112 section 8).
"""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from bff.config.model import TimeoutConfig
from bff.errors import BffError, BrowserGone, RequestTimeout, UpstreamBroke, UpstreamBusy, UpstreamTimeout
from bff.proxy.browser import Browser, Message, Receive, Send
from bff.proxy.connection import Connection
from bff.proxy.places import Owner, Places
from bff.proxy.reader import ResponseReader
from bff.proxy.timeouts import Patience, Phase
from bff.proxy.upload import Upload
from bff.proxy.upstream_request import UpstreamRequest, written_head
from bff.request_head import Field

if TYPE_CHECKING:
    from bff.proxy.pool import UpstreamPool

IDEMPOTENT = frozenset(
    {b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"}
)  # RFC 9110 section 9.2.2; TRACE is never forwarded

# A member of an Enum costs 60 ns a look-up, a module's global 20.
_QUEUED, _CONNECTING, _UPLOAD, _HEAD, _CONTENT = Phase


class Outdated(Exception):
    """Nothing was sent: what the request carries had expired when its turn came. `receive` gives the browser's messages from the
    first on."""

    def __init__(self, receive: Receive) -> None:
        super().__init__("what the request carries has expired")
        self.receive = receive


class UpstreamResponse:
    """A response of which status and fields are in; its content comes through `relay`.

    `fields` are the upstream's own until a rewritten list replaces them; `relay` sends the list that is there. The caller that
    is given a response calls `relay` or `discard`, once. `replayable`: the request may be sent again after a 401.
    """

    __slots__ = (
        "_begun",
        "_browser",
        "_connection",
        "_failure",
        "_granted",
        "_patience",
        "_phase",
        "_relayed",
        "_upload",
        "_waiter",
        "connection_was_used",
        "fields",
        "follower",
        "is_outdated",
        "owner",
        "place",
        "pool",
        "reader",
        "replayable",
        "request",
    )

    def __init__(self, pool: "UpstreamPool", request: UpstreamRequest, owner: Owner, max_body: int) -> None:
        # By position, here and for the reader: keywords to a constructor cost a dictionary (1,500 instructions for four).
        self.pool = pool
        self.request = request
        self.owner = owner
        self.place: Places[UpstreamResponse] | None = None  # held while the upstream is busy with it
        self.connection_was_used = False  # by another exchange before
        self.is_outdated: Callable[[], bool] | None = None  # asked right before a task's request is written
        self.follower: Callable[[], None] | None = None  # called instead of waking a task
        self._begun: tuple[bytes, bool] | None = None  # the first content, until there is a connection for it
        self._browser: Browser | None = None  # a task's; None: its messages are another's to read
        self._upload: Upload | None = None  # None: no content, or no more
        self.reader = ResponseReader(request.method == b"HEAD")  # the response as it comes in
        self._connection: Connection | None = None
        self._failure: BffError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._patience: Patience | None = None
        self._phase = _CONNECTING
        self._granted = False
        self._relayed = 0
        self.fields: list[Field] = []
        self.replayable = request.method in IDEMPOTENT
        if request.chunked or request.content_length:
            self.replayable = False
            self._upload = Upload(length=request.content_length, limit=max_body)

    @property
    def status(self) -> int:
        """200 to 599."""
        return self.reader.status

    @property
    def failure(self) -> BffError | None:
        """Why it was ended from outside, or how the upstream broke it; None while it can go on."""
        if self._failure is None and self.reader.broken is not None:
            return UpstreamBroke(self.reader.broken, origin=self.pool.origin, reason=self.reader.broken_by)
        return self._failure

    @property
    def is_event_stream(self) -> bool:
        """Whether it goes on for as long as the browser listens."""
        return self.reader.media_type is not None and self.reader.media_type.startswith(b"text/event-stream")

    # --- for the holder of the response ---

    def become_stream(self) -> None:
        """Change into a place for streams.

        Raises:
            UpstreamBusy: there is none.
        """
        self.pool.make_stream(self)

    async def relay_head(self, send: Send) -> None:
        """Sends status and `fields` to the browser; then a follower goes on (`attach_follower`)."""
        try:
            await send({"type": "http.response.start", "status": self.reader.status, "headers": self.fields})
        except BaseException:  # also CancelledError
            self.discard()
            raise

    async def relay(self, send: Send) -> None:
        """Sends status, `fields` and content to the browser, as they come.

        Raises:
            UpstreamBroke, UpstreamTimeout: the content is not complete. The application must not complete the response.
            BrowserGone, RequestTimeout: the browser left, or takes nothing any more.
        """
        reader = self.reader
        await self.relay_head(send)
        try:
            while not reader.complete:
                content = self.take_content()
                if content:
                    await send({"type": "http.response.body", "body": content, "more_body": True})
                    self._listen()  # a fast upstream must not be drained for a browser that left
                    continue
                self._check()
                if not self._listen():
                    await self._news()
            await send({"type": "http.response.body", "body": reader.take(), "more_body": False})
        finally:
            self.discard()

    def hand_on(self) -> Receive:
        """The browser's messages that a task's exchange has not taken. It takes no more: call `discard`, or raise."""
        browser, self._browser = self._browser, None
        return cast(Browser, browser).hand_on()

    def discard(self) -> None:
        """Ends it here. A connection whose response is not complete is closed."""
        if self._browser is not None:  # a call less in the lane
            self._leave_browser()
        if not self.reader.complete:
            self._abort()
        self.pool.ended(self)

    def fail(self, error: BffError) -> None:
        """Ends it from outside; the task that waits for it gets `error`."""
        self._failure = error
        self._abort()
        self.pool.ended(self)
        self.wake()

    @property
    def is_sent(self) -> bool:
        """Whether nothing of the request's content is still to be sent."""
        return self._upload is None

    # --- for the pool ---

    @property
    def granted(self) -> bool:
        """Whether the pool has given what `queued` waits for."""
        return self._granted

    async def queued(self) -> None:
        """Waits for the pool's `grant`.

        Raises:
            UpstreamBusy: it took too long.
            BrowserGone: the browser did not wait.
        """
        self._granted = False
        self._phase = _QUEUED
        await self._until(lambda: self._granted)
        self._phase = _CONNECTING

    def grant(self) -> None:
        """The place that it waits for is its own."""
        self._granted = True
        self.wake()

    def start(self, connection: Connection) -> None:
        """Sends the request's head, and the content that has come."""
        request, upload = self.request, self._upload
        self._connection = connection
        connection.holder = self
        self.connection_was_used = connection.reused
        self._phase = _HEAD if upload is None else _UPLOAD
        head, begun = written_head(request), self._begun
        connection.start(
            self.reader,
            wake=self.wake if self.follower is None else self.follower,
            head=head if begun is None else b"",
            content=upload is not None,
            last_use=upload is not None and request.ends_connection,
        )
        if begun is not None and upload is not None:
            self._begun = None
            # One write for both: a system call and a segment less, and the upstream wakes once.
            self._send_up(upload, begun[0], last=begun[1], head=head)

    def begin_with(self, content: bytes, *, last: bool) -> None:
        """The first content has come before there is a connection; `start` sends it."""
        self._begun = (content, last)

    def check_credentials(self) -> None:
        """The request may be written now: what it carries has not expired while it waited for content, place and connection.

        Raises:
            Outdated: it has.
        """
        if self.is_outdated is not None and self.is_outdated():
            raise Outdated(_from_the_first(self._begun, self.hand_on()))

    def forget_connection(self) -> None:
        """Leave the connection that broke, if there is one: the place stays with the exchange."""
        if self._connection is not None:
            self._connection.holder = None
            self._connection = None
            self.reader = ResponseReader(self.request.method == b"HEAD")

    def attach_task(self, receive: Receive, *, is_outdated: Callable[[], bool] | None = None) -> None:
        """From now on events of the exchange resume the running task; `receive` gives the browser's messages. `is_outdated`: whether
        what the request carries must not be sent any more."""
        self._browser = Browser(receive, wake=self.wake)
        self.is_outdated = is_outdated
        if self.follower is not None:
            self.follower = None
            if self._connection is not None:
                self._connection.wake_by(self.reader, self.wake)

    def attach_follower(self, follower: Callable[[], None]) -> None:
        """From now on `follower` is called, and no task resumed."""
        self._leave_browser()
        self.follower = follower
        if self._connection is not None:
            self._connection.wake_by(self.reader, follower)

    async def first_content(self) -> None:
        """Waits until the browser sends content: only then a place is worth taking (R-366).

        Raises:
            BrowserGone, RequestTimeout: there will be none.
        """
        self._phase = _UPLOAD
        self._begin_listening()
        await self._until(lambda: self._begun is not None)

    async def head(self) -> None:
        """Waits until the final status and fields are in.

        Raises:
            UpstreamBroke, UpstreamTimeout, BrowserGone, RequestTimeout, ContentTooLarge, MalformedRequest: there will be no
                response.
        """
        if self._upload is not None:
            self._begin_listening()
        await self._until(lambda: bool(self.reader.status))
        self.head_is_in()

    def head_is_in(self) -> None:
        """Status and fields are in: an error stops what is still being sent."""
        self._phase = _CONTENT
        if self.reader.status >= 400:
            self._upload = None
        self.fields = self.reader.fields

    def send_content(self, content: bytes, *, last: bool) -> None:
        """Content from the browser; dropped once it is not wanted any more.

        Raises:
            ContentTooLarge, MalformedRequest: more than the route takes, or than was announced.
        """
        if self._upload is not None:
            self._send_up(self._upload, content, last=last)

    @property
    def upload_is_held(self) -> bool:
        """Whether the upstream makes no room for content now."""
        return self._upload is not None and self._connection is not None and self._connection.write_paused

    def take_content(self) -> bytes:
        """The content that came in, for the browser; then there is room for more."""
        reader = self.reader
        content = reader.take()
        self._relayed += len(content)
        if not reader.complete and self._connection is not None:
            self._connection.resume_reading(reader)
        return content

    @property
    def is_started(self) -> bool:
        """Whether it has a connection: its request is being sent, or was."""
        return self._connection is not None

    @property
    def is_unsent(self) -> bool:
        """Whether nothing of the request was sent, and we did not end it."""
        return self._connection is None and self._failure is None

    @property
    def untouched(self) -> bool:
        """Whether the upstream has not sent a single byte, and we did not end it."""
        return self._connection is not None and self._failure is None and not self.reader.received

    def tick(self, now: float, timeouts: TimeoutConfig) -> None:
        """Compares with the clock; called a few times a second."""
        browser = self._browser
        if browser is not None and not browser.is_heard and (self._phase >= _HEAD or self._upload is None):
            browser.is_heard = True
            self.wake()
        if self._patience is None:
            self._patience = Patience(timeouts, now=now)
        if self._patience.is_over(now=now, phase=self._phase, moved=self._moved()):
            self.fail(self._too_slow())
        elif self._patience.drips(now=now, taken=self._taken(), held=self._phase is not _UPLOAD or self.upload_is_held):
            self.fail(RequestTimeout("The content comes too slowly."))

    def wake(self) -> None:
        """Something happened."""
        if self.follower is not None:
            self.follower()
            return
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # --- the upstream ---

    async def _until(self, holds: Callable[[], bool]) -> None:
        """Raises: why it cannot come to hold (`failure`, or the browser's doing)."""
        while not holds():
            self._check()
            if not self._listen():
                await self._news()

    def _news(self) -> "asyncio.Future[None]":
        """Done when something happens. There must be nothing to do before it is awaited."""
        self._waiter = waiter = self.pool.loop.create_future()
        return waiter

    def _abort(self) -> None:
        if self._connection is not None and not self.reader.complete:
            self._connection.abort(self.reader)

    def _check(self) -> None:
        failure = self.failure
        if failure is not None:
            raise failure

    def _taken(self) -> int:
        return 0 if self._upload is None else self._upload.taken

    def _moved(self) -> int:
        connection, reader = self._connection, self.reader
        if connection is None:
            return 0
        moved = (0 if self._upload is None else self._upload.taken) - connection.unsent
        return moved + self._relayed + reader.received if self._phase is _CONTENT else moved

    def _too_slow(self) -> BffError:
        if self._phase is _QUEUED:
            return UpstreamBusy("no connection came free", origin=self.pool.origin)
        if self._phase is _UPLOAD and not self.upload_is_held:
            return RequestTimeout("The content stopped coming.")
        if self._phase is _CONTENT and (self.reader.buffered or not self._waits()):
            return RequestTimeout("The response is not being read.")
        reason = {_CONNECTING: "connect", _UPLOAD: "upload", _HEAD: "first_byte"}.get(self._phase, "idle")
        return UpstreamTimeout("no answer in time", origin=self.pool.origin, reason=reason)

    def _waits(self) -> bool:
        """Whether something is to wake it; a task that is not waiting here waits for the browser to take content."""
        return self.follower is not None or (self._waiter is not None and not self._waiter.done())

    # --- the browser ---

    def _begin_listening(self) -> None:
        if self._browser is not None:
            self._browser.is_heard = True

    def _leave_browser(self) -> None:
        if self._browser is not None:
            self._browser.close()
            self._browser = None

    def _listen(self) -> bool:
        """Handles one message of the browser, if there is one; false when there is nothing to do but wait."""
        browser = self._browser
        if browser is None or not browser.is_heard or self.upload_is_held or self._begun is not None:
            return False
        message = browser.poll()
        if message is None:
            return False
        if message["type"] == "http.disconnect":
            raise BrowserGone("The browser left.")
        content, last = message.get("body", b""), not message.get("more_body", False)
        if self._upload is None:
            return True
        if self._connection is not None:
            self._send_up(self._upload, content, last=last)
        elif content or last:
            self.begin_with(content, last=last)
        return True

    def _send_up(self, upload: Upload, content: bytes, *, last: bool, head: bytes = b"") -> None:
        pieces = upload.frame(content, last=last)
        if head:
            pieces = [head, *pieces]
        cast(Connection, self._connection).write(self.reader, pieces, last=last)
        if last:
            self._upload = None
            if self._phase is _UPLOAD:
                self._phase = _HEAD


def _from_the_first(begun: tuple[bytes, bool] | None, receive: Receive) -> Receive:
    """The browser's messages, with the first content, which was taken already, before the others."""
    if begun is None:
        return receive
    taken: list[Message] = [{"type": "http.request", "body": begun[0], "more_body": not begun[1]}]

    async def messages() -> Message:
        return taken.pop() if taken else await receive()

    return messages
