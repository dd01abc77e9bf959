"""The content of a request, kept while it passes, for the one repeat that a demanded nonce needs (RFC 9449 section 9)."""

from collections import deque

from bff.proxy.browser import Message, Receive

MAX_KEPT_BYTES = 64 * 1024


class KeptContent:
    """Stands in the place of `receive`, and hands out the same messages."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._kept: deque[Message] = deque()
        self._size = 0

    async def __call__(self) -> Message:
        """The next message."""
        message = await self._receive()
        if message["type"] == "http.request" and self._size <= MAX_KEPT_BYTES:
            self._size += len(message.get("body", b""))
            self._kept.append(message)
            if self._size > MAX_KEPT_BYTES:
                self._kept.clear()
        return message

    def again(self) -> Receive | None:
        """All messages from the first on, then those that have not come yet; None: there was too much content to keep."""
        if self._size > MAX_KEPT_BYTES:
            return None
        kept, receive = self._kept, self._receive

        async def repeated() -> Message:
            return kept.popleft() if kept else await receive()

        return repeated
