"""A connection after its WebSocket handshake."""

import asyncio
from typing import Any

from bff.server.request_reader import Message


def become_websocket(transport: asyncio.Transport, message: Message, rest: bytes, *, served: Any, state: Any) -> None:
    """Not there yet."""
    transport.abort()
