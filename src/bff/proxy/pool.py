"""The connections to one upstream: who may have one, who waits, and how long an idle one is kept.

At most `max_connections` connections exist or are being made. Whoever comes when all are in use waits in line, at most
`max_waiting` of them; the rest is refused at once. A connection that comes free goes to the first in line; one that is lost leaves
its place to him. The last one used is the next one used, so that a burst's connections age and close. All of it is O(1).
Others may hold a place for a connection that they make themselves, as each WebSocket does: an idle connection makes room for it,
but nobody waits for one, since nobody knows how long such a connection is kept.

A pooled connection that the upstream has closed, while we did not know yet, is the one failure that is retried: once, on a new
connection, if not a byte came back and the request is idempotent and has no content (RFC 9110 section 9.2.2, RFC 9112 section
9.3.1). Upstreams that say how long they keep a connection (`Keep-Alive: timeout=5`) are believed, less a second.
"""

import asyncio
import re
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from bff.config.model import TimeoutConfig
from bff.config.values.urls import UpstreamUrl
from bff.errors import ContentTooLarge, UpstreamBroke, UpstreamBusy, UpstreamTimeout, UpstreamUnreachable
from bff.proxy.browser import Receive
from bff.proxy.connection import Connection
from bff.proxy.response import UpstreamResponse
from bff.proxy.rewrite import UpstreamRequest

IDLE_SECONDS = 30.0
TICK_SECONDS = 0.25  # the clock's grain, and how soon we listen to the browser of a slow exchange

_KEEP_ALIVE = re.compile(rb"timeout[ \t]*=[ \t]*\"?([0-9]{1,6})", re.IGNORECASE)


class Usage(NamedTuple):
    """What a pool is doing now; for metrics."""

    connections: int  # made or being made, and places that others hold
    idle: int
    active: int  # exchanges, those that wait for a connection too
    waiting: int


