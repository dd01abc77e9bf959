"""One event for each request, where the operator asked for it (`log.access`); otherwise nothing of this is on the data path.

The path is logged as it came, escaped by the log's format. The query is never logged: it may hold secrets.
"""

from collections.abc import Awaitable, Callable
from time import perf_counter

import structlog

from bff.proxy.browser import Message, Receive, Scope, Send
from bff.request_head import RequestHead

Serving = Callable[[RequestHead, Scope, Receive, Send], Awaitable[None]]

log = structlog.get_logger()


def with_access_log(serve: Serving, *, began: float | None = None) -> Serving:
    """`serve`, and an event after each request; its time counts from `began` (of `perf_counter`), if something was done before."""

    async def logged(head: RequestHead, scope: Scope, receive: Receive, send: Send) -> None:
        started = perf_counter() if began is None else began
        status = 0

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await serve(head, scope, receive, noting)
        finally:
            request_served(head, status=status, seconds=perf_counter() - started)

    return logged


def request_served(head: RequestHead, *, status: int, seconds: float) -> None:
    """One request's event: its method, path, status (0: no answer was begun), and time."""
    log.info(
        "request.served",
        method=head.method.decode("ascii", "backslashreplace"),
        path=head.path.decode("ascii", "backslashreplace"),
        status=status,
        seconds=round(seconds, 6),
    )
