"""Waiting in tests for what happens in the background: by its outcome, never by a pause of its length."""

import asyncio
from collections.abc import Callable

PATIENCE_SECONDS = 60.0  # ends a test that has failed; no outcome depends on it


async def until(holds: Callable[[], object]) -> None:
    """Let the loop turn until `holds()` is true."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():
            await asyncio.sleep(0.002)