class UpstreamPool:
    """All connections to one origin under one set of limits. `ssl_context` is needed for https."""

    def __init__(
        self,
        upstream: UpstreamUrl,
        *,
        timeouts: TimeoutConfig,
        max_connections: int,
        max_waiting: int,
        ssl_context: ssl.SSLContext | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstream = upstream
        self._origin = upstream.origin
        self._timeouts = timeouts
        self._max_connections = max_connections
        self._max_waiting = max_waiting
        self.ssl_context = ssl_context
        self._clock = clock
        self._tick_seconds = min(TICK_SECONDS, timeouts.connect / 4, timeouts.first_byte / 4, timeouts.idle / 4)
        self._loop: asyncio.AbstractEventLoop | None = None  # asking for it costs a system call before Python 3.12
        self._ticker: asyncio.TimerHandle | None = None
        self._taken = 0  # places: connections, and those being made
        self._connections: set[Connection] = set()
        self._idle: dict[Connection, None] = {}  # an ordered set: popped from its end, and from the middle
        self._waiting: deque[UpstreamResponse] = deque()
        self._active: set[UpstreamResponse] = set()
        self._forget = self._active.discard
        self._closed = False

    @property
    def usage(self) -> Usage:
        """A look at what is taken."""
        return Usage(self._taken, len(self._idle), len(self._active), len(self._waiting))

    async def send(self, request: UpstreamRequest, receive: Receive, *, max_body: int) -> UpstreamResponse:
        """The response, once its status and fields are in. `max_body` is the most content (bytes) the request may have.

        Raises:
            ContentTooLarge, MalformedRequest, RequestTimeout, BrowserGone: the browser's doing.
            UpstreamUnreachable, UpstreamBusy, UpstreamBroke, UpstreamTimeout: there is no response.
        """
        if request.content_length is not None and request.content_length > max_body:
            raise ContentTooLarge(f"more than {max_body} bytes")
        if self._ticker is None:
            self._wind_up()
        response = UpstreamResponse(
            request, receive, loop=self._loop, origin=self._origin, max_body=max_body, on_end=self._forget
        )
        self._active.add(response)
        try:
            connection = self._take_idle() or await self._open(response)
            reused = connection.reused
            try:
                await response.exchange(request, connection)
            except UpstreamBroke:
                if not (reused and response.untouched and response.replayable):
                    raise
                await response.exchange(request, await self._open(response))
        except BaseException:  # also CancelledError: the connection must go, and the error with it
            response.discard()
            raise
        return response

    @contextmanager
    def place(self) -> Iterator[None]:
        """Holds a place, for the length of the block, for a connection that is not this pool's.

        Raises:
            UpstreamBusy: all are in use.
        """
        if self._taken < self._max_connections:
            self._taken += 1
        elif self._idle:
            self._evict(next(iter(self._idle)))
        else:
            raise UpstreamBusy("all connections are in use", origin=self._origin)
        try:
            yield
        finally:
            self._leave_place()

    async def aclose(self) -> None:
        """Closes every connection; what is under way breaks."""
        self._closed = True
        if self._ticker is not None:
            self._ticker.cancel()
        for response in tuple(self._active):
            response.fail(UpstreamUnreachable("shutting down", origin=self._origin))
        if self._connections:
            for connection in self._connections:
                connection.close()
            await asyncio.sleep(0)  # the event loop reports them lost

    # --- places: each belongs to a connection, or to somebody who is about to make one ---

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable:
                return connection
            connection.close()
        return None

    async def _open(self, response: UpstreamResponse) -> Connection:
        """A connection, new or in its turn; not from among the idle ones."""
        while self._taken >= self._max_connections:
            connection = await self._stand_in_line(response)
            if connection is None:
                return await self._connect()
            if connection.usable:  # else it was lost between the grant and now
                return connection
            connection.close()
        self._taken += 1
        return await self._connect()

    async def _stand_in_line(self, response: UpstreamResponse) -> Connection | None:
        """What is granted: a connection, or None for the place to make one."""
        if len(self._waiting) >= self._max_waiting:
            raise UpstreamBusy("all connections are in use", origin=self._origin)
        self._waiting.append(response)
        try:
            return await response.queued()
        except BaseException:  # also CancelledError: neither the place in line nor what was just granted may be lost
            self._step_out_of_line(response)
            raise

    def _step_out_of_line(self, response: UpstreamResponse) -> None:
        if not response.granted:
            self._waiting.remove(response)
            return
        connection = response.give_back()
        if connection is None:
            self._leave_place()
        elif connection.usable:
            self._came_free(connection)
        else:
            connection.close()

    def _came_free(self, connection: Connection) -> None:
        if self._closed:
            connection.close()
        elif self._waiting:
            self._waiting.popleft().grant(connection)
        else:
            self._idle[connection] = None

    def _was_lost(self, connection: Connection) -> None:
        if connection in self._connections:
            self._connections.remove(connection)
            self._idle.pop(connection, None)
            self._leave_place()

    def _evict(self, connection: Connection) -> None:
        """Its place is somebody else's from now on."""
        self._connections.remove(connection)
        del self._idle[connection]
        connection.close()

    def _leave_place(self) -> None:
        if self._waiting:
            self._waiting.popleft().grant(None)
        else:
            self._taken -= 1

    # --- connecting ---

    async def _connect(self) -> Connection:
        """A new connection, in a place that was taken for it."""
        connection = Connection(on_idle=self._came_free, on_closed=self._was_lost)
        self._connections.add(connection)
        try:
            async with asyncio.timeout(self._timeouts.connect):
                await self._dial(connection)
        except TimeoutError as error:
            self._was_lost(connection)
            raise UpstreamTimeout("could not connect in time", origin=self._origin) from error
        except OSError as error:  # also ssl.SSLError and socket.gaierror
            self._was_lost(connection)
            raise UpstreamUnreachable(type(error).__name__, origin=self._origin) from error
        except BaseException:  # also CancelledError: its place must not be lost
            self._was_lost(connection)
            raise
        return connection

    async def _dial(self, connection: Connection) -> None:
        tls = self.ssl_context
        host = self._upstream.host
        await asyncio.get_running_loop().create_connection(
            lambda: connection, host, self._upstream.port, ssl=tls, server_hostname=host if tls is not None else None
        )

    # --- the clock ---

    def _wind_up(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ticker = self._loop.call_later(self._tick_seconds, self._tick)

    def _tick(self) -> None:
        self._ticker = None
        if self._active or self._connections:
            self._wind_up()
        now = self._clock()
        for response in tuple(self._active):
            response.tick(now, self._timeouts)
        for connection in tuple(self._idle):
            if not connection.closes_at:
                connection.closes_at = now + _kept_seconds(connection.keep_alive)
            elif now >= connection.closes_at:
                connection.close()


def _kept_seconds(keep_alive: bytes | None) -> float:
    """How long an idle connection is kept; the upstream may close it earlier than we would."""
    said = None if keep_alive is None else _KEEP_ALIVE.search(keep_alive)
    return IDLE_SECONDS if said is None else min(IDLE_SECONDS, max(0.0, int(said[1]) - 1.0))
