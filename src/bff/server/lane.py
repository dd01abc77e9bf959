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
from bff.proxy.hops import browser_address
from bff.proxy.places import Owner
from bff.request_head import NO_FIELDS, FieldBlock, RequestHead
from bff.server.exchange import Exchange
from bff.server.lane_call import FollowedStream, LaneCall, LaneSide
from bff.server.request_reader import Message
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
        return os.environ.get(SWITCH, "on") != "off"

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
        gateway = self._app.gateway
        began = steady()
        try:
            admitted = _admit(gateway, message)
            if admitted is None:
                return None
            call, credentials = admitted
            head, operators = call.head, call.operators
            if span is not None:
                head, operators = in_trace(call, traces.parent_fields(span))
            request = gateway.forwarder.request(
                match=call.admitted.match, head=head, credentials=credentials, operators=operators
            )
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


class _Ready(Struct, frozen=True):
    """What the recipe's last lines gave for a copied session and a route, and would give again until then."""

    source: TokenSource
    token: AccessToken
    credentials: FieldBlock
    operators: FieldBlock
    owner: Owner
    until: float


def _admit(gateway: Gateway, message: Message) -> tuple[Call, FieldBlock] | None:
    """The first four lines of the recipe, and the fields that carry the token; None: something has to be waited for.

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
        return call_of(head, admitted, source=own, token=token), bearer(token)
    if head.section.opens_page:
        return None
    admission.same_site(gateway, head, policy)
    now = gateway.process.clock()
    cookie = cookies.find(head.named.get(b"cookie"), gateway.cookies.session) if policy.reads_session else None
    if cookie is None:
        return _token(gateway, head, admitted, None, now=now)
    copy = gateway.process.copies.get(cookie, now=now)
    if copy is None:
        return None  # the store has to be asked
    live = copy.live
    if policy.requirement is not None:
        admission.access(gateway, policy, live, now=now)
    ready = copy.memo.get(policy)
    if isinstance(ready, _Ready) and now < ready.until:
        call = Call(head, admitted, live, ready.source, ready.token, ready.operators, ready.owner)
        return call, ready.credentials
    found = _token(gateway, head, admitted, live, now=now)
    if found is not None:
        call, credentials = found
        if call.source is not None and call.token is not None:
            until = call.source.fresh_until(call.token)
            copy.memo[policy] = _Ready(call.source, call.token, credentials, call.operators, call.owner, until)
    return found


def _token(
    gateway: Gateway, head: RequestHead, admitted: Admitted, live: LiveSession | None, *, now: float
) -> tuple[Call, FieldBlock] | None:
    """Whose token goes along, if nothing has to be waited for."""
    source = admission.source(gateway, admitted.policy, live, now=now)
    if source is None:
        return call_of(head, admitted, live=live), NO_FIELDS
    token = source.at_once()
    if token is None or token.dpop_seed is not None:  # a proof serves one request, and may be asked for once more
        return None
    return call_of(head, admitted, live=live, source=source, token=token), bearer(token)
