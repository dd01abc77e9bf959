"""A browser as an application sees it through ASGI: `receive` and `send`, with content that comes when the test says so."""

import asyncio
from collections.abc import Iterable
from typing import Any


class AsgiBrowser:
    """Sends `content` piece by piece, then stays until `leave`. What it is sent is in `status`, `fields`, `content`, `complete`."""

    def __init__(self, content: Iterable[bytes] = (), *, ends: bool = True) -> None:
        self._coming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        pieces = list(content)
        for index, piece in enumerate(pieces):
            self.push(piece, more=not ends or index < len(pieces) - 1)
        if not pieces and ends:
            self.push(b"", more=False)
        self.status: int | None = None
        self.fields: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.complete = False
        self.polled = 0
        self.got = asyncio.Event()  # set by each message; for tests to wait on
        self.reads = asyncio.Event()  # cleared: `send` blocks, as a server does for a slow reader
        self.reads.set()
        self.turns = 0  # of the event loop that `send` takes, as it does under a server that writes in another thread

    def push(self, piece: bytes, *, more: bool = True) -> None:
        """More content from the browser."""
        self._coming.put_nowait({"type": "http.request", "body": piece, "more_body": more})

    def leave(self) -> None:
        """Closes the connection."""
        self._coming.put_nowait({"type": "http.disconnect"})

    async def receive(self) -> dict[str, Any]:
        """ASGI's `receive`."""
        self.polled += 1
        return await self._coming.get()

    async def send(self, message: Any) -> None:
        """ASGI's `send`."""
        await self.reads.wait()
        assert not self.complete
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.fields = list(message["headers"])
        else:
            self.pieces.append(message["body"])
            self.complete = not message.get("more_body", False)
        self.got.set()
        for _ in range(self.turns):
            await asyncio.sleep(0)

    @property
    def content(self) -> bytes:
        """All content so far."""
        return b"".join(self.pieces)
