"""Commands to Redis at its location: one server, a primary behind Sentinel, or a Cluster.

One server and Sentinel use a pipeline (`pipeline.py`). A Cluster uses redis-py's client, which follows moved slots;
each command runs in a task of its own there, so that a cancelled caller never interrupts redis-py between a command
and its answer.

Timeouts are the store's: redis-py's own (5 s, with ten tries) are too long for a request.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from typing import Any, cast

from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.connection import AbstractConnection, Connection, ConnectionPool, SSLConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError

from bff import regular_files
from bff.config.values.stores import REGULAR_FILE_OPTIONS, TLS_OPTIONS, StoreLocation
from bff.sessions.redis.pipeline import Pipeline, Word

# Everything that redis-py and the network may raise. RedisClusterException is not a RedisError; uvloop raises RuntimeError
# on a write to a transport that has just closed.
REDIS_ERRORS = (RedisError, RedisClusterException, OSError, TimeoutError, RuntimeError)

SCANNED_AT_ONCE = 500
CLUSTER_COMMANDS_AT_ONCE = 64  # each has a connection of its own; redis-py raises when a node's 100 are in use


class SingleServer:
    """One server, or the primary that the Sentinels name."""

    def __init__(
        self, location: StoreLocation, *, connect_timeout_seconds: float, command_timeout_seconds: float
    ) -> None:
        options: dict[str, Any] = {
            **location.options,
            "db": location.database,
            "socket_connect_timeout": connect_timeout_seconds,
            "socket_timeout": None,  # the pipeline's task reads without a timeout; callers have their own
            "protocol": 2,
            "driver_info": None,
        }
        self._sentinel = _sentinel(location, timeout_seconds=connect_timeout_seconds) if location.service else None
        self._pool = _primary_pool(location, self._sentinel, options) if self._sentinel else _pool(location, options)
        self._files = [location.options[name] for name in REGULAR_FILE_OPTIONS if name in location.options]
        self._pipeline = Pipeline(
            self._unconnected,
            connect_timeout_seconds=connect_timeout_seconds,
            command_timeout_seconds=command_timeout_seconds,
        )

    async def execute(self, *command: Word, again: bool) -> object:
        """The answer to one command, which may be sent twice if `again`."""
        return await self._pipeline.execute(*command, again=again)

    async def scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        """Every key that matches, in portions; one may come twice."""
        cursor: object = b"0"
        while True:
            command = ("SCAN", cast(bytes, cursor), "MATCH", pattern, "COUNT", SCANNED_AT_ONCE)
            cursor, keys = cast(list[Any], await self._pipeline.execute(*command, again=True))
            yield keys
            if cursor == b"0":
                return

    async def new_connection(self) -> AbstractConnection:
        """An unconnected connection, for the subscription."""
        return self._unconnected()

    def _unconnected(self) -> AbstractConnection:
        for file in self._files:  # each connection of redis-py opens them; OpenSSL would wait for a pipe's writer
            regular_files.require(file)
        return cast(AbstractConnection, self._pool.make_connection())  # type: ignore[no-untyped-call]  # redis-py

    async def close(self) -> None:
        """Close every connection."""
        await self._pipeline.close()
        if self._sentinel is not None:
            await self._sentinel.aclose()


def _pool(location: StoreLocation, options: dict[str, Any]) -> ConnectionPool:
    """Makes connections only: the pipeline keeps them."""
    host, port = location.hosts[0]
    kind = SSLConnection if location.tls else Connection
    return ConnectionPool(connection_class=kind, host=host, port=port, **options)


def _primary_pool(location: StoreLocation, sentinel: Sentinel, options: dict[str, Any]) -> ConnectionPool:
    """The same; each connection first asks the Sentinels for the primary's address."""
    pool = SentinelConnectionPool(location.service, sentinel, ssl=location.tls, **options)  # type: ignore[no-untyped-call]  # redis-py
    return cast(ConnectionPool, pool)


