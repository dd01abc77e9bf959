"""CORS for `allowed_origins`: further origins of this site whose pages may call with credentials, and read the answers.

Only what rests on the cookie is opened to them: routes that attach a token, `/user`, `/logout` and `/sessions`; and `/client.js`,
which makes these calls. Each origin is named as it is, never by `*`. The gateway alone speaks CORS there: it answers preflights
itself, before a session is looked at (they carry no cookie), and what an upstream says of it is dropped (`proxy/field_rules.py`). A
page there reads all fields of an answer, as a page of our own origin does. The CSRF defence stays (`guards.csrf`).
https://fetch.spec.whatwg.org/#http-cors-protocol
"""

import re

from bff.errors import BffError, MalformedRequest
from bff.proxy.browser import Message, Send
from bff.request_head import Field, RequestHead
from bff.web import admission
from bff.web.answers import OwnAnswer, answer
from bff.web.gateway import Gateway

MAX_AGE_SECONDS = 600

_ENDPOINTS = {b"user": b"GET, HEAD", b"logout": b"POST", b"sessions": b"GET, HEAD, DELETE", b"client.js": b"GET, HEAD"}
_NAMES = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+([ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_STARTS = ("http.response.start", "websocket.http.response.start")


def allowed_origin(gateway: Gateway, head: RequestHead) -> bytes | None:
    """The origin of the page that calls, if it is one of `allowed_origins` and this path is open to them."""
    origin = head.named.get(b"origin")
    if origin not in gateway.site.allowed_origins or _methods(gateway, head) is None:
        return None
    return origin


def preflight(gateway: Gateway, head: RequestHead, origin: bytes) -> OwnAnswer | None:
    """The answer to a preflight of this allowed origin; None: it is none.

    Raises:
        MalformedRequest, MisdirectedRequest, PlainHttp: as `admission.meant_for_us`, or the fields asked for are no names.
    """
    if head.method != b"OPTIONS" or b"access-control-request-method" not in head.named:
        return None
    admission.meant_for_us(gateway, head)
    names = head.named.get(b"access-control-request-headers", b"")
    if names and _NAMES.fullmatch(names) is None:
        raise MalformedRequest("Access-Control-Request-Headers does not hold names of fields.")
    more: list[Field] = [
        *_permission(origin),
        (b"access-control-allow-methods", _methods(gateway, head) or b""),
        (b"access-control-max-age", b"%d" % MAX_AGE_SECONDS),
        (b"vary", b"Origin, Access-Control-Request-Method, Access-Control-Request-Headers"),
    ]
    if names:
        more.append((b"access-control-allow-headers", names))
    return answer(204, b"", "text/plain; charset=utf-8", https=gateway.site.https, more=tuple(more))


def readable_by(send: Send, origin: bytes) -> Send:
    """`send`, which lets pages of this allowed origin read the answer."""

    async def readable(message: Message) -> None:
        if message["type"] in _STARTS:
            message = {**message, "headers": _with_permission([*message.get("headers", ())], origin)}
        await send(message)

    return readable


def _with_permission(fields: list[Field], origin: bytes) -> list[Field]:
    if any(name == b"access-control-allow-origin" for name, _ in fields):  # of a preflight
        return fields
    names = dict.fromkeys(name for name, _ in fields if name not in {b"set-cookie", b"vary"})
    exposed = (b"access-control-expose-headers", b", ".join(names))
    varies = any(name == b"vary" and b"origin" in value.lower() for name, value in fields)
    vary = [] if varies else [(b"vary", b"Origin")]
    return [*fields, *_permission(origin), exposed, *vary]


def _permission(origin: bytes) -> tuple[Field, Field]:
    return (b"access-control-allow-origin", origin), (b"access-control-allow-credentials", b"true")


def _methods(gateway: Gateway, head: RequestHead) -> bytes | None:
    """The methods of what is at this path, as `Allow` lists them; None: it is not open to other origins."""
    if head.path.startswith(gateway.endpoints_below):
        return _ENDPOINTS.get(head.path[len(gateway.endpoints_below) :].partition(b"/")[0])
    try:
        route = gateway.routes.route_of(head.path)
    except BffError:
        return None
    policy = gateway.policies[route.prefix]
    return route.allow.encode("ascii") if policy.asks_csrf and not policy.only_asked else None
