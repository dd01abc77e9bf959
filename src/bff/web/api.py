"""Everything that is not below `base_path`: the recipe of a forwarded request, every security check a visible line.

    1 admission.route      pure, on the raw path; Host                        404, 405, 400, 421
    2 admission.brought    a bearer token of the request's own: then 3 to 6 are not asked  400
      of a page load: may it be opened, and does it come from our own site    403, or a page that leads on
    3 admission.same_site  header, Sec-Fetch-Site, Origin                     403
    4 guards.session       cookie -> local copy, else signature -> store      401, 503
    5 admission.access     what the route requires of the sign-in             403, 401
    6 admission.source     whose token; fresh or stale: at once               503, 401
    7 forwarder            rewritten and sent                                 502, 504
    8 relay                status, fields, content with back-pressure

The server's fast lane runs the same lines without waiting; what it has begun and cannot finish at once goes on in `go_on`. A proxy
that asks (`forward_auth.py`) gets what lines 1 to 6 make of the request.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from bff.errors import BffError, BrowserGone, LoginRequired, StepUpRequired, UpstreamBusy, UpstreamError
from bff.oauth.step_up import asks_for_another_sign_in, step_up_of_challenge
from bff.proxy.browser import Receive, Scope, Send
from bff.proxy.forward import owner_of
from bff.proxy.places import Owner
from bff.proxy.response import Outdated, UpstreamResponse
from bff.proxy.upstream_request import upstream_url
from bff.request_head import Field, FieldBlock, RequestHead, field_block, field_section
from bff.sessions.model import AccessToken, LiveSession
from bff.telemetry import requests as telemetry
from bff.telemetry import traces
from bff.telemetry.accounts import Account, current
from bff.telemetry.running import stream_open
from bff.tokens.sources import ExchangedToken, TokenSource, UserToken
from bff.web import admission, guards, navigation, sending, step_up
from bff.web.admission import Admitted
from bff.web.answers import OwnAnswer, send_answer
from bff.web.file_answer import FileBrokeOff
from bff.web.gateway import Gateway
from bff.web.route_policy import RoutePolicy


class BrokenTransfer(Exception):
    """The answer had begun and cannot be completed: the server must close the connection, never end the body cleanly."""


class Server(Protocol):
    """What our own server can do for a request beyond ASGI."""

    @property
    def follows(self) -> bool:
        """Whether it goes on with an event stream by itself."""
        ...

    def follow(self, begun: "BegunStream") -> None:
        """Go on with it: its content, its end, and its line in the log."""
        ...


class Call(Struct, frozen=True):
    """A request that may be forwarded: what was judged about it, and what goes along. `call_of` makes it.

    `operators` are the operator's own fields for the upstream, `owner` is whose places there it takes.
    """

    head: RequestHead
    admitted: Admitted
    live: LiveSession | None
    source: TokenSource | None
    token: AccessToken | None
    operators: FieldBlock
    owner: Owner

    @property
    def policy(self) -> RoutePolicy:
        """Of its route."""
        return self.admitted.policy

    @property
    def users_provider(self) -> str | None:
        """Whose user's token goes along, or one exchanged for it; None: neither does."""
        return self.policy.provider if isinstance(self.source, UserToken | ExchangedToken) else None


class BegunStream(Struct, frozen=True, eq=False):
    """An event stream whose head was sent to the browser, and the account of its request."""

    gateway: Gateway
    call: Call
    response: UpstreamResponse
    account: Account


def call_of(
    head: RequestHead,
    admitted: Admitted,
    *,
    live: LiveSession | None = None,
    source: TokenSource | None = None,
    token: AccessToken | None = None,
    now: float,
) -> Call:
    """The call of a request that was admitted."""
    policy = admitted.policy
    operators = policy.request_headers.fields(admission.signed_in(policy, live, source=source, now=now))
    owner = owner_of(head, session_key=None if live is None else live.session.key)
    return Call(head, admitted, live, source, token, operators, owner)


