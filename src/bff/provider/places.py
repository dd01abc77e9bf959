"""A share of a provider's connections: renewals queue for theirs, so that sign-ins always have some (R-343).

Queueing is outside of every limit on time, because nothing was sent yet. It can be given up: `close` ends it for all.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bff.errors import ProviderUnavailable


class Places:
    """So many calls at a time; others queue in their order."""

    def __init__(self, count: int, *, provider: str) -> None:
        self._free = count
        self._provider = provider
        self._closed = False
        self._queue: asyncio.Condition = asyncio.Condition()

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Have a place for the length of the block.

        Raises:
            ProviderUnavailable: `stopping`: this process stops, and the call was not sent.
        """
        async with self._queue:
            await self._queue.wait_for(lambda: self._free > 0 or self._closed)
            if self._closed:
                raise ProviderUnavailable(
                    "was not asked: this process stops", provider=self._provider, reason="stopping"
                )
            self._free -= 1
        try:
            yield
        finally:
            self._free += 1
            async with self._queue:
                self._queue.notify()

    async def close(self) -> None:
        """Give up all that queue, and let none in."""
        self._closed = True
        async with self._queue:
            self._queue.notify_all()
