"""This process as the holder of leases, and of marks on refresh tokens that it may have spent (R-341, R-345).

The right to change one session's grants is held by one task among all processes, because all access tokens of a grant are asked for
with the same refresh token, and a rotated one may be used once (RFC 9700 section 4.14.2). It has three layers:

- a **turn**: one task of this process at a time for each session;
- the **lease** in the store, in the name of the process. A process that stalled takes its own lease again at once. It is extended
  while the block runs, because a lock that expires during the call is no lock (oauth2-proxy #1992);
- the **mark** of the refresh token, set in the step that takes the lease and before the token is sent. It outlives the lease: when
  a process dies or stalls, others see that its token may be spent and do not use it.

A step whose outcome is unknown, because the store did not answer, is undone when the store answers again.
"""

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from weakref import WeakValueDictionary

from bff.errors import StoreUnavailable
from bff.instance import instance
from bff.sessions.store import Begun, Mark, MarkEnd, SessionStore, Spent

LIFETIME_SECONDS = 6.0  # short, because the mark protects the token when its holder is slower than this
UNDO_PAUSE_SECONDS = 0.25


def token_hash(refresh_token: str) -> str:
    """By what a mark names a refresh token: 128 bits of a hash, which opens nothing."""
    return hashlib.sha256(refresh_token.encode()).hexdigest()[:32]


class Holder:
    """The leases and marks of one process."""

    def __init__(
        self, *, store: SessionStore, name: str | None = None, undo_pause_seconds: float = UNDO_PAUSE_SECONDS
    ) -> None:
        self._undo_pause_seconds = undo_pause_seconds
        self.name = name or f"{instance()}:{secrets.token_hex(4)}".replace("|", "_")
        self._store = store
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._owed: dict[
            tuple[str, str], MarkEnd | float
        ] = {}  # what the store was not told: session, provider -> mark
        self._undoing: set[asyncio.Task[None]] = set()

    def turn(self, session_key: str) -> asyncio.Lock:
        """The lock for the tasks of this process that change this session's grants."""
        lock = self._turns.get(session_key)
        if lock is None:
            lock = self._turns[session_key] = asyncio.Lock()
        return lock

    async def begin(
        self, session_key: str, *, provider: str, refresh_token: str, mark_lifetime_seconds: float, rotates: bool = True
    ) -> Begun | Spent:
        """Take the lease and mark the refresh token, in one step. A token that a use does not spend (`rotates=False`) is marked for as
        long as the lease lasts: if this process dies, another one may use it then.

        Raises:
            StoreUnavailable: it is unknown whether it was done; it will be undone.
        """
        self._owed.pop((session_key, provider), None)
        binds_seconds = None if rotates else LIFETIME_SECONDS
        mark = Mark(provider=provider, token_hash=token_hash(refresh_token), binds_seconds=binds_seconds)
        try:
            return await self._store.begin_renewal(
                session_key,
                self.name,
                lifetime_seconds=LIFETIME_SECONDS,
                mark=mark,
                mark_lifetime_seconds=mark_lifetime_seconds,
            )
        except (StoreUnavailable, asyncio.CancelledError):
            self._undo_later(session_key, provider, MarkEnd.DROP)
            raise

    @asynccontextmanager
    async def extending(self, session_key: str) -> AsyncIterator[None]:
        """Keep the lease for as long as the block runs."""
        keeper = asyncio.create_task(self._extend(session_key))
        try:
            yield
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])  # an extension under way must not come after the lease was given back

    async def end(self, session_key: str, *, provider: str, mark: MarkEnd | float) -> None:
        """Give the lease back; `mark` says what becomes of the mark. If the store is away, later."""
        try:
            await self._store.end_renewal(session_key, self.name, provider=provider, mark=mark)
        except (StoreUnavailable, asyncio.CancelledError) as error:
            self._undo_later(session_key, provider, mark)
            if isinstance(error, asyncio.CancelledError):
                raise

    async def close(self) -> None:
        """Stop undoing: leases expire by themselves."""
        for task in self._undoing:
            task.cancel()
        if self._undoing:
            await asyncio.wait(self._undoing)

    async def _extend(self, session_key: str) -> None:
        while True:
            await asyncio.sleep(LIFETIME_SECONDS / 3)
            with suppress(StoreUnavailable):  # the next round may succeed before the lease is over
                await self._store.take_lease(session_key, self.name, lifetime_seconds=LIFETIME_SECONDS)

    def _undo_later(self, session_key: str, provider: str, mark: MarkEnd | float) -> None:
        self._owed[session_key, provider] = mark
        task = asyncio.create_task(self._undo(session_key, provider))
        self._undoing.add(task)
        task.add_done_callback(self._undoing.discard)

    async def _undo(self, session_key: str, provider: str) -> None:
        """Give back what may have been taken, unless a task of ours has taken it anew."""
        while (session_key, provider) in self._owed:
            await asyncio.sleep(self._undo_pause_seconds)
            async with self.turn(session_key):
                mark = self._owed.get((session_key, provider))
                if mark is None:
                    return
                with suppress(StoreUnavailable):
                    await self._store.end_renewal(session_key, self.name, provider=provider, mark=mark)
                    self._owed.pop((session_key, provider), None)