async def api(gateway: Gateway, head: RequestHead, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request to a route.

    Raises:
        BffError: see the table above; nothing was sent to the browser then.
        BrokenTransfer: the upstream, or a file, broke off after the answer had begun.
    """
    admitted = admission.route(gateway, head)
    telemetry.routed(admitted.policy.label)
    if admitted.policy.serves_files:
        try:
            await gateway.files[admitted.match.route.prefix].send(admitted.match, head, send)
        except FileBrokeOff as error:
            raise BrokenTransfer from error
        return
    call = await admit(gateway, head, admitted)
    if isinstance(call, OwnAnswer):
        await send_answer(call, send)
        return
    try:
        response, call = await _send(gateway, call, receive)
    except LoginRequired as needed:  # the token expired while the request waited, and cannot be renewed
        await _answer_needed(gateway, needed, call, send)
        return
    await _finish(gateway, call, response, receive, send, server=scope.get("extensions", {}).get("bff.exchange"))


async def admit(gateway: Gateway, head: RequestHead, admitted: Admitted) -> Call | OwnAnswer:
    """Lines 2 to 6 of the table above: the call, or what a page load is answered with in its place.

    Raises:
        BffError: refused.
    """
    policy = admitted.policy
    own = admission.brought(gateway, head, policy)
    if own is not None:
        return call_of(head, admitted, source=own, token=own.at_once(), now=gateway.process.clock())
    opening = head.is_navigation
    if opening:
        admission.may_be_opened(policy)
        if admission.must_come_from_our_site(head, policy):
            return navigation.to_our_site(gateway, head, policy)
    live: LiveSession | None = None
    try:
        if not opening:
            admission.same_site(gateway, head, policy)
        live = await guards.session(gateway, head, touch=policy.touches) if policy.reads_session else None
        now = gateway.process.clock()
        admission.access(gateway, policy, live, now=now)
        source = admission.source(gateway, policy, live, now=now)
        if opening:  # judged late: a browser without a session goes to sign in, also if this would refuse it
            admission.same_site(gateway, head, policy)
        token = None if source is None else await source.usable()
    except LoginRequired as needed:
        if not opening or navigation.signed_in_just_now(live, provider=needed.provider, now=gateway.process.clock()):
            raise
        return navigation.to_sign_in(gateway, needed, head)
    return call_of(head, admitted, live=live, source=source, token=token, now=now)


async def go_on(gateway: Gateway, call: Call, response: UpstreamResponse, receive: Receive, send: Send) -> None:
    """Answer a request that the lane has sent and cannot finish without waiting.

    Raises:
        BffError, BrokenTransfer: as `api`.
    """
    try:
        await _receive_head(gateway, call, response, receive)
    except Outdated as late:  # it was to be repeated on another connection
        response, call = await _send(gateway, call, late.receive)
    await _finish(gateway, call, response, receive, send)


async def _receive_head(gateway: Gateway, call: Call, response: UpstreamResponse, receive: Receive) -> None:
    """Raises: Outdated: the token has expired, and nothing was sent. BffError: as `Forwarder.receive_head`."""
    is_outdated, private = sending.outdated(gateway, call.token), call.token is not None
    route = call.admitted.match.route
    try:
        await gateway.forwarder.receive_head(route, response, receive, private=private, is_outdated=is_outdated)
    finally:
        telemetry.upstream_answered(upstream=response.pool.origin)


async def _send(gateway: Gateway, call: Call, receive: Receive) -> tuple[UpstreamResponse, Call]:
    """The response, and the call with the token that was sent: it has not expired when its request is written.

    Raises:
        BffError: as `sending.send`.
    """
    match = call.admitted.match
    upstream = gateway.forwarder.upstreams[match.route.prefix].origin
    telemetry.upstream_asked(upstream=upstream)
    method = call.head.method.decode("ascii", "replace")
    try:
        with traces.client_span(method, _described(call, method, upstream)) as parent:
            head, operators = in_trace(call, parent)
            response, token = await sending.send(
                gateway,
                match,
                head,
                receive,
                token=call.token,
                source=call.source,
                owner=call.owner,
                operators=operators,
            )
            upstream = response.pool.origin
            traces.http_answered(response.status, **{"bff.upstream": upstream})
        return response, call if token is call.token else replace(call, token=token)
    except UpstreamError as error:
        upstream = error.origin
        raise
    finally:
        telemetry.upstream_answered(upstream=upstream)


def _described(call: Call, method: str, upstream: str) -> traces.Attributes:
    """The call in a span; the URL is made for spans only."""
    if not traces.are_on():
        return {}
    return traces.http_call(method, upstream_url(call.admitted.match), **{"bff.upstream": upstream})


def in_trace(call: Call, parent: tuple[Field, ...]) -> tuple[RequestHead, FieldBlock]:
    """The head and the operator's fields for the upstream; with a span of ours as the parent, in the place of the browser's."""
    if not parent:
        return call.head, call.operators
    head = call.head
    if not traces.PARENTS.isdisjoint(head.named):  # else what is kept about the section serves on
        section = field_section([field for field in head.fields if field[0] not in traces.PARENTS])
        head = replace(head, section=section, fields=section.fields, named=section.named, varying=())
    return head, field_block([*call.operators.fields, *parent])


async def _finish(
    gateway: Gateway,
    call: Call,
    response: UpstreamResponse,
    receive: Receive,
    send: Send,
    *,
    server: "Server | None" = None,
) -> None:
    if response.status == 401 and call.source is not None and call.token is not None:
        stronger = _stronger_sign_in(gateway, call, response)
        if stronger is not None:
            response.discard()
            await _answer_needed(gateway, stronger, call, send)
            return
        if not any(map(asks_for_another_sign_in, step_up.challenges_of(response.fields))):
            response = await _once_more(gateway, call, response, receive)
    try:
        signed_in = _while_signed_in(gateway, call, response)
    except UpstreamBusy:
        response.discard()
        raise
    telemetry.api_answered(route=call.policy.label, status=response.status)
    account = current()
    try:
        with signed_in:
            if server is not None and account is not None and _goes_on_without_task(server, response):
                await response.relay_head(send)
                server.follow(BegunStream(gateway, call, response, account))
            else:
                await response.relay(send)
    except BrowserGone:
        return  # the rest is for no browser
    except BffError as error:
        raise BrokenTransfer from error


def _goes_on_without_task(server: Server, response: UpstreamResponse) -> bool:
    return response.is_event_stream and response.is_sent and server.follows


def _stronger_sign_in(gateway: Gateway, call: Call, response: UpstreamResponse) -> StepUpRequired | None:
    """What the upstream asks of the user's sign-in (RFC 9470 section 3), if it says what (R-155)."""
    if call.live is None or call.policy.provider is None:
        return None
    challenges = step_up.challenges_of(response.fields)
    asked = next(filter(None, map(step_up_of_challenge, challenges)), None)
    if asked is None:
        return None
    return step_up.required(
        gateway.signer, asked, provider=call.policy.provider, reason="upstream", challenges=challenges
    )


async def _answer_needed(gateway: Gateway, needed: LoginRequired, call: Call, send: Send) -> None:
    """A page load goes to sign in; a call gets the problem.

    Raises:
        LoginRequired: `needed`.
    """
    now = gateway.process.clock()
    if not call.head.is_navigation or navigation.signed_in_just_now(call.live, provider=needed.provider, now=now):
        raise needed
    await send_answer(navigation.to_sign_in(gateway, needed, call.head), send)


async def _once_more(gateway: Gateway, call: Call, response: UpstreamResponse, receive: Receive) -> UpstreamResponse:
    """The upstream rejected a token that we held to be good: ask again with another, if there is one (R-154)."""
    if call.source is None or call.token is None:
        return response
    another = call.source.instead_of(call.token)
    if not response.replayable:
        gateway.process.tasks.start(another)  # the next request will have it
        return response
    token = await another
    if token is None:
        return response
    response.discard()
    response, _ = await _send(gateway, replace(call, token=token), receive)
    return response


def _while_signed_in(gateway: Gateway, call: Call, response: UpstreamResponse) -> AbstractContextManager[None]:
    """An event stream ends when its session does; the page then reconnects and gets its 401. It has a place of its own (R-366).

    Raises:
        UpstreamBusy: there are as many streams as there may be.
    """
    if not response.is_event_stream:
        return nullcontext()
    response.become_stream()
    ended = LoginRequired("The session has ended.", provider=call.policy.provider or "")
    return open_stream(gateway, call, end=lambda: response.fail(ended))


def open_stream(gateway: Gateway, call: Call, *, end: Callable[[], None]) -> AbstractContextManager[None]:
    """For the length of the block the call is a stream: `end` is called once its session or the sign-in of its token is over."""
    if call.live is None:
        return stream_open()
    return gateway.process.streams.opened(call.live.session.key, provider=call.users_provider, end=end)
