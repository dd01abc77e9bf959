"""The fast lane: a call is forwarded by callbacks, without a task, while nothing has to be waited for.

It decides nothing by itself (invariant 11): it runs the lines of the recipe, `web/api.py`, in their order. It takes a call whose
session is in the local copy, whose token is usable now, and whose upstream has an idle connection. At the first thing that would
have to wait, and at any refusal, it steps aside before a byte of an answer is written, and the recipe answers in a task: problems,
logs and retries stay in one place. What was sent by then is not sent again; the recipe goes on with the response.

A request that is sampled for traces is the recipe's, because spans nest by tasks. `BFF_LANE=off` in the environment turns it off.
"""

import os
from functools import partial
from typing import Any

from msgspec import Struct

from bff.clock import steady
from bff.errors import BffError
from bff.proxy import destinations
from bff.proxy.hops import browser_address
from bff.proxy.places import Owner
from bff.proxy.rewrite import PlainFields
from bff.proxy.routes import Match
from bff.proxy.upstream_request import UpstreamRequest, judge_length, request_with
from bff.request_head import NO_FIELDS, FieldBlock, Peer, RequestHead
from bff.server.exchange import Exchange
from bff.server.judged_head import Message
from bff.server.lane_call import FollowedStream, LaneCall, LaneSide
from bff.sessions.model import AccessToken, LiveSession
from bff.telemetry import requests as telemetry
from bff.telemetry import traces
from bff.tokens.sources import TokenSource, bearer
from bff.web import admission, cookies
from bff.web.admission import Admitted
from bff.web.api import BegunStream, Call, call_of, in_trace
from bff.web.app import App
from bff.web.gateway import Gateway

SWITCH = "BFF_LANE"

_IN_FLIGHT = telemetry.IN_FLIGHT  # looked up for each call


class Lane:
    """The lane of one application. `take` gives a call that is under way, or what answers it in a task; None: the recipe has to."""

    def __init__(self, app: App) -> None:
        self._app = app
        traced = traces.are_on()
        self.follows = not traced  # event streams that the recipe has begun; a span lasts as long as its task
        self.take = self._traced_call if traced else self._call

    @staticmethod
    def is_on() -> bool:
        """Whether the environment lets it run."""
        return os.environ.get(SWITCH, "").lower() != "off"

    def _traced_call(self, message: Message, browser: LaneSide, keep_alive: bool) -> "LaneCall | Exchange | None":
        """Whether a request is sampled is decided once: the recipe goes on with the span that was begun here."""
        scheme = "https" if self._app.gateway.site.https else "http"
        span = traces.begin(message.head, client=browser_address(message.head), scheme=scheme)
        call = None if span is None or span.is_recording() else self._call(message, browser, keep_alive, span)
        if call is None and span is not None:
            serve = partial(self._app.serve, self._app.gateway, span=span)
            return browser.step_aside(message, serve, keep_alive=keep_alive)
        return call

    def _call(self, message: Message, browser: LaneSide, keep_alive: bool, span: Any = None) -> "LaneCall | None":
        """The call, under way or waiting for its content; None: the recipe has to answer, and nothing was done."""
        if message.expects_continue:
            return None
        gateway, head = self._app.gateway, message.head
        began = steady()
        try:
            repeated = head.section.is_plain and bool(head.section.memo)
            made = _again(gateway, head) if repeated and span is None else None
            if made is None:
                admitted = _admit(gateway, message)
                if admitted is None:
                    return None
                call, credentials = admitted
                made = call, _request(gateway, call, credentials, span)
                if repeated:
                    _remember(gateway, call)
            call, request = made
            if message.has_content:
                judge_length(request, max_body=call.admitted.match.route.max_body)
        except BffError:
            return None  # the recipe judges the same and says it
        lane_call = LaneCall(self._app, gateway, browser, message, call, request)
        lane_call.began = began
        lane_call.keep_alive = keep_alive
        lane_call.span = span
        if not message.has_content and not lane_call.begin():
            return None
        _IN_FLIGHT.number += 1
        return lane_call

    def follow(self, exchange: Exchange, begun: BegunStream, browser: LaneSide) -> "FollowedStream":
        """The event stream that the exchange has begun; to `go_on`."""
        return FollowedStream(self._app, exchange, begun, browser)


class _Judged(Struct, frozen=True):
    """What the judgements and the rewrite gave for a field section on a route, for one method and one peer, and would give again.

    They read nothing else of a request but its path and its query, which are judged each time. It is kept in the section's memo, by
    the route's policy, which belongs to one gateway. It holds nothing of the session.
    """

    method: bytes
    peer: Peer
    cookie: bytes
    plain: PlainFields


class _Ready(Struct, frozen=True):
    """What the recipe's last lines gave for a copied session and a route, and would give again until then.

    It is kept in the copy's memo, by the route's policy, and goes with the copy: at the latest when the session changes or ends.
    """

    source: TokenSource
    token: AccessToken
    credentials: FieldBlock
    operators: FieldBlock
    blocks: tuple[FieldBlock, ...]  # both, as they are written
    owner: Owner
    until: float


