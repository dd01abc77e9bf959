"""The judgements on one request that was typed, and what becomes of it (`explain.py` prints them). Nothing is sent, no store is asked.

The head that was typed is read by the server's own reader. The judgements are those of `web/admission.py`, in the order of
`web/api.py` and `web/websocket.py`; on a route that is only asked about (it has no `upstream`) they are those on the request that a
proxy asks about (`web/forward_auth.py`). Tests compare what is said here with what a running gateway does.
"""

from dataclasses import dataclass, field

from bff.cli.typed_request import HIDDEN
from bff.config.in_force import is_hidden
from bff.errors import (
    BffError,
    BrowserError,
    MalformedRequest,
    MaxForwardsReached,
    NoRoute,
)
from bff.proxy.browser import Message as Sent
from bff.proxy.upstream_request import UpstreamRequest, judge_length, upstream_url
from bff.proxy.websocket_handshake import Offer, parse_offer, with_offer
from bff.request_head import NO_FIELDS, Field, FieldBlock, RequestHead, field_block, field_lines
from bff.server.judged_head import Message
from bff.server.request_reader import RequestReader
from bff.sessions.model import AccessToken, LiveSession
from bff.tokens.sources import BroughtToken, ClientToken, ExchangedToken, TokenSource, UserToken, bearer
from bff.web import admission, cookies, cross_origin, endpoints, guards
from bff.web.admission import Admitted
from bff.web.api import Call, call_of
from bff.web.forward_auth import bound_to_a_key, fields_for_the_api, is_handshake
from bff.web.gateway import Gateway


@dataclass(slots=True, kw_only=True)
class Explanation:
    """`steps`: the judgements that passed, each with its result. Of the rest one is there: the request as it is forwarded, the fields
    that a proxy which asks is to set in it, what is served instead, or why it is refused and by which judgement. `offer` is that of a
    WebSocket handshake. `hidden`: fields of the route's own whose values may be secrets."""

    steps: list[tuple[str, str]] = field(default_factory=list)
    asking: str = "head"
    offer: Offer | None = None
    hidden: frozenset[bytes] = frozenset()
    forwarded: UpstreamRequest | None = None
    passed: list[Field] | None = None
    served: str | None = None
    refused: BffError | None = None

    def found(self, result: str) -> None:
        """The judgement that was asked has passed."""
        self.steps.append((self.asking, result))


async def explain(gateway: Gateway, head: RequestHead, live: LiveSession | None) -> Explanation:
    """What the gateway would do with this request, if `live` were the session of its cookie."""
    explanation = Explanation()
    try:
        message = _read(gateway, head)
        explanation.asking, head = "route", message.head
        if _is_preflight(gateway, message):
            explanation.served = "by the gateway itself: the preflight of one of allowed_origins"
        elif head.path.startswith(gateway.endpoints_below) and not message.is_websocket:
            known, _ = endpoints.named(gateway, head)
            explanation.served = f"by the gateway's own endpoint {gateway.config.base_path}{known.path}"
        else:
            await _judge(gateway, message, live, explanation)
    except MaxForwardsReached:
        explanation.served = "by the gateway itself: Max-Forwards is 0"
    except BffError as error:
        explanation.refused = error
    return explanation


def _is_preflight(gateway: Gateway, message: Message) -> bool:
    """Raises: BffError: it is one that is refused."""
    origin = None if message.is_websocket else cross_origin.allowed_origin(gateway, message.head)
    return origin is not None and cross_origin.preflight(gateway, message.head, origin) is not None


def _read(gateway: Gateway, head: RequestHead) -> Message:
    """The request as the server reads it.

    Raises:
        BrowserError: it does not take it: too long, framing, a method that no server forwards.
    """
    reader = RequestReader(peer=head.peer, limits=gateway.config.limits)
    reader.feed(b"%b %b HTTP/1.1\r\n%b\r\n" % (head.method, head.target, field_lines(head.fields)))
    event = reader.next_event()
    if isinstance(event, Message):
        return event
    raise event if isinstance(event, BrowserError) else MalformedRequest("This is not HTTP.")


async def _judge(gateway: Gateway, message: Message, live: LiveSession | None, explanation: Explanation) -> None:
    """The judgements up to the token, then what is sent.

    Raises:
        BffError: one of them refuses.
    """
    head, websocket = message.head, _is_handshake(gateway, message, explanation)
    explanation.asking = "route"
    admitted = admission.route(gateway, head, asked=True)
    policy = admitted.policy
    explanation.found(f"{policy.label} -> {_target(admitted)}")
    if policy.serves_files and not websocket:
        explanation.asking = "file"
        explanation.served = await _served_file(gateway, admitted, head)
        return
    explanation.asking = "bearer"
    own = admission.brought(gateway, head, policy)
    if own is not None:
        explanation.found("the request brings its own token: no CSRF defence, no session")
        if websocket:
            _takes_websocket(explanation, admitted)
        _forward(gateway, call_of(head, admitted, source=own, now=gateway.process.clock()), explanation)
        return
    _same_site_first(gateway, head, admitted, explanation, websocket=websocket)
    if explanation.served is not None:
        return
    used = _session(gateway, head, admitted, live, explanation)
    now = gateway.process.clock()
    explanation.asking = "access"
    admission.access(gateway, policy, used, now=now)
    explanation.found(
        "nothing is required" if policy.requirement is None else "the sign-in holds what the route requires"
    )
    explanation.asking = "token"
    source = admission.source(gateway, policy, used, now=now)
    users = source.users if isinstance(source, ExchangedToken) else source
    if isinstance(users, UserToken):
        users.at_once()  # refuses without a sign-in at the route's provider
    explanation.found(_whose(source))
    if head.is_navigation and not websocket:
        _same_site(gateway, head, admitted, explanation)
    _forward(gateway, call_of(head, admitted, live=used, source=source, now=now), explanation)


