"""Our own endpoints, below `base_path`: one table, looked up by the raw path."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from bff.errors import MethodNotAllowed, NoRoute
from bff.proxy.browser import Receive
from bff.request_head import RequestHead
from bff.web import admission
from bff.web.answers import OwnAnswer
from bff.web.backchannel_logout import backchannel_logout
from bff.web.callback import callback
from bff.web.client_script import serve_client_script
from bff.web.form_post import posted_callback
from bff.web.gateway import Gateway
from bff.web.jwks import jwks
from bff.web.login import login
from bff.web.login_request import posted_login
from bff.web.logout import logout
from bff.web.user import user


class Endpoint(NamedTuple):
    """`of_provider`: the provider's name follows the path as one more segment."""

    method: bytes
    path: str
    of_provider: bool
    serve: Callable[[Gateway, RequestHead, str, Receive], Awaitable[OwnAnswer]]


ENDPOINTS = (
    Endpoint(b"GET", "/login", False, lambda gateway, head, _, __: login(gateway, head)),
    Endpoint(b"POST", "/login", False, lambda gateway, head, _, receive: posted_login(gateway, head, receive)),
    Endpoint(b"GET", "/callback", True, lambda gateway, head, provider, _: callback(gateway, head, provider)),
    Endpoint(b"POST", "/callback", True, posted_callback),
    Endpoint(b"GET", "/user", False, lambda gateway, head, _, __: user(gateway, head)),
    Endpoint(b"GET", "/client.js", False, lambda gateway, head, _, __: serve_client_script(gateway, head)),
    Endpoint(b"POST", "/logout", False, lambda gateway, head, _, __: logout(gateway, head)),
    Endpoint(b"POST", "/backchannel-logout", True, backchannel_logout),
    Endpoint(b"GET", "/jwks", True, lambda gateway, _, provider, __: jwks(gateway, provider)),
)


async def endpoint(gateway: Gateway, head: RequestHead, receive: Receive) -> OwnAnswer:
    """The answer of the endpoint that the raw path names; HEAD is answered as GET (RFC 9110 section 9.3.2).

    Raises:
        NoRoute, MethodNotAllowed: there is none, or not for this method.
        BffError: what the endpoint raises.
    """
    admission.meant_for_us(gateway, head)
    path = head.path[len(gateway.endpoints_below) - 1 :].decode("latin-1")
    allowed: list[str] = []
    for known in ENDPOINTS:
        provider = _provider(known, path)
        if provider is None:
            continue
        if head.method == known.method or (known.method == b"GET" and head.method == b"HEAD"):
            return await known.serve(gateway, head, provider, receive)
        allowed.append("GET, HEAD" if known.method == b"GET" else known.method.decode("ascii"))
    if allowed:
        raise MethodNotAllowed("This endpoint does not take this method.", allow=", ".join(allowed))
    raise NoRoute("There is no such endpoint.")


def _provider(known: Endpoint, path: str) -> str | None:
    """The provider that the path names, or an empty text where none is to follow; None: it is another endpoint's path."""
    if not known.of_provider:
        return "" if path == known.path else None
    start, _, name = path.rpartition("/")
    return name if start == known.path and name else None
