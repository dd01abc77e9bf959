"""The start of an answer, written without what uvicorn does for applications that it does not know.

uvicorn looks at every name and value with a regular expression and lower-cases names again. Ours are lower case and clean already:
the API's by `proxy/rewrite.response_fields`, our own by construction (measured: 4 us of 60 a request). Everything else about an
answer stays uvicorn's, but for what it does not know of HTTP/1.0: there are no chunks (RFC 9112 section 6.1), so content without a
length ends with the connection, and only a reset can say that it is not all (RFC 9112 section 8).
"""

import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from bff.web.fields import Field
from bff.web.problems import Problem

_NO_CONTENT = frozenset({204, 304})
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: on, for no time at all


def quick_start(app: Any, cycle: RequestResponseCycle) -> Any:
    """`app`, whose answers on this cycle begin quickly."""

    def quick_app(scope: Any, receive: Any, send: Any) -> Any:
        async def quick_send(message: Any) -> None:
            if message["type"] == "http.response.start" and not (cycle.response_started or cycle.disconnected):
                _start(cycle, message["status"], message["headers"])
            else:
                await send(message)

        return app(scope, receive, quick_send)

    return quick_app if cycle.scope["http_version"] == "1.1" else _until_close(quick_app, cycle)


def closing_answer(problem: Problem, *, head_only: bool) -> bytes:
    """The whole of an answer after which the connection is closed."""
    head = _head(problem.status, [b"%b: %b" % field for field in problem.fields] + [b"connection: close"])
    return head if head_only else head + problem.body


def _until_close(app: Any, cycle: RequestResponseCycle) -> Any:
    """`app`, whose content may come without a length: it is written as it is, and what breaks off is reset."""

    async def old_app(scope: Any, receive: Any, send: Any) -> None:
        async def old_send(message: Any) -> None:
            if cycle.chunked_encoding is None:
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        try:
            await app(scope, receive, old_send)
        except BaseException:  # also CancelledError; it goes on
            if cycle.response_started and not cycle.response_complete:
                _reset(cycle.transport)
            raise

    return old_app


def _start(cycle: RequestResponseCycle, status: int, fields: list[Field]) -> None:
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
    if cycle.chunked_encoding is None and status not in _NO_CONTENT and _takes_chunks(cycle.scope):
        cycle.chunked_encoding = True
        lines.append(b"transfer-encoding: chunked")
    cycle.transport.write(_head(status, lines))


def _takes_chunks(scope: Any) -> bool:
    return bool(scope["method"] != "HEAD" and scope["http_version"] == "1.1")


def _head(status: int, lines: list[bytes]) -> bytes:
    return STATUS_LINE[status] + b"\r\n".join([*lines, b"", b""])


def _reset(transport: Any) -> None:
    """RST and not FIN, which would be the proper end of such content."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
    transport.abort()