def _again(gateway: Gateway, head: RequestHead) -> tuple[Call, UpstreamRequest] | None:
    """A call like one before it: its fields were judged for this route, and its session's copy has a fresh token.

    Raises:
        BffError: refused.
    """
    if head.path.startswith(gateway.endpoints_below):
        return None
    route = gateway.routes.route_of(head.path)
    policy = gateway.policies[route.prefix]
    judged = head.section.memo.get(policy)
    if not isinstance(judged, _Judged) or judged.method != head.method or judged.peer != head.peer:
        return None
    now = gateway.process.clock()
    copy = gateway.process.copies.get(judged.cookie, now=now)
    ready = None if copy is None else copy.memo.get(policy)
    if copy is None or not isinstance(ready, _Ready) or now >= ready.until:
        return None
    match = Match(route, head.path[len(route.prefix) :])  # the route takes the method, or it would not have been judged
    plain = judged.plain
    request = request_with(match, head, plain.passed, ready.blocks + plain.ours, plain.content_length)
    admitted = Admitted(match, policy)
    return Call(head, admitted, copy.live, ready.source, ready.token, ready.operators, ready.owner), request


def _remember(gateway: Gateway, call: Call) -> None:
    """Keep what the section gave, if the next call may go by it: what is required of a sign-in depends on the time, too."""
    head, policy, match = call.head, call.policy, call.admitted.match
    cookie = cookies.find(head.named.get(b"cookie"), gateway.cookies.session)
    plain = gateway.forwarder.plain_fields(head, match.route)
    if cookie is None or plain is None or policy.requirement is not None or head.method in destinations.METHODS:
        return
    if policy.reads_session:
        head.section.memo[policy] = _Judged(head.method, head.peer, cookie, plain)


def _request(gateway: Gateway, call: Call, credentials: FieldBlock, span: Any) -> UpstreamRequest:
    """The call's request for its upstream, in the trace of this span.

    Raises:
        BffError: it cannot be forwarded.
    """
    head, operators = call.head, call.operators
    if span is not None:
        head, operators = in_trace(call, traces.parent_fields(span))
    match = call.admitted.match
    return gateway.forwarder.request(match=match, head=head, credentials=credentials, operators=operators)


def _admit(gateway: Gateway, message: Message) -> tuple[Call, FieldBlock] | None:
    """The first lines of the recipe, and the fields that carry the token; None: something has to be waited for.

    Raises:
        BffError: refused.
    """
    head = message.head
    if head.path.startswith(gateway.endpoints_below):
        return None
    if gateway.site.allowed_origins and head.named.get(b"origin") in gateway.site.allowed_origins:
        return None  # the recipe says who may read the answer
    admitted = admission.route(gateway, head)
    policy = admitted.policy
    if policy.serves_files:
        return None
    own = admission.brought(gateway, head, policy) if policy.passes_bearer else None
    if own is not None:
        token = own.at_once()
        return call_of(head, admitted, source=own, token=token, now=gateway.process.clock()), bearer(token)
    if head.section.opens_page:
        return None
    admission.same_site(gateway, head, policy)
    now = gateway.process.clock()
    cookie = cookies.find(head.named.get(b"cookie"), gateway.cookies.session) if policy.reads_session else None
    if cookie is None:
        return _with_token(gateway, head, admitted, None, now=now)
    copy = gateway.process.copies.get(cookie, now=now)
    if copy is None:
        return None  # the store has to be asked
    admission.access(gateway, policy, copy.live, now=now)
    ready = copy.memo.get(policy)
    if isinstance(ready, _Ready) and now < ready.until:
        call = Call(head, admitted, copy.live, ready.source, ready.token, ready.operators, ready.owner)
        return call, ready.credentials
    found = _with_token(gateway, head, admitted, copy.live, now=now)
    if found is not None:
        call, credentials = found
        if call.source is not None and call.token is not None:
            until = call.source.fresh_until(call.token)
            operators = call.operators
            blocks = (credentials,) if operators is NO_FIELDS else (operators, credentials)
            copy.memo[policy] = _Ready(call.source, call.token, credentials, operators, blocks, call.owner, until)
    return found


def _with_token(
    gateway: Gateway, head: RequestHead, admitted: Admitted, live: LiveSession | None, *, now: float
) -> tuple[Call, FieldBlock] | None:
    """The call and the fields that carry its token, if that is there without waiting."""
    source = admission.source(gateway, admitted.policy, live, now=now)
    if source is None:
        return call_of(head, admitted, live=live, now=now), NO_FIELDS
    token = source.at_once()
    if token is None or token.dpop_seed is not None:  # a proof serves one request, and may be asked for once more
        return None
    return call_of(head, admitted, live=live, source=source, token=token, now=now), bearer(token)
