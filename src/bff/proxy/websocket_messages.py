"""The messages of a WebSocket, both ways, until one of the three who may end it does: browser, upstream, or the session's end.

Messages are whole ones, text as text and binary as binary. The next is read when the last has been written. A close of one side is
passed to the other (closes.py).
"""

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass

from websockets import frames
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from bff.proxy.browser import Message, Receive, Send
from bff.proxy.closes import (
    BROWSER_LOST,
    SESSION_ENDED,
    TOO_BIG,
    UPSTREAM_LOST,
    Close,
    Ending,
    left_by_browser,
    left_by_upstream,
)
from bff.request_head import Field


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one message from the browser, in bytes, and of the time that either side has to take a close."""

    message_bytes: int
    close_seconds: float


async def converse(
    connection: ClientConnection,
    receive: Receive,
    send: Send,
    *,
    fields: Iterable[Field],
    ended: asyncio.Event,
    limits: Limits,
) -> None:
    """From the answer to the browser's handshake, with these fields, to the last close; `ended` is set when the session ends."""
    try:
        await send({"type": "websocket.accept", "subprotocol": connection.subprotocol, "headers": list(fields)})
        ending = await _first_ending(
            _from_browser(receive, connection, max_message=limits.message_bytes),
            _from_upstream(send, connection),
            _session_end(ended),
        )
    except OSError:  # the ASGI specification's word for a browser that has left
        ending = BROWSER_LOST
    closing = _close_browser(send, ending.browser, seconds=limits.close_seconds)
    await asyncio.gather(closing, _close_upstream(connection, ending.upstream))


async def _close_browser(send: Send, close: Close | None, *, seconds: float) -> None:
    """A browser that takes nothing is not waited for: the server drops its connection when we return."""
    if close is None:
        return
    with contextlib.suppress(OSError):  # TimeoutError is one
        async with asyncio.timeout(seconds):
            await send({"type": "websocket.close", "code": close.code, "reason": close.reason})


async def _close_upstream(connection: ClientConnection, close: Close | None) -> None:
    if close is not None:
        await asyncio.gather(connection.close(close.code, close.reason), _drain(connection))


async def _first_ending(*parts: Coroutine[None, None, Ending | None]) -> Ending:
    """Runs all of them until one says how the conversation ended; leaves no task behind."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        return await _first_close(tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _first_close(tasks: Iterable[asyncio.Task[Ending | None]]) -> Ending:
    pending = set(tasks)
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            ending = task.result()
            if ending is not None:
                return ending
    return UPSTREAM_LOST


async def _from_browser(receive: Receive, connection: ClientConnection, *, max_message: int) -> Ending | None:
    """Ends when the browser leaves. None: the upstream cannot be written to; `_from_upstream` finds the reason."""
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return left_by_browser(message.get("code"), message.get("reason"))
        content = _content(message)
        if _size(content, limit=max_message) > max_message:
            return TOO_BIG
        try:
            await connection.send(content)
        except ConnectionClosed:
            return None


async def _from_upstream(send: Send, connection: ClientConnection) -> Ending:
    """Ends when the upstream closes or its connection is lost."""
    while True:
        try:
            content = await connection.recv()
        except ConnectionClosed as closed:
            return left_by_upstream(
                received=_close(closed.rcvd), sent=None if closed.rcvd_then_sent else _close(closed.sent)
            )
        kind = "text" if isinstance(content, str) else "bytes"
        await send({"type": "websocket.send", kind: content})


def _close(close: frames.Close | None) -> Close | None:
    return None if close is None else Close(close.code, close.reason)


async def _drain(connection: ClientConnection) -> None:
    """Read and drop what the upstream has left to send: it may not read our close before it has sent that."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            await connection.recv()


async def _session_end(ended: asyncio.Event) -> Ending:
    await ended.wait()
    return SESSION_ENDED


def _content(message: Message) -> str | bytes:
    text: str | None = message.get("text")
    binary: bytes | None = message.get("bytes")
    return text if text is not None else binary or b""


def _size(content: str | bytes, *, limit: int) -> int:
    """In bytes; a text is measured exactly only where it could exceed the limit (a character has up to four)."""
    if isinstance(content, str) and len(content) * 4 > limit:
        return len(content.encode())
    return len(content)
