"""Forward-auth: a proxy that stands in front of an API asks, for each request, whether it may pass and what to attach.

It has a listener of its own, because the answer holds the token: browsers must not reach it. The request in question is judged by
the same lines as one that is forwarded here (`api.admit`, `websocket.admit_handshake`).

    may pass             200 with `Authorization`, the route's `request_headers`, and `Cookie` without ours: all for the API
    needs a sign-in      a page load: 303; a call: the problem, 401
    refused              the problem, or the page for people

nginx's `auth_request` knows 2xx, 401 and 403 only, and shows the browser nothing of the answer but `WWW-Authenticate`. So where it
asks, a page load that needs a sign-in is answered with 401 and the place in `Location`, and every other 4xx is a 403.

Nothing of 200 is for the browser: it never sets a cookie. A session that is used is extended in the store, and its cookie stays.
"""

from collections.abc import Callable
from dataclasses import replace

from bff.errors import BrowserError, MalformedRequest, NoRoute, NotImplementedHere, PlainHttp
from bff.proxy import destinations
from bff.proxy.fields import OURS_TO_SAY, Verdict, judge, strip_cookies
from bff.proxy.routes import Route
from bff.request_head import NO_FIELDS, Field, FieldBlock, RequestHead, splits_lines
from bff.telemetry import requests as telemetry
from bff.tokens.sources import bearer
from bff.web import admission
from bff.web.admission import Admitted
from bff.web.answers import OwnAnswer, redirect
from bff.web.api import Call, admit, call_of
from bff.web.asked_request import AskedRequest, Asker, asked_request, asker_of
from bff.web.fields import bare_fields
from bff.web.gateway import Gateway
from bff.web.navigation import to_https
from bff.web.pages import requested_path, with_return_to
from bff.web.problems import sign_in_url
from bff.web.websocket import admit_handshake

Problem = Callable[[Exception, RequestHead], OwnAnswer]

# Envoy, or the proxy in front of it, sets these itself: they stay as they came.
_ENVOYS = (b"x-envoy-", b"sec-websocket-")
_ENVOYS_OWN = frozenset(
    {
        *(b"host", b"connection", b"upgrade", b"transfer-encoding", b"te", b"expect", b"keep-alive", b"x-request-id"),
        *(
            b"x-forwarded-for",
            b"x-forwarded-proto",
            b"x-forwarded-host",
            b"x-forwarded-port",
            b"x-forwarded-client-cert",
        ),
    }
)
# Known by the beginning of their names alone, and read by many applications: named also where the question does not have them.
_BY_PREFIX = frozenset(
    (
        b"remote-user remote-email remote-groups remote-name x-auth-request-user x-auth-request-email x-auth-request-groups "
        b"x-forwarded-user x-forwarded-email x-forwarded-groups x-forwarded-preferred-username x-remote-user "
    ).split()
)


def in_question(question: RequestHead) -> RequestHead:
    """The head that logs and metrics are about: that of the request in question, if one is named."""
    try:
        return asked_request(question).head
    except BrowserError:
        return question


async def forward_auth(gateway: Gateway, question: RequestHead, *, problem: Problem) -> OwnAnswer:
    """The answer to a proxy's question; `problem` makes the one to an error."""
    asker, head = asker_of(question), question
    try:
        asked = asked_request(question)
        head = asked.head
        own = await _judged(gateway, asked)
    except PlainHttp as error:
        own = to_https(gateway, error) or problem(error, head)
    except Exception as error:  # noqa: BLE001 - as at the ASGI edge: the proxy gets a problem for every error
        own = problem(error, head)
    return _as_nginx_knows(own) if asker is Asker.NGINX else own


async def _judged(gateway: Gateway, asked: AskedRequest) -> OwnAnswer:
    """What the request in question is answered with.

    Raises:
        BffError: refused.
    """
    head = asked.head
    if head.path.startswith(gateway.endpoints_below):
        raise NoRoute("The gateway's own endpoints are on its public listener: the proxy is not to ask about them.")
    admitted = admission.route(gateway, head, asked=True)
    telemetry.routed(admitted.policy.label)
    if is_handshake(head):
        return _pass(asked, await admit_handshake(gateway, head, admitted))
    if admitted.policy.serves_files:
        return _pass(asked, call_of(head, admitted, now=gateway.process.clock()))
    call = await admit(gateway, head, admitted)
    return _instead(gateway, asked, admitted, call) if isinstance(call, OwnAnswer) else _pass(asked, call)


