"""The connections to one upstream, and the exchanges over them: who may have one, who waits, how long an idle one is kept.

An exchange first takes a place (`places.py`), in line if all are taken; then it gets an idle connection or one that is made for it.
The last one used is the next one used, so that a burst's connections age and close. A place is given back when the upstream has
nothing more to do with the exchange.

A pooled connection that the upstream has closed, while we did not know yet, is the one failure that is retried: once, on a new
connection, if not a byte came back and the request is idempotent and has no content (RFC 9110 section 9.2.2, RFC 9112 section
9.3.1). An upstream's own limit (`Keep-Alive: timeout=5`) is kept, less a second. A connection that is older than
`max_connection_age` serves no other request, so a name that has moved is asked again (R-365).
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple, TypeVar
from weakref import WeakValueDictionary

from bff.backoff import Backoff
from bff.clock import Clock, steady
from bff.config.model import RouteConfig, TimeoutConfig
from bff.config.values.urls import UpstreamUrl
from bff.errors import ContentTooLarge, UpstreamBroke, UpstreamBusy, UpstreamUnreachable
from bff.proxy.browser import Receive
from bff.proxy.connection import Connection
from bff.proxy.dialing import Dialer, TlsSettings, UpstreamTls
from bff.proxy.places import Kind, Owner, Places
from bff.proxy.response import UpstreamResponse
from bff.proxy.rewrite import UpstreamRequest

P = TypeVar("P", bound=asyncio.Protocol)

IDLE_SECONDS = 30.0
TICK_SECONDS = 0.25  # the clock's grain, and how soon we listen to the browser of a slow exchange
MAX_AGE_SECONDS = 60.0

_KEEP_ALIVE = re.compile(rb"timeout[ \t]*=[ \t]*\"?([0-9]{1,6})", re.IGNORECASE)


class UpstreamPool:
    """All connections to one origin under one set of limits."""

    def __init__(
        self,
        dialer: Dialer,
        *,
        timeouts: TimeoutConfig,
        max_connections: int,
        max_waiting: int,
        max_age: float = MAX_AGE_SECONDS,
        clock: Clock = steady,
    ) -> None:
        """`max_age`: seconds after which a connection serves no other request."""
        self._dialer = dialer
        self.origin = dialer.upstream.origin
        self._timeouts = timeouts
        self._max_idle = max_connections
        self._max_waiting = max_waiting
        # Half of it is left to chance: the connections of one burst shall not all be made anew at one time.
        self._ages = Backoff(first_seconds=max_age, longest_seconds=max_age)
        self._clock = clock
        self._tick_seconds = min(TICK_SECONDS, timeouts.connect / 4, timeouts.first_byte / 4, timeouts.idle / 4)
        self._ticker: asyncio.TimerHandle | None = None
        self._places: dict[tuple[Kind, bool], Places[UpstreamResponse]] = {
            (kind, signed_in): Places(max_connections) for kind in Kind for signed_in in (True, False)
        }
        self._calls = (self._places[Kind.CALL, False], self._places[Kind.CALL, True])  # by `Owner.signed_in`
        self._connections: set[Connection] = set()
        self._idle: dict[Connection, None] = {}  # an ordered set: popped from its end, and from the middle
        self._active: set[UpstreamResponse] = set()
        self._closed = False

    async def send(
        self,
        request: UpstreamRequest,
        receive: Receive,
        *,
        max_body: int,
        owner: Owner,
        anew: Callable[[], UpstreamRequest] | None = None,
    ) -> UpstreamResponse:
        """The response, once its status and fields are in. `max_body` is the most content (bytes) the request may have.

        `anew` makes the request that is sent in the place of one that a closed connection may have taken; None: the same again.

        Raises:
            ContentTooLarge, MalformedRequest, RequestTimeout, BrowserGone: the browser's doing.
            UpstreamUnreachable, UpstreamBusy, UpstreamBroke, UpstreamTimeout: there is no response.
        """
        judge_length(request, max_body=max_body)
        response = self._begin(request, max_body=max_body, owner=owner)
        response.attach_task(receive)
        try:
            if request.has_content:
                await response.first_content()
            await self._take_place(response)
            self._start(response, self._take_idle() or await self._connect())
            await self._head(response, anew=anew)
        except BaseException:  # also CancelledError: the connection must go, and the error with it
            response.discard()
            raise
        return response

    def send_at_once(
        self, request: UpstreamRequest, *, max_body: int, owner: Owner, follower: Callable[[], None]
    ) -> UpstreamResponse | None:
        """The response of a request whose head has been written; None, and nothing was done, if that would have to wait.

        `follower` is called whenever something happens from now on; look at `failure` at once. `receive_head` hands the response to
        a task.

        Raises:
            ContentTooLarge: the request announces more than `max_body`.
        """
        judge_length(request, max_body=max_body)  # first: what is taken below would be lost
        if not self._idle or not self._calls[owner.signed_in].take(owner.name):
            return None
        connection = self._take_idle()
        if connection is None:
            self._leave(self._calls[owner.signed_in], owner.name)
            return None
        response = self._begin(request, max_body=max_body, owner=owner)
        response.place = self._calls[owner.signed_in]
        response.follower = follower
        self._start(response, connection)
        return response

    async def receive_head(self, response: UpstreamResponse, receive: Receive) -> None:
        """Wait for status and fields of a response that was begun by `send_at_once`.

        Raises:
            as `send`.
        """
        response.attach_task(receive)
        try:
            await self._head(response)
        except BaseException:  # also CancelledError
            response.discard()
            raise

    def _begin(self, request: UpstreamRequest, *, max_body: int, owner: Owner) -> UpstreamResponse:
        if self._ticker is None:
            self._wind_up()
        response = UpstreamResponse(self, request, owner, max_body)
        self._active.add(response)
        return response

    async def _head(self, response: UpstreamResponse, *, anew: Callable[[], UpstreamRequest] | None = None) -> None:
        try:
            await response.head()
        except UpstreamBroke:
            if not (response.connection_was_used and response.untouched and response.replayable):
                raise
            response.forget_connection()
            if anew is not None:
                response.request = anew()
            await self._take_place(response)
            self._start(response, await self._connect())
            await response.head()

    def _start(self, response: UpstreamResponse, connection: Connection) -> None:
        connection.holder = response
        response.start(connection)

    async def dial(self, make: Callable[[], P]) -> P:
        """A connection of the caller's own, by the protocol that `make` makes; no place and no exchange belongs to it.

        Raises:
            UpstreamUnreachable, UpstreamTimeout: there is none.
        """
        return await self._dialer.dial(make, seconds=self._timeouts.connect)

    @contextmanager
    def websocket_place(self, owner: Owner) -> Iterator[None]:
        """Holds a place, for the length of the block, for a WebSocket.

        Raises:
            UpstreamBusy: all are in use.
        """
        places = self._places[Kind.WEBSOCKET, owner.signed_in]
        if not places.take(owner.name):
            raise UpstreamBusy("all WebSockets are in use", origin=self.origin)
        try:
            yield
        finally:
            self._leave(places, owner.name)

    async def aclose(self) -> None:
        """Closes every connection; what is under way breaks."""
        self._closed = True
        if self._ticker is not None:
            self._ticker.cancel()
        for response in tuple(self._active):
            response.fail(UpstreamUnreachable("shutting down", origin=self.origin, reason="stopping"))
        if self._connections:
            for connection in tuple(self._connections):
                connection.close()
            await asyncio.sleep(0)  # the event loop reports them lost

    # --- places ---

    async def _take_place(self, response: UpstreamResponse) -> None:
        """A place for a call, at once or in its turn."""
        places, owner = self._calls[response.owner.signed_in], response.owner.name
        if response.place is not None:
            return
        if not places.take(owner):
            await self._stand_in_line(response, places)
        response.place = places

    async def _stand_in_line(self, response: UpstreamResponse, places: Places[UpstreamResponse]) -> None:
        owner = response.owner.name
        if places.waiting >= self._max_waiting:
            raise UpstreamBusy("all connections are in use", origin=self.origin)
        places.stand_in_line(owner, response)
        try:
            await response.queued()
        except BaseException:  # also CancelledError: neither the place in line nor what was just granted may be lost
            if response.granted:
                self._leave(places, owner)
            else:
                places.step_out(owner, response)
            raise

    def make_stream(self, response: UpstreamResponse) -> None:
        """The exchange goes on for as long as the browser likes: it takes a place among those."""
        if response.place is None:  # all of it is here already
            return
        streams = self._places[Kind.STREAM, response.owner.signed_in]
        if not streams.take(response.owner.name):
            raise UpstreamBusy("all event streams are in use", origin=self.origin)
        self._leave(response.place, response.owner.name)
        response.place = streams

    def _give_back_place(self, response: UpstreamResponse) -> None:
        places, response.place = response.place, None
        next_one = None if places is None else places.leave(response.owner.name)
        if next_one is not None:
            next_one.grant()

    def _leave(self, places: Places[UpstreamResponse], owner: str) -> None:
        next_one = places.leave(owner)
        if next_one is not None:
            next_one.grant()

    def ended(self, response: UpstreamResponse) -> None:
        """The exchange is over: its place is free, if the connection has not given it back already."""
        self._active.discard(response)
        if response.place is not None:
            self._give_back_place(response)

    # --- connections ---

    def _take_idle(self) -> Connection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if connection.usable:
                return connection
            connection.close()
        return None

    def _came_free(self, connection: Connection) -> None:
        holder, connection.holder = connection.holder, None
        if holder is not None:
            self._give_back_place(holder)
        if self._closed or len(self._idle) >= self._max_idle:
            connection.close()
        else:
            self._idle[connection] = None

    def _was_lost(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._idle.pop(connection, None)
        holder, connection.holder = connection.holder, None
        if holder is not None:
            self._give_back_place(holder)

    # --- connecting ---

    async def _connect(self) -> Connection:
        """A new connection."""
        connection = Connection(on_idle=self._came_free, on_closed=self._was_lost)
        self._connections.add(connection)
        try:
            await self.dial(lambda: connection)
        except BaseException:  # also CancelledError: its place must not be lost
            self._was_lost(connection)
            raise
        connection.retires_at = self._clock() + self._ages.pause_seconds(1)
        return connection

    # --- the clock ---

    def _wind_up(self) -> None:
        self.loop = asyncio.get_running_loop()  # kept, because asking for it costs a system call before Python 3.12
        self._ticker = self.loop.call_later(self._tick_seconds, self._tick)

    def _tick(self) -> None:
        self._ticker = None
        if self._active or self._connections:
            self._wind_up()
        now = self._clock()
        for response in tuple(self._active):
            response.tick(now, self._timeouts)
        for connection in self._connections:
            connection.is_old = now >= connection.retires_at
        for connection in tuple(self._idle):
            if connection.is_old:
                connection.close()
            elif not connection.closes_at:
                connection.closes_at = now + _kept_seconds(connection.keep_alive)
            elif now >= connection.closes_at:
                connection.close()


def judge_length(request: UpstreamRequest, *, max_body: int) -> None:
    """The content is not longer than the route takes, as far as its length is said.

    Raises:
        ContentTooLarge: it is.
    """
    if request.content_length is not None and request.content_length > max_body:
        raise ContentTooLarge(f"more than {max_body} bytes")


def _kept_seconds(keep_alive: bytes | None) -> float:
    """How long an idle connection is kept; the upstream may close it earlier than we would."""
    announced = None if keep_alive is None else _KEEP_ALIVE.search(keep_alive)
    return IDLE_SECONDS if announced is None else min(IDLE_SECONDS, max(0.0, int(announced[1]) - 1.0))


class PoolKey(NamedTuple):
    """What makes two routes' pools one (invariant 8)."""

    scheme: str
    host: str
    port: int
    authority: bytes
    socket: str | None
    tls: TlsSettings
    timeouts: tuple[float, float, float, float | None]
    max_connections: int
    max_waiting: int
    max_age: float


