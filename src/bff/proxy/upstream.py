"""One upstream as a route has it: a server, or several of which any may answer. Here it is decided which one does.

    least_busy     the member with the fewest exchanges and WebSockets under way in this process; of equals, the next in turn
    round_robin    the next in turn

A member that fails is left out for a while (`standing.py`). One whose places are all taken is passed over while another has some:
places are counted for each member, by its pool.

Another member is tried, each once, where the upstream cannot have carried the request out:
    - no connection could be made: nothing was sent, so any request may go elsewhere;
    - the connection broke before a byte of the answer, and the request is idempotent and has no content (RFC 9110 section 9.2.2,
      https://www.rfc-editor.org/rfc/rfc9110#section-9.2.2).
Before that, a connection that had been idle and was closed is replaced by a new one to the same member, under the same conditions.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from msgspec import Struct
from msgspec.structs import replace

from bff.clock import Clock, steady
from bff.errors import UpstreamBroke, UpstreamTimeout, UpstreamUnreachable
from bff.proxy.browser import Receive
from bff.proxy.places import Owner
from bff.proxy.pool import P, UpstreamPool
from bff.proxy.response import UpstreamResponse
from bff.proxy.upstream_request import UpstreamRequest, judge_length

Renew = Callable[[bytes], UpstreamRequest]  # the request for a member, by its authority


class Member(Struct, frozen=True, eq=False):
    """One server of an upstream."""

    pool: UpstreamPool
    authority: bytes  # `Host` of its requests

    def addressed(self, request: UpstreamRequest, renew: Renew | None = None) -> UpstreamRequest:
        """The request as this member gets it; `renew` makes it where it is made for one member only."""
        if request.authority == self.authority:
            return request
        return replace(request, authority=self.authority) if renew is None else renew(self.authority)


class Upstream:
    """The members of one route's upstream, and whose turn it is."""

    def __init__(self, members: Sequence[Member], *, least_busy: bool = True, clock: Clock = steady) -> None:
        self.members = tuple(members)
        self._only = self.members[0] if len(self.members) == 1 else None
        self._least_busy = least_busy
        self._clock = clock
        self._turn = 0
        # Of one that is alone it is the pool's own: each call more costs the lane some 400 instructions.
        self.send_at_once = self._send_at_once if self._only is None else self._only.pool.send_at_once

    @property
    def origin(self) -> str:
        """Of the first member: that is what the route is called until one has answered."""
        return self.members[0].pool.origin

    async def send(
        self,
        request: UpstreamRequest,
        receive: Receive,
        *,
        max_body: int,
        owner: Owner,
        renew: Renew | None = None,
        is_outdated: Callable[[], bool] | None = None,
    ) -> UpstreamResponse:
        """The response, once its status and fields are in. `max_body` is the most content (bytes) the request may have.

        `renew` makes the request anew for a member, where what carries the token serves once; None: the same is sent again.
        `is_outdated`, asked right before the request is written at each member, says whether what carries the token must not be sent
        any more.

        Raises:
            ContentTooLarge, MalformedRequest, RequestTimeout, BrowserGone: the browser's doing.
            UpstreamUnreachable, UpstreamBusy, UpstreamBroke, UpstreamTimeout: there is no response.
            Outdated: `is_outdated` said so.
        """
        judge_length(request, max_body=max_body)
        member = self.choose(owner)
        response = member.pool.begin(member.addressed(request, renew), max_body, owner)
        response.attach_task(receive, is_outdated=is_outdated)
        try:
            if request.has_content:
                await response.first_content()
            await self._answered(response, member, renew)
        except BaseException:  # also CancelledError: the connection must go, and the error with it
            response.discard()
            raise
        return response

    async def receive_head(
        self, response: UpstreamResponse, receive: Receive, *, is_outdated: Callable[[], bool] | None = None
    ) -> None:
        """Wait for status and fields of a response that was begun by `send_at_once`.

        Raises:
            as `send`.
        """
        member = next(member for member in self.members if member.pool is response.pool)
        response.attach_task(receive, is_outdated=is_outdated)
        try:
            await self._answered(response, member, None)
        except BaseException:  # also CancelledError
            response.discard()
            raise

    @contextmanager
    def websocket_place(self, owner: Owner) -> Iterator["WebSocketPlace"]:
        """Holds a place, for the length of the block, for a WebSocket.

        Raises:
            UpstreamBusy: all are in use.
        """
        place = WebSocketPlace(self, owner)
        try:
            yield place
        finally:
            place.leave()

    def _send_at_once(
        self,
        request: UpstreamRequest,
        *,
        max_body: int,
        owner: Owner,
        follower: Callable[[], None],
        begun: tuple[bytes, bool] | None = None,
    ) -> UpstreamResponse | None:
        member = self._next(owner)
        response = member.pool.send_at_once(
            member.addressed(request), max_body=max_body, owner=owner, follower=follower, begun=begun
        )
        if response is not None:
            self._goes_to(member)
        return response

    # --- one exchange, at one member after the other ---

    async def _answered(self, response: UpstreamResponse, member: Member, renew: Renew | None) -> None:
        """Wait for status and fields, at this member or at another.

        Raises:
            as `send`.
        """
        tried = [member]
        while True:
            try:
                await self._head(response, member, renew)
            except (UpstreamUnreachable, UpstreamBroke, UpstreamTimeout):
                another = self.choose_another(response.owner, tried) if _was_not_carried_out(response) else None
                if another is None:
                    raise
                self._move(response, another, renew)
                tried.append(another)
                member = another
            else:
                member.pool.standing.answered()
                return

    async def _head(self, response: UpstreamResponse, member: Member, renew: Renew | None) -> None:
        """Raises: as `send`."""
        if not response.is_started:
            await member.pool.start(response)
        try:
            await response.head()
        except UpstreamBroke:
            if not (response.connection_was_used and response.untouched and response.replayable):
                raise
            response.forget_connection()
            if renew is not None:
                response.request = renew(member.authority)
            await member.pool.start(response, anew=True)
            await response.head()

    def _move(self, response: UpstreamResponse, member: Member, renew: Renew | None) -> None:
        response.pool.ended(response)
        response.forget_connection()
        response.request = member.addressed(response.request, renew)
        member.pool.adopt(response)

    # --- the choice ---

    def choose(self, owner: Owner, tried: Container[Member] = ()) -> Member:
        """Who answers; there must be one that was not tried."""
        member = self._next(owner, tried)
        self._goes_to(member)
        return member

    def choose_another(self, owner: Owner, tried: Sequence[Member]) -> Member | None:
        """Who answers in the place of those that were tried; None: these were all."""
        return None if len(tried) == len(self.members) else self.choose(owner, tried)

    def _next(self, owner: Owner, tried: Container[Member] = ()) -> Member:
        """The next one, if a request went there now."""
        if self._only is not None:
            return self._only
        now, turn = self._clock(), self._turn
        members = [member for member in (*self.members[turn:], *self.members[:turn]) if member not in tried]
        able = [member for member in members if member.pool.standing.takes_requests(now=now)] or members
        free = [member for member in able if member.pool.has_place(owner)] or able
        return min(free, key=_busy) if self._least_busy else free[0]

    def _goes_to(self, member: Member) -> None:
        if self._only is None:
            self._turn = (self.members.index(member) + 1) % len(self.members)
            member.pool.standing.tries(now=self._clock())