def is_handshake(head: RequestHead) -> bool:
    """Whether a WebSocket is asked for; Traefik takes `Upgrade` out of its question. No page can set this field on a call."""
    return head.method == b"GET" and b"sec-websocket-key" in head.named


def _pass(asked: AskedRequest, call: Call) -> OwnAnswer:
    """200, and the fields that the proxy is to copy into the request for the API.

    Raises:
        NotImplementedHere: the token is bound to a key, and only what sends the request could prove that it has it.
        MalformedRequest: a field would end its line.
    """
    given = fields_for_the_api(asked.head, _credentials(call), call.operators)
    if asked.asker is Asker.ENVOY:
        given.append((b"x-envoy-auth-headers-to-remove", _to_remove(asked.head, call.admitted.match.route, given)))
    return OwnAnswer(status=200, fields=[*bare_fields(), (b"content-length", b"0"), *given], body=b"")


def fields_for_the_api(head: RequestHead, credentials: FieldBlock, operators: FieldBlock) -> list[Field]:
    """The fields that the proxy is to set in the request of this head.

    Raises:
        MalformedRequest: a field would end its line.
    """
    given = [*credentials.fields, *operators.fields, *_other_cookies(head)]
    if splits_lines(given):
        raise MalformedRequest("A field for the API would hold a control character.")
    return given


def bound_to_a_key() -> NotImplementedHere:
    """The error of a token that only what sends the request could prove to have."""
    return NotImplementedHere("The token of this route is bound to a key (DPoP): route it through the gateway.")


def _credentials(call: Call) -> FieldBlock:
    token = call.token
    if token is None:
        return NO_FIELDS
    if token.dpop_seed is not None:
        raise bound_to_a_key()
    return bearer(token)


def _other_cookies(head: RequestHead) -> list[Field]:
    """`Cookie` as the API is to see it."""
    others = strip_cookies(head.named.get(b"cookie", b""))
    return [(b"cookie", others)] if others else []  # an empty field would be one that the browser did not send


def _to_remove(head: RequestHead, route: Route, given: list[Field]) -> bytes:
    """What Envoy is to take out: what this gateway drops where it forwards itself, but for what the answer sets."""
    rules = route.request_rules
    dropped = {name for name, _ in head.fields if judge(name) is Verdict.DROP}
    names = OURS_TO_SAY | _BY_PREFIX | dropped | rules.drops | {b"authorization", b"cookie"}
    names -= {name for name, _ in given} | rules.passes | _ENVOYS_OWN
    if head.method in destinations.METHODS:
        names -= {b"destination"}
    return b",".join(sorted(name for name in names if not name.startswith(_ENVOYS)))


def _instead(gateway: Gateway, asked: AskedRequest, admitted: Admitted, own: OwnAnswer) -> OwnAnswer:
    """A page load's answer that is no pass: a redirect, or a page, which must not look like one (200)."""
    if own.status != 200:
        return replace(own, fields=[_absolute(gateway, field) for field in own.fields])
    if asked.asker is not Asker.NGINX:
        return replace(own, status=403)
    provider = gateway.provider(admitted.policy.provider).name
    url = with_return_to(sign_in_url(gateway.site.base_path, provider=provider), requested_path(asked.head))
    return redirect(gateway.site.url(url), https=gateway.site.https)  # nginx would not show the page


def _absolute(gateway: Gateway, field: Field) -> Field:
    """`Location` with our origin: Traefik takes a path for one at the address of this listener."""
    name, value = field
    if name != b"location" or not value.startswith(b"/"):
        return field
    return name, gateway.site.origin_bytes + value


def _as_nginx_knows(own: OwnAnswer) -> OwnAnswer:
    if 300 <= own.status < 400:
        # RFC 9110 section 15.5.2: "The server generating a 401 response MUST send a WWW-Authenticate header field".
        return replace(own, status=401, fields=[*own.fields, (b"www-authenticate", b"BFF")])
    if 400 <= own.status < 500 and own.status != 401:
        return replace(own, status=403)
    return own