def _is_handshake(gateway: Gateway, message: Message, explanation: Explanation) -> bool:
    """Whether a WebSocket is asked for. What is wrong with its offer comes before everything else (`server/websocket.py`); a proxy
    that asks keeps the offer to itself.

    Raises:
        MalformedRequest, WebSocketVersion: the offer is none.
    """
    if _is_asked_about(gateway, message.head):
        return is_handshake(message.head)
    if message.is_websocket:
        explanation.asking = "handshake"
        explanation.offer = parse_offer(message.head)
        explanation.found("a WebSocket of version 13")
    return message.is_websocket


def _is_asked_about(gateway: Gateway, head: RequestHead) -> bool:
    try:
        return gateway.policies[gateway.routes.route_of(head.path).prefix].only_asked
    except BffError:
        return False


def _target(admitted: Admitted) -> str:
    if admitted.policy.only_asked:
        return "a proxy that asks (forward_auth); 404 on the public listener"
    route = admitted.match.route
    return " or ".join(map(str, route.upstreams)) or str(route.config.files)


def _same_site_first(
    gateway: Gateway, head: RequestHead, admitted: Admitted, explanation: Explanation, *, websocket: bool
) -> None:
    """Where the request comes from, as far as that is judged before the session.

    Raises:
        BffError: refused.
    """
    if websocket:
        explanation.asking = "same_site"
        guards.websocket_origin(head, site=gateway.site)
        explanation.found("Origin is our own")
        _takes_websocket(explanation, admitted)
    elif head.is_navigation:
        explanation.asking = "page"
        admission.may_be_opened(admitted.policy)
        if admission.must_come_from_our_site(head, admitted.policy):
            how = "at once" if admitted.policy.cross_site_pages else "after a click"
            explanation.served = f"a page of the gateway, which leads on {how}: the page load comes from another site"
            return
        explanation.found("may be opened as a page")
    else:
        _same_site(gateway, head, admitted, explanation)


def _same_site(gateway: Gateway, head: RequestHead, admitted: Admitted, explanation: Explanation) -> None:
    explanation.asking = "same_site"
    admission.same_site(gateway, head, admitted.policy)
    explanation.found(
        f"csrf: {admitted.policy.csrf} holds" if admitted.policy.asks_csrf else "not asked: no token is attached"
    )


def _takes_websocket(explanation: Explanation, admitted: Admitted) -> None:
    """As `websocket.admit_websocket`.

    Raises:
        NoRoute: the route takes none.
    """
    explanation.asking = "websocket"
    if not admitted.match.route.config.websocket:
        raise NoRoute("This path takes no WebSockets.", reason="no_websocket")
    explanation.found("the route takes WebSockets")


def _session(
    gateway: Gateway, head: RequestHead, admitted: Admitted, live: LiveSession | None, explanation: Explanation
) -> LiveSession | None:
    explanation.asking = "session"
    if not admitted.policy.reads_session:
        explanation.found("not looked up")
        return None
    if live is not None and cookies.find(head.named.get(b"cookie"), gateway.cookies.session) is None:
        explanation.found("none: the session cookie is there twice")
        return None
    explanation.found("none" if live is None else f"signed in at {live.session.grants[0].provider}")
    return live


async def _served_file(gateway: Gateway, admitted: Admitted, head: RequestHead) -> str:
    """What the app's folder answers; it is read as for a browser.

    Raises:
        BffError: no such file.
    """
    sent: list[Sent] = []

    async def send(message: Sent) -> None:
        sent.append(message)

    match = admitted.match
    await gateway.files[match.route.prefix].send(match, head, send)
    status = next(message["status"] for message in sent if message["type"] == "http.response.start")
    return f"from the folder {match.route.config.files}: {status}"


def _whose(source: TokenSource | None) -> str:
    if source is None:
        return "none"
    if isinstance(source, ClientToken):
        return f"the gateway's own, from {source.provider}"
    if isinstance(source, ExchangedToken):
        return f"exchanged for the user's, from {source.users.provider}"
    return f"the user's, from {source.provider}" if isinstance(source, UserToken) else "the request's own"


def _forward(gateway: Gateway, call: Call, explanation: Explanation) -> None:
    """Raises: BffError: it cannot be forwarded as it is."""
    explanation.asking = "forward"
    credentials = _hidden(gateway, call)
    match = call.admitted.match
    own = match.route.config.request_headers.set
    explanation.hidden = frozenset(name.lower().encode("ascii") for name in own if is_hidden(name, own[name]))
    if call.policy.only_asked:
        explanation.passed = fields_for_the_api(call.head, credentials, call.operators)
        explanation.found(
            "200 to the proxy, which sets these fields in the request, or removes those that are not here"
        )
        return
    request = gateway.forwarder.request(match=match, head=call.head, credentials=credentials, operators=call.operators)
    judge_length(request, max_body=match.route.max_body)
    explanation.forwarded = request if explanation.offer is None else with_offer(request, explanation.offer)
    explanation.found(upstream_url(match))


def _hidden(gateway: Gateway, call: Call) -> FieldBlock:
    """The fields that would carry the token, with `***` in its place."""
    if call.source is None:
        return NO_FIELDS
    bound = gateway.provider(call.policy.provider).config.dpop == "on"
    if bound and not isinstance(call.source, BroughtToken):
        if call.policy.only_asked:
            raise bound_to_a_key()
        hidden = HIDDEN.encode("ascii")
        return field_block([(b"authorization", b"DPoP " + hidden), (b"dpop", hidden)])
    return bearer(AccessToken(value=HIDDEN, expires_at=None, refresh_at=None))
