"""One event for each request, where the operator asked for it (`log.access`); otherwise nothing of this is on the data path.

The path is told as it came, escaped by the log's format; never the query, which may hold what is nobody's business.
"""

from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

import structlog

AsgiApp = Callable[[Any, Any, Any], Awaitable[None]]

log = structlog.get_logger()


def with_access_log(app: AsgiApp) -> AsgiApp:
    """`app`, and an event after each request: its method, path, status (0: no answer was begun), and time."""

    async def logged(scope: Any, receive: Any, send: Any) -> None:
        began = perf_counter()
        status = 0

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await app(scope, receive, noting)
        finally:
            log.info(
                "request.served",
                method=scope["method"],
                path=scope["raw_path"].decode("ascii", "backslashreplace"),
                status=status,
                seconds=round(perf_counter() - began, 6),
            )

    return logged
