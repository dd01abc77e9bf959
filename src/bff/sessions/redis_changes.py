"""Hearing of changes: one task, on a connection of its own, that listens to what every worker publishes with its
writes.

A message is `{session key}:changed` or `{session key}:ended`. Messages are not kept for who was away, so a lost
connection means that changes may have been missed: the listener is told at once (`changes_interrupted`), also when the
first one fails, and again when we hear (`changes_resumed`). A connection that died without a word is found out by a
ping after one second of silence that is not answered within another.
"""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from bff.sessions.redis_scripts import CHANNEL
from bff.sessions.redis_server import REDIS_ERRORS
from bff.sessions.store import Change, ChangeListener

SILENCE_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0


class Subscription:
    """Listens from `start` to `close`, over as many connections as it takes."""

    def __init__(
        self,
        new_connection: Callable[[], Awaitable[AbstractConnection]],
        listener: ChangeListener,
        *,
        connect_timeout_seconds: float,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._new_connection = new_connection
        self._listener = listener
        self._connect_timeout_seconds = connect_timeout_seconds
        self._silence_seconds = silence_seconds
        self._failures = 0
        self._has_told = False  # the listener, whether changes are heard
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """Begin to listen."""
        self._task = asyncio.create_task(self._listen_always(), name="bff session changes")

    async def close(self) -> None:
        """Stop; no task is left, and nobody is told of an interruption that was meant."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _listen_always(self) -> None:
        while True:
            with contextlib.suppress(*REDIS_ERRORS):
                await self._listen_once()
            if not self._has_told:
                self._has_told = True
                self._listener.changes_interrupted()
            await asyncio.sleep(_pause_seconds(self._failures))
            self._failures += 1

    async def _listen_once(self) -> None:
        """Connect, subscribe and listen until the connection is lost."""
        connection: AbstractConnection | None = None
        try:
            async with asyncio.timeout(3 * self._connect_timeout_seconds):  # Sentinel: there are several to ask
                connection = await self._new_connection()
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
                await connection.send_command("SUBSCRIBE", CHANNEL, check_health=False)
                await connection.read_response()
            await self._hear(connection)
        finally:
            if connection is not None:
                await connection.disconnect(nowait=True)

    async def _hear(self, connection: AbstractConnection) -> None:
        self._failures = 0
        self._has_told = True
        self._listener.changes_resumed()
        try:
            while True:
                self._tell(await _next_message(connection, silence_seconds=self._silence_seconds))
        finally:
            if not self._closing:
                self._listener.changes_interrupted()

    def _tell(self, message: object) -> None:
        match message:
            case [b"message", _, bytes(text)]:
                key, _, what = text.decode(errors="replace").rpartition(":")
                self._listener.session_changed(Change(key=key, ended=what == "ended"))


async def _next_message(connection: AbstractConnection, *, silence_seconds: float) -> object:
    """What comes next, a ping's answer too; asks for one after some silence."""
    message = await connection.read_response(timeout=silence_seconds)
    if message is not None:
        return message
    await connection.send_command("PING", check_health=False)
    message = await connection.read_response(timeout=silence_seconds)
    if message is None:
        raise RedisConnectionError("silent")
    return message


def _pause_seconds(failures: int) -> float:
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(failures, 10))
    return longest * random.uniform(0.5, 1.0)  # noqa: S311 - jitter, so that workers do not come back together
