"""Loopback only: the demo servers sign people in without a password, so only this machine may reach them.

Both the peer's address and the `Host` field must be loopback. The second refuses DNS rebinding: a page on another site
whose name resolves to 127.0.0.1 reaches the socket, but its `Host` field holds that name.
"""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from bff.loopback import is_loopback


def host_of(authority: str) -> str:
    """The host of a `Host` field's value, without the port; empty when it cannot be read."""
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return ""


class LoopbackOnly:
    """ASGI middleware: 403 for every request whose peer or `Host` is not loopback."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let lifespan events and loopback requests through."""
        if scope["type"] == "lifespan" or self._local(scope):
            await self._app(scope, receive, send)
            return
        refusal = PlainTextResponse("This demo server answers loopback addresses only.\n", status_code=403)
        await refusal(scope, receive, send)

    def _local(self, scope: Scope) -> bool:
        peer, _ = scope.get("client") or ("", 0)
        hosts = Headers(scope=scope).getlist("host")
        return is_loopback(peer) and len(hosts) == 1 and is_loopback(host_of(hosts[0]))
