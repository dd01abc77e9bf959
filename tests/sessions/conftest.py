"""Servers that live as long as the test run, and stores that are closed after each test."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

import pytest

from bff.config.values.secrets import LiteralSecret
from bff.config.values.stores import parse_store
from bff.sessions.memory import MemoryStore
from bff.sessions.redis.store import RedisStore
from bff.sessions.sealing import Sealer
from bff.sessions.store import SessionStore
from support.cutting_relay import CuttingRelay
from support.session_samples import KEY
from support.valkey_server import ValkeyServer, cluster_of_one, own_all_slots

IDLE_SECONDS = 1800.0
PATIENT_SECONDS = (
    30.0  # for a server that answers: on a busy machine an answer may take longer than a gateway would wait
)

OpenRedisStore = Callable[..., Awaitable[RedisStore]]


@pytest.fixture(scope="session")
def shared_valkey() -> Iterator[ValkeyServer]:
    """One server for the whole run."""
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="session")
def shared_cluster() -> Iterator[ValkeyServer]:
    """One Cluster of one node for the whole run."""
    with cluster_of_one() as server:
        own_all_slots(server)
        yield server


@pytest.fixture
def valkey(shared_valkey: ValkeyServer) -> ValkeyServer:
    """An empty server."""
    shared_valkey.ask("FLUSHALL")
    return shared_valkey


@pytest.fixture
async def relay(valkey: ValkeyServer) -> AsyncIterator[CuttingRelay]:
    """A relay in front of an empty server."""
    async with CuttingRelay(valkey.port) as relay:
        yield relay


@pytest.fixture
async def redis_store() -> AsyncIterator[Callable[..., RedisStore]]:
    """Makes stores, and closes them after the test."""
    stores: list[RedisStore] = []

    def make(url: str, *, keys: Sequence[str] = (KEY,), **arguments: float) -> RedisStore:
        sealer = Sealer([LiteralSecret(value=key) for key in keys])
        patience = {"connect_timeout_seconds": PATIENT_SECONDS, "command_timeout_seconds": PATIENT_SECONDS}
        store = RedisStore(
            parse_store(url), sealer=sealer, idle_timeout_seconds=IDLE_SECONDS, **{**patience, **arguments}
        )
        stores.append(store)
        return store

    yield make
    for store in stores:
        await store.close()


@pytest.fixture(params=["memory", "valkey", "cluster"])
def workers(request: pytest.FixtureRequest, redis_store: Callable[..., RedisStore]) -> Callable[[], SessionStore]:
    """Makes the store of one more worker on the same sessions; for `memory` there is only one."""
    if request.param == "memory":
        only = MemoryStore(idle_timeout_seconds=IDLE_SECONDS)
        return lambda: only
    server: ValkeyServer = request.getfixturevalue(f"shared_{request.param}")
    server.ask("FLUSHALL")
    url = server.url.replace("redis://", "redis+cluster://") if request.param == "cluster" else server.url
    return lambda: redis_store(url)


@pytest.fixture
def store(workers: Callable[[], SessionStore]) -> SessionStore:
    """One worker's store, empty and not listening."""
    return workers()
