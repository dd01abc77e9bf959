"""Notes in the store of when secrets were last used, and by which process (`secret_uses.py`).

A task of the process writes them: at once when a secret is used for the first time, then at most once a minute for each secret. No
request waits for it. While the store is away the uses stay in memory, and are written when it answers. A note says how long ago the
use was, so that it is right also if it is written late, and by the store's clock, so that notes of several machines can be compared.
"""

import asyncio
from contextlib import suppress

from bff.clock import Clock
from bff.errors import BffError
from bff.instance import instance
from bff.secret_uses import SecretUse, SecretUses
from bff.sessions.store import SessionStore
from bff.telemetry import running as telemetry

WRITE_EVERY_SECONDS = 60.0  # for each secret
LOOK_EVERY_SECONDS = 10.0
FORGET_AFTER_SECONDS = 3600.0  # it is in the store; memory keeps no secrets that were rotated away


class SecretNotes:
    """Writes the uses of one process."""

    def __init__(self, *, uses: SecretUses, store: SessionStore, clock: Clock, by: str | None = None) -> None:
        self._uses = uses
        self._store = store
        self._clock = clock
        self._by = instance() if by is None else by
        self._written: dict[tuple[str, str], tuple[float, float]] = {}  # owner, digest -> when, and the use's instant

    async def keep(self) -> None:
        """Write what is due, until the task is cancelled."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY_SECONDS):
                    await self._uses.news.wait()
            self._uses.news.clear()
            await self.write()

    async def write(self) -> None:
        """Write the uses that are due; what the store does not take stays due."""
        # the metric of a position is that of its latest use
        for use in sorted(self._uses.all(), key=lambda use: use.at):
            telemetry.secret_used(provider=use.owner, position=use.position, at=use.at)
            with suppress(BffError):  # the store is away, or a session key cannot be read: tried again at the next look
                if self._is_due(use):
                    await self._write(use)
                elif self._clock() - use.at > FORGET_AFTER_SECONDS:
                    self._uses.forget(use)
                    self._written.pop((use.owner, use.digest), None)

    def _is_due(self, use: SecretUse) -> bool:
        when, known = self._written.get((use.owner, use.digest), (None, None))
        if known is not None and use.at <= known:
            return False
        # a clock that was set back stops nothing
        return when is None or not 0 <= self._clock() - when < WRITE_EVERY_SECONDS

    async def _write(self, use: SecretUse) -> None:
        now = self._clock()
        await self._store.note_use(use.owner, use.digest, by=self._by, age_seconds=max(now - use.at, 0.0))
        self._written[use.owner, use.digest] = (now, use.at)