class WebSocketPlace:
    """A place for a WebSocket at one member; at another one if no connection to it can be made, or it breaks the handshake off. A
    handshake is a GET without content, so what is true of those is true of it."""

    def __init__(self, upstream: Upstream, owner: Owner) -> None:
        self._upstream = upstream
        self._owner = owner
        self._held = ExitStack()
        self._sit(upstream.choose(owner))
        self._tried = [self.member]

    @property
    def origin(self) -> str:
        """Of the member, for logs and errors."""
        return self.member.pool.origin

    async def dial(self, make: Callable[[], P]) -> P:
        """A connection by the protocol that `make` makes; `member` is whom it leads to.

        Raises:
            UpstreamUnreachable, UpstreamTimeout, UpstreamBusy: there is none.
        """
        while True:
            try:
                return await self.member.pool.dial(make)
            except (UpstreamUnreachable, UpstreamTimeout):
                if not self._moves():
                    raise

    def broke_off(self, *, untouched: bool) -> bool:
        """The member closed the connection in a handshake; `untouched`: before a byte of its answer. Whether `member` is another one
        now, which may be asked."""
        self.member.pool.broke_off()
        return untouched and self._moves()

    def _moves(self) -> bool:
        another = self._upstream.choose_another(self._owner, self._tried)
        if another is None:
            return False
        self._tried.append(another)
        self._held.close()
        self._sit(another)
        return True

    def answered(self) -> None:
        """The member has answered a handshake."""
        self.member.pool.standing.answered()

    def leave(self) -> None:
        """Give the place back."""
        self._held.close()

    def _sit(self, member: Member) -> None:
        self.member = member
        self._held.enter_context(member.pool.websocket_place(self._owner))


def _busy(member: Member) -> int:
    return member.pool.busy


def _was_not_carried_out(response: UpstreamResponse) -> bool:
    """Whether it may be sent to another member; never after we ended it ourselves."""
    return response.is_unsent or (response.untouched and response.replayable)
