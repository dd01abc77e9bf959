"""The connections to one upstream, and the exchanges over them: who may have one, who waits, how long an idle one is kept.

An exchange first takes a place (`places.py`), in line if all are taken; then it gets an idle connection or one that is made for it.
The last one used is the next one used, so that a burst's connections age and close. A place is given back when the upstream has
nothing more to do with the exchange.

An upstream's own limit (`Keep-Alive: timeout=5`) is kept, less a second. A connection that is older than
`max_connection_age` serves no other request, so a name that has moved is asked again (R-365).
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from bff.backoff import Backoff
from bff.clock import Clock, steady
from bff.config.model import TimeoutConfig
from bff.errors import BffError, BrowserError, UpstreamBusy, UpstreamError, UpstreamUnreachable
from bff.proxy.connection import Connection
from bff.proxy.dialing import Dialer
from bff.proxy.places import Kind, Owner, Places
from bff.proxy.response import Outdated, UpstreamResponse
from bff.proxy.standing import Standing
from bff.proxy.upstream_request import UpstreamRequest

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
        standing: Standing | None = None,
        clock: Clock = steady,
    ) -> None:
        """`max_age`: seconds after which a connection serves no other request."""
        self._dialer = dialer
        self.standing = standing or Standing(on_change=lambda _: None)
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

    # --- exchanges (`upstream.py` says at which pool) ---

    def begin(self, request: UpstreamRequest, max_body: int, owner: Owner) -> UpstreamResponse:
        """A response of which nothing has been asked yet; to be discarded."""
        if self._ticker is None:
            self._wind_up()
        response = UpstreamResponse(self, request, owner, max_body)
        self._active.add(response)
        return response

    def adopt(self, response: UpstreamResponse) -> None:
        """From now on the exchange, which was another pool's, is this one's."""
        if self._ticker is None:
            self._wind_up()
        response.pool = self
        self._active.add(response)

    async def start(self, response: UpstreamResponse, *, anew: bool = False) -> None:
        """Send the request of an exchange; with `anew` over a new connection.

        Raises:
            UpstreamUnreachable, UpstreamTimeout: there is no connection, or it was given up before there was one.
            UpstreamBusy, BrowserGone: it cannot have a place.
            Outdated: what the request carries has expired meanwhile.
        """
        await self._take_place(response)
        connection = (None if anew else self._take_idle()) or await self._connect()
        try:
            if response.failure is not None:
                raise response.failure
            response.check_credentials()
        except (BffError, Outdated):
            connection.close()
            raise
        response.start(connection)

    def send_at_once(
        self,
        request: UpstreamRequest,
        *,
        max_body: int,
        owner: Owner,
        follower: Callable[[], None],
        begun: tuple[bytes, bool] | None = None,
    ) -> UpstreamResponse | None:
        """The response of a request whose head has been written; None, and nothing was done, if that would have to wait.

        `follower` is called whenever something happens from now on; look at `failure` at once. `begun` is the first content, and
        whether it is the last.

        Raises:
            ContentTooLarge, MalformedRequest: `begun` is more content than `max_body`, or than was announced. What was announced is
                judged before (`judge_length`).
        """
        if not self._idle or not self._calls[owner.signed_in].take(owner.name):
            return None
        connection = self._take_idle()
        if connection is None:
            self._leave(self._calls[owner.signed_in], owner.name)
            return None
        response = self.begin(request, max_body, owner)
        response.place = self._calls[owner.signed_in]
        response.follower = follower
        if begun is None:
            response.start(connection)
            return response
        response.begin_with(begun[0], last=begun[1])
        try:
            response.start(connection)
        except BrowserError:
            response.discard()
            raise
        return response

    async def dial(self, make: Callable[[], P]) -> P:
        """A connection of the caller's own, by the protocol that `make` makes; no place and no exchange belongs to it.

        Raises:
            UpstreamUnreachable, UpstreamTimeout: there is none.
        """
        try:
            return await self._dialer.dial(make, seconds=self._timeouts.connect)
        except UpstreamError as error:
            self.standing.failed(error.reason or "unreachable", now=self._clock())
            raise

    def broke_off(self) -> None:
        """A connection of the caller's own was lost before the answer to its request was there."""
        self.standing.failed("lost", now=self._clock())

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

    @property
    def busy(self) -> int:
        """Exchanges and WebSockets under way."""
        websockets = sum(self._places[Kind.WEBSOCKET, signed_in].taken for signed_in in (True, False))
        return len(self._active) + websockets

    def has_place(self, owner: Owner) -> bool:
        """Whether a call need not stand in line."""
        places = self._calls[owner.signed_in]
        return places.taken < places.limit

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
        if response.reader.broken is not None or self.standing.is_out:
            self._judge(response)
        if response.place is not None:
            self._give_back_place(response)

    def _judge(self, response: UpstreamResponse) -> None:
        """What the end of an exchange says of the upstream; a connection that was closed while it was idle says nothing."""
        reader = response.reader
        if reader.was_lost:
            if reader.received or not response.connection_was_used:
                self.standing.failed("lost", now=self._clock())
        elif reader.status:
            self.standing.answered()

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


def _kept_seconds(keep_alive: bytes | None) -> float:
    """How long an idle connection is kept; the upstream may close it earlier than we would."""
    announced = None if keep_alive is None else _KEEP_ALIVE.search(keep_alive)
    return IDLE_SECONDS if announced is None else min(IDLE_SECONDS, max(0.0, int(announced[1]) - 1.0))
