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

    @property
    def is_whole(self) -> bool:
        """Whether all messages that were handed out are kept."""
        return self._size <= MAX_KEPT_BYTES

    async def __call__(self) -> Message:
        """The next message."""
        message = await self._receive()
        if message["type"] == "http.request" and self.is_whole:
            self._size += len(message.get("body", b""))
            self._kept.append(message)
            if not self.is_whole:
                self._kept.clear()
        return message

    def again(self, left: Receive) -> Receive:
        """All messages from the first on: those that are kept, then those of `left`, which are not taken yet."""
        kept, self._kept = self._kept, deque()

        async def repeated() -> Message:
            return kept.popleft() if kept else await left()

        return repeated
