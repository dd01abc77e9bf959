"""One event for each request, where the operator asked for it (`log.access`); otherwise nothing of this is on the data path."""

from collections.abc import Awaitable, Callable

from bff.clock import steady
from bff.proxy.browser import Message, Receive, Scope, Send
from bff.request_head import RequestHead
from bff.telemetry import requests as telemetry

Serving = Callable[[RequestHead, Scope, Receive, Send], Awaitable[None]]


def with_access_log(serve: Serving, *, began: float | None = None) -> Serving:
    """`serve`, and an event after each request; its time counts from `began` (on the steady clock), if something was done before."""

    async def logged(head: RequestHead, scope: Scope, receive: Receive, send: Send) -> None:
        started = steady() if began is None else began
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await serve(head, scope, receive, noting)
        finally:
            exchange = scope.get("extensions", {}).get("bff.exchange")
            if exchange is None or not exchange.is_refused:  # a refusal is logged by the server, which answered it
                telemetry.request_served(head, status=status, seconds=steady() - started)

    return logged
