"""Our own endpoints, below `base_path`: one table, looked up by the raw path."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from bff.errors import MethodNotAllowed, NoRoute
from bff.proxy.browser import Receive
from bff.request_head import RequestHead
from bff.telemetry import requests as telemetry
from bff.web import admission
from bff.web.answers import OwnAnswer
from bff.web.backchannel_logout import backchannel_logout
from bff.web.callback import callback
from bff.web.client_script import serve_client_script
from bff.web.form_post import posted_callback
from bff.web.frontchannel_logout import frontchannel_logout
from bff.web.gateway import Gateway
from bff.web.jwks import jwks
from bff.web.login import login
from bff.web.login_request import posted_login
from bff.web.logout import logout
from bff.web.sessions import end_other_sessions, end_session, list_sessions
from bff.web.user import user


class Endpoint(NamedTuple):
    """`follows`: what follows the path as one more segment, a provider's name for example; None: nothing."""

    method: bytes
    path: str
    follows: str | None
    serve: Callable[[Gateway, RequestHead, str, Receive], Awaitable[OwnAnswer]]


ENDPOINTS = (
    Endpoint(b"GET", "/login", None, lambda gateway, head, _, __: login(gateway, head)),
    Endpoint(b"POST", "/login", None, lambda gateway, head, _, receive: posted_login(gateway, head, receive)),
    Endpoint(b"GET", "/callback", "provider", lambda gateway, head, provider, _: callback(gateway, head, provider)),
    Endpoint(b"POST", "/callback", "provider", posted_callback),
    Endpoint(b"GET", "/user", None, lambda gateway, head, _, __: user(gateway, head)),
    Endpoint(b"GET", "/client.js", None, lambda gateway, head, _, __: serve_client_script(gateway, head)),
    Endpoint(b"POST", "/logout", None, lambda gateway, head, _, __: logout(gateway, head)),
    Endpoint(b"POST", "/backchannel-logout", "provider", backchannel_logout),
    Endpoint(
        b"GET",
        "/frontchannel-logout",
        "provider",
        lambda gateway, head, name, _: frontchannel_logout(gateway, head, name),
    ),
    Endpoint(b"GET", "/sessions", None, lambda gateway, head, _, __: list_sessions(gateway, head)),
    Endpoint(b"DELETE", "/sessions", None, lambda gateway, head, _, __: end_other_sessions(gateway, head)),
    Endpoint(b"DELETE", "/sessions", "id", lambda gateway, head, session, _: end_session(gateway, head, session)),
    Endpoint(b"GET", "/jwks", "provider", lambda gateway, _, provider, __: jwks(gateway, provider)),
)


async def endpoint(gateway: Gateway, head: RequestHead, receive: Receive) -> OwnAnswer:
    """The answer of the endpoint that the raw path names.

    Raises:
        NoRoute, MethodNotAllowed: as `named`.
        BffError: what the endpoint raises.
    """
    known, rest = named(gateway, head)
    return await known.serve(gateway, head, rest, receive)


def named(gateway: Gateway, head: RequestHead) -> tuple[Endpoint, str]:
    """The endpoint that the raw path names, and what follows its path; HEAD is answered as GET (RFC 9110 section 9.3.2).

    Raises:
        MalformedRequest, MisdirectedRequest, PlainHttp: as `admission.meant_for_us`.
        NoRoute, MethodNotAllowed: there is none, or not for this method.
    """
    admission.meant_for_us(gateway, head)
    path = head.path[len(gateway.endpoints_below) - 1 :].decode("latin-1")
    allowed: list[str] = []
    for known in ENDPOINTS:
        rest = _rest(known, path)
        if rest is None:
            continue
        if head.method == known.method or (known.method == b"GET" and head.method == b"HEAD"):
            telemetry.routed(f"{gateway.site.base_path}{known.path}")
            return known, rest
        allowed.append("GET, HEAD" if known.method == b"GET" else known.method.decode("ascii"))
    if allowed:
        raise MethodNotAllowed("This endpoint does not take this method.", allow=", ".join(allowed))
    raise NoRoute("There is no such endpoint.", reason="no_endpoint")


def _rest(known: Endpoint, path: str) -> str | None:
    """The segment that follows the endpoint's path, an empty text where none is to follow; None: it is another endpoint's path."""
    if known.follows is None:
        return "" if path == known.path else None
    start, _, rest = path.rpartition("/")
    return rest if start == known.path and rest else None
