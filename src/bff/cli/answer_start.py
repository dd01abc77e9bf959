"""The start of an answer, written without what uvicorn does for applications that it does not know.

uvicorn looks at every name and value with a regular expression and lower-cases names again. Ours are lower case and clean already:
the API's by `proxy/rewrite.response_fields`, our own by construction (measured: 4 us of 60 a request). Everything else about an
answer stays uvicorn's.
"""

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

_NO_CONTENT = frozenset({204, 304})


def quick_start(app: Any, cycle: RequestResponseCycle) -> Any:
    """`app`, whose answers on this cycle begin quickly."""

    def quick_app(scope: Any, receive: Any, send: Any) -> Any:
        async def quick_send(message: Any) -> None:
            if message["type"] == "http.response.start" and not (cycle.response_started or cycle.disconnected):
                _start(cycle, message["status"], message["headers"])
            else:
                await send(message)

        return app(scope, receive, quick_send)

    return quick_app


def _start(cycle: RequestResponseCycle, status: int, fields: list[tuple[bytes, bytes]]) -> None:
    """What `RequestResponseCycle.send` does with `http.response.start` (RFC 9112 sections 6.3 and 9.6)."""
    cycle.response_started = True
    cycle.waiting_for_100_continue = False
    for name, value in fields:
        if name == b"content-length":
            cycle.expected_content_length = int(value)
            cycle.chunked_encoding = False
    lines = [*map(b": ".join, fields)]
    if not cycle.keep_alive:
        lines.append(b"connection: close")
    if cycle.chunked_encoding is None and cycle.scope["method"] != "HEAD" and status not in _NO_CONTENT:
        cycle.chunked_encoding = True
        lines.append(b"transfer-encoding: chunked")
    cycle.transport.write(STATUS_LINE[status] + b"\r\n".join([*lines, b"", b""]))
