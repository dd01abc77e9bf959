"""Waiting in tests for what happens in the background: by its outcome, never by a pause of its length."""

import asyncio
from collections.abc import Callable

PATIENCE_SECONDS = 60.0  # ends a test that has failed; no outcome depends on it


async def until(holds: Callable[[], object]) -> None:
    """Let the loop turn until `holds()` is true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(0.002)


async def standstill(count: Callable[[], int]) -> int:
    """Wait until a count has begun to grow and then has not grown for thirty turns of the loop; where it stands.

    A machine on which nothing moves for so long may make it return early, with a smaller count.
    """
    await until(lambda: count() > 0)
    seen, still = count(), 0
    async with asyncio.timeout(PATIENCE_SECONDS):
        while still < 30:
            await asyncio.sleep(0.01)
            still = still + 1 if count() == seen else 0
            seen = count()
    return seen
