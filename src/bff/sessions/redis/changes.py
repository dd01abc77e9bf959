"""The subscription to changes: one task, on a connection of its own, reads what every worker publishes with its writes.

A message is `{session key}:changed`, `{session key}:ended`, or what a process tells the others: `{text}:told`.

Redis does not keep messages for a subscriber that is
disconnected, so a lost connection means that changes may have been missed: `changes_interrupted` is called at once,
also if the first connection fails, and `changes_resumed` after the next subscription. A connection that died without
being closed is detected by a PING: it is sent after one second without a message and must be answered within another.
"""

import asyncio
from collections.abc import Awaitable, Callable

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError

from bff.backoff import Backoff
from bff.sessions.redis.failures import reason_of
from bff.sessions.redis.server import REDIS_ERRORS
from bff.sessions.store import Change, ChangeListener, MessageListener, ignored
from bff.telemetry import stores as telemetry

SILENCE_SECONDS = 1.0
BACKOFF = Backoff(first_seconds=0.05, longest_seconds=2.0)


class Subscription:
    """Reads changes from `start` to `close`, and reconnects when a connection is lost."""

    def __init__(
        self,
        new_connection: Callable[[], Awaitable[AbstractConnection]],
        listener: ChangeListener,
        *,
        on_message: MessageListener = ignored,
        channel: bytes,
        connect_timeout_seconds: float,
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self._new_connection = new_connection
        self._listener = listener
        self._on_message = on_message
        self._channel = channel
        self._connect_timeout_seconds = connect_timeout_seconds
        self._silence_seconds = silence_seconds
        self._failures = 0
        self._told: set[str] = set()  # the reasons that are in the log since changes were heard
        self._listener_knows = False  # whether the listener was called at least once
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    def start(self) -> None:
        """Start the task that reads changes."""
        self._task = asyncio.create_task(self._subscribe_always(), name="bff session changes")

    async def close(self) -> None:
        """Stop the task and wait for its end; the listener is not called for this interruption."""
        self._closing = True
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _subscribe_always(self) -> None:
        while True:
            try:
                await self._subscribe_once()
            except REDIS_ERRORS as error:
                self._tell(reason_of(error))
            if not self._listener_knows:
                self._listener_knows = True
                self._listener.changes_interrupted()
            self._failures += 1
            await asyncio.sleep(BACKOFF.pause_seconds(self._failures))

    def _tell(self, reason: str) -> None:
        if reason not in self._told:
            self._told.add(reason)
            telemetry.changes_interrupted(reason=reason)

    async def _subscribe_once(self) -> None:
        """Connect, subscribe and read until the connection is lost."""
        connection: AbstractConnection | None = None
        try:
            async with asyncio.timeout(3 * self._connect_timeout_seconds):  # there may be several Sentinels to ask
                connection = await self._new_connection()
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py
                await connection.send_command("SUBSCRIBE", self._channel, check_health=False)
                await connection.read_response()
            await self._read_changes(connection)
        finally:
            if connection is not None:
                await connection.disconnect(nowait=True)

    async def _read_changes(self, connection: AbstractConnection) -> None:
        self._failures = 0
        self._told.clear()
        self._listener_knows = True
        telemetry.changes_resumed()
        self._listener.changes_resumed()
        try:
            while True:
                self._pass_on(await _next_message(connection, silence_seconds=self._silence_seconds))
        finally:
            if not self._closing:
                self._listener.changes_interrupted()

    def _pass_on(self, message: object) -> None:
        match message:
            case [b"message", _, bytes(text)]:
                key, _, what = text.decode(errors="replace").rpartition(":")
                if what == "told":
                    self._on_message(key)
                    return
                self._listener.session_changed(Change(key=key, ended=what == "ended"))


async def _next_message(connection: AbstractConnection, *, silence_seconds: float) -> object:
    """The next message, or the answer to a PING, which is sent after `silence_seconds` without a message."""
    message = await connection.read_response(timeout=silence_seconds)
    if message is not None:
        return message
    await connection.send_command("PING", check_health=False)
    message = await connection.read_response(timeout=silence_seconds)
    if message is None:
        raise RedisConnectionError("silent")
    return message
