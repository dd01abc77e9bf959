"""A server that cannot keep up: what waits for it stays bounded, and those who come later are told at once."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from bff.errors import StoreUnavailable
from bff.sessions.redis.server import CLUSTER_COMMANDS_AT_ONCE
from bff.sessions.redis.store import RedisStore
from support.session_samples import NOW, once_it_answers
from support.valkey_server import ValkeyServer

MakeStore = Callable[..., RedisStore]


class SlowServer:
    """Answers one PING at a time, each after a pause, however many have come."""

    PAUSE_SECONDS = 0.02

    def __init__(self) -> None:
        self.asked = 0
        self._owed = asyncio.Semaphore(0)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        answering = asyncio.create_task(self._answer(writer))
        while request := await reader.read(65536):
            pings = request.count(b"PING")
            self.asked += pings
            for _ in range(pings):
                self._owed.release()
        answering.cancel()
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._owed.acquire()
            await asyncio.sleep(self.PAUSE_SECONDS)
            writer.write(b"+PONG\r\n")


@pytest.fixture
async def slow() -> AsyncIterator[tuple[SlowServer, str]]:
    """A slow server, and its URL."""
    server = SlowServer()
    async with await asyncio.start_server(server.serve, "127.0.0.1", 0) as listening:
        yield server, f"redis://127.0.0.1:{listening.sockets[0].getsockname()[1]}"


async def answered(store: RedisStore) -> bool:
    """Whether a ping was answered in time."""
    try:
        await store.ping()
    except StoreUnavailable:
        return False
    return True


@pytest.mark.requirement("R-190", "R-279")
async def test_nobody_queues_behind_callers_that_have_given_up(
    slow: tuple[SlowServer, str], redis_store: MakeStore
) -> None:
    """While the oldest command has waited for longer than anybody would, no other is sent; once it is answered they are again."""
    server, url = slow
    store = redis_store(url, command_timeout_seconds=1.0)
    crowd = await asyncio.gather(*(answered(store) for _ in range(100)))
    assert 0 < sum(crowd) < 100
    late = await asyncio.gather(*(answered(store) for _ in range(100)))
    assert not any(late)
    assert server.asked == 100
    async with asyncio.timeout(10):
        while not await answered(store):
            await asyncio.sleep(server.PAUSE_SECONDS)


@pytest.mark.requirement("R-190", "R-279")
async def test_who_gave_up_waiting_for_his_turn_at_a_cluster_leaves_nothing_behind(
    shared_cluster: ValkeyServer, redis_store: MakeStore
) -> None:
    """However many ask a Cluster that does not answer, afterwards no more is under way than may be at once."""
    url = shared_cluster.url.replace("redis:", "redis+cluster:")
    store = redis_store(url, connect_timeout_seconds=0.2, command_timeout_seconds=0.2)
    await once_it_answers(store.ping)
    before = asyncio.all_tasks()
    shared_cluster.pause()
    try:
        names = [f"lease {number}" for number in range(4 * CLUSTER_COMMANDS_AT_ONCE)]
        taken = await asyncio.gather(
            *(store.take_lease(name, "here", lifetime_seconds=1) for name in names), return_exceptions=True
        )
        assert all(isinstance(answer, StoreUnavailable) for answer in taken)
        # ours only: beside them redis-py has tasks of its own that close connections, as many as it likes
        ours = [task for task in asyncio.all_tasks() - before if "ClusterServer" in task.get_coro().__qualname__]
        assert len(ours) <= CLUSTER_COMMANDS_AT_ONCE
    finally:
        shared_cluster.go_on()
    assert await once_it_answers(lambda: store.read("0" * 64, touch=True, now=NOW)) is None
