"""The lease: the right to change one session's grants, held by one task among all workers.

A lock that expires while the call is still running is no lock (oauth2-proxy #1992), so the lease is extended for as long as the
block runs; it expires by itself only when its holder has died. It is per session and not per access token, because all access
tokens of a grant are asked for with the same refresh token, and a rotated one may be used once (RFC 9700 section 4.14.2).
"""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from bff.backoff import Backoff
from bff.errors import StoreUnavailable
from bff.sessions.store import SessionStore

LIFETIME_SECONDS = 15.0
BACKOFF = Backoff(first_seconds=0.02, longest_seconds=0.25)


@asynccontextmanager
async def lease(
    store: SessionStore,
    session_key: str,
    *,
    lifetime_seconds: float = LIFETIME_SECONDS,
    backoff: Backoff = BACKOFF,
    patience_seconds: float | None = None,
) -> AsyncIterator[str]:
    """Hold the lease of a session for the length of the block; waits for as long as another holds it. Yields the holder.

    With `patience_seconds` the block begins after that time without the lease: it is not to rely on it then.

    Raises:
        StoreUnavailable: the holder is not known.
    """
    holder = secrets.token_hex(16)
    waited, waits = 0.0, 0
    while not await store.take_lease(session_key, holder, lifetime_seconds=lifetime_seconds):
        if patience_seconds is not None and waited >= patience_seconds:
            yield holder
            return
        waits += 1
        pause = backoff.pause_seconds(waits)
        await asyncio.sleep(pause)
        waited += pause
    keeper = asyncio.create_task(_keep(store, session_key, holder, lifetime_seconds=lifetime_seconds))
    try:
        yield holder
    finally:
        keeper.cancel()
        await asyncio.wait([keeper])  # an extension under way must not come after the lease was given back
        with suppress(StoreUnavailable):  # then it expires by itself
            await store.drop_lease(session_key, holder)


async def _keep(store: SessionStore, session_key: str, holder: str, *, lifetime_seconds: float) -> None:
    while True:
        await asyncio.sleep(lifetime_seconds / 3)
        with suppress(StoreUnavailable):  # the next round may succeed before the lease is over
            await store.take_lease(session_key, holder, lifetime_seconds=lifetime_seconds)
