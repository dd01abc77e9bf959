"""Work that belongs to the application and not to the request that began it (invariant 5)."""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from bff.errors import BffError

T = TypeVar("T")


class BackgroundTasks:
    """Tasks that outlive their request and are given time to end when the application stops."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()  # the loop itself keeps only weak references to tasks
        self.stopping = False  # the process stops: begin nothing that can wait for another process

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run `work` to its end, also if no one waits for it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, BffError):  # those were logged where they were decided
            context = {"message": "work in the background failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)

    async def close(self, *, grace_seconds: float) -> None:
        """Let what runs, and what it begins, end within `grace_seconds`; cancel the rest."""
        with suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(self._tasks)