def pool_key(upstream: UpstreamUrl, config: RouteConfig) -> PoolKey:
    """The key of an upstream under a route's settings."""
    shown, timeouts = config.client_certificate, config.timeouts
    return PoolKey(
        upstream.scheme,  # base paths share connections
        upstream.host,
        upstream.port,
        upstream.authority,
        upstream.socket,
        TlsSettings(config.ca_file, config.server_name, None if shown is None else (shown.certificate, shown.key)),
        (timeouts.connect, timeouts.first_byte, timeouts.idle, timeouts.total),
        config.max_connections,
        config.max_waiting,
        config.max_connection_age,
    )


class UpstreamPools:
    """All pools of a process: they outlive the configuration that first asked for them.

    One that no configuration in use names lives until its exchanges have ended and its idle connections are closed.
    """

    def __init__(self, *, unusable: Callable[[str], None] = lambda _: None) -> None:
        """`unusable` is told of a client certificate (its file) that has changed and cannot be used."""
        self._by_key: WeakValueDictionary[PoolKey, UpstreamPool] = WeakValueDictionary()
        self._tls: WeakValueDictionary[TlsSettings, UpstreamTls] = WeakValueDictionary()
        self._unusable = unusable

    def __iter__(self) -> Iterator[UpstreamPool]:
        return iter(tuple(self._by_key.values()))

    def pool(self, upstream: UpstreamUrl, config: RouteConfig) -> UpstreamPool:
        """The pool of this upstream under the settings of a route.

        Raises:
            OSError: a file of certificates or keys cannot be used (ssl.SSLError is one).
        """
        key = pool_key(upstream, config)
        pool = self._by_key.get(key)
        if pool is None:
            pool = self._by_key[key] = UpstreamPool(
                Dialer(upstream, tls=self._tls_of(key.tls) if upstream.tls else None),
                timeouts=config.timeouts,
                max_connections=config.max_connections,
                max_waiting=config.max_waiting,
                max_age=config.max_connection_age,
            )
        return pool

    def _tls_of(self, settings: TlsSettings) -> UpstreamTls:
        tls = self._tls.get(settings)
        if tls is None:
            tls = self._tls[settings] = UpstreamTls(settings, unusable=self._unusable)
        return tls

    async def aclose(self) -> None:
        """Close every connection; what is under way breaks."""
        for pool in self:
            await pool.aclose()
