"""Waiting for another process's write: its message wakes the waiting task at once (R-348); without one it looks every few seconds."""

import asyncio

from bff.sessions.store import Change


class ChangeWaits:
    """A `ChangeListener` for tasks that wait for the next change of one session."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    async def changed(self, session_key: str, *, within_seconds: float) -> None:
        """Return at the next change of this session, when changes may have been missed, or after `within_seconds`."""
        change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(session_key, set())
        waiting.add(change)
        try:
            await asyncio.wait([change], timeout=within_seconds)
        finally:
            waiting.discard(change)
            if not waiting and self._waiting.get(session_key) is waiting:
                del self._waiting[session_key]

    def session_changed(self, change: Change) -> None:
        """Wake the tasks that wait for this session."""
        for waiting in self._waiting.get(change.key, ()):
            if not waiting.done():
                waiting.set_result(None)

    def changes_interrupted(self) -> None:
        """Wake all: the message may never come."""
        for key in list(self._waiting):
            self.session_changed(Change(key=key, ended=False))

    def changes_resumed(self) -> None:
        """Wake all: the message may have been missed."""
        self.changes_interrupted()