def _sentinel(location: StoreLocation, *, timeout_seconds: float) -> Sentinel:
    tls = {name: value for name, value in location.options.items() if name in TLS_OPTIONS}
    options = {
        **location.sentinel_options,
        **tls,
        "ssl": location.tls,
        "socket_connect_timeout": timeout_seconds / 2,  # so that a second Sentinel is asked within one connect timeout
        "socket_timeout": timeout_seconds / 2,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
    }
    return Sentinel(location.hosts, sentinel_kwargs=options)  # type: ignore[no-untyped-call]  # redis-py


class ClusterServer:
    """A Redis Cluster, through redis-py's own client."""

    def __init__(
        self, location: StoreLocation, *, connect_timeout_seconds: float, command_timeout_seconds: float
    ) -> None:
        self._whole_timeout_seconds = connect_timeout_seconds + command_timeout_seconds
        self._cluster = RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in location.hosts],
            ssl=location.tls,
            retry=Retry(NoBackoff(), 0),  # we decide which commands may be sent twice
            socket_connect_timeout=connect_timeout_seconds,
            socket_timeout=command_timeout_seconds,
            protocol=2,
            reinitialize_steps=0,  # otherwise every fifth moved slot closes all connections, including those in use
            driver_info=None,
            **cast(Any, location.options),
        )
        self._turns = asyncio.Semaphore(CLUSTER_COMMANDS_AT_ONCE)
        self._running: set[asyncio.Task[Any]] = set()

    async def execute(self, *command: Word, again: bool) -> object:
        """The answer to one command, which may be sent twice if `again`; redis-py may follow several redirections."""
        async with asyncio.timeout(self._whole_timeout_seconds):
            try:
                return await self._in_turn(command)
            except RedisConnectionError:
                if not again:
                    raise
                return await self._in_turn(command)

    async def scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        """Every key of every primary that matches, in portions; one may come twice."""
        portion: list[bytes] = []
        async for key in self._cluster.scan_iter(match=pattern, count=SCANNED_AT_ONCE):
            portion.append(key)
            if len(portion) == SCANNED_AT_ONCE:
                yield portion
                portion = []
        yield portion

    async def new_connection(self) -> AbstractConnection:
        """An unconnected connection to one of the primaries: each receives every message."""
        await self._in_own_task(self._cluster.initialize())
        node = random.choice(self._cluster.get_primaries())  # noqa: S311 - spreads load, no secret
        return node.connection_class(**node.connection_kwargs | {"socket_timeout": None})

    async def close(self) -> None:
        """Close every connection, once what was under way has ended."""
        if self._running:
            await asyncio.wait(self._running, timeout=self._whole_timeout_seconds)
        for task in self._running:
            task.cancel()
        await self._cluster.aclose()

    async def _in_turn(self, command: tuple[Word, ...]) -> Any:
        await self._turns.acquire()  # awaited by the caller: if it is cancelled here, no task was started
        return await self._in_own_task(self._carry_out(command))

    async def _carry_out(self, command: tuple[Word, ...]) -> Any:
        try:
            return await self._cluster.execute_command(*command)
        except AttributeError as error:  # redis-py: a failure elsewhere closed this connection before it was written to
            raise RedisConnectionError("closed by redis-py") from error
        finally:
            self._turns.release()

    async def _in_own_task(self, work: Coroutine[Any, Any, Any]) -> Any:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved even if the caller was cancelled, so that asyncio does not log it


Server = SingleServer | ClusterServer


def open_server(location: StoreLocation, *, connect_timeout_seconds: float, command_timeout_seconds: float) -> Server:
    """The server at this location; connects at the first command."""
    kind = ClusterServer if location.topology == "cluster" else SingleServer
    return kind(
        location,
        connect_timeout_seconds=connect_timeout_seconds,
        command_timeout_seconds=command_timeout_seconds,
    )
