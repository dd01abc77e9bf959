"""A `Retry-After` that one process gets is every process's, over the messages of a real store."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import pytest

from bff.config.values.secrets import LiteralSecret
from bff.config.values.stores import parse_store
from bff.errors import ProviderUnavailable
from bff.provider.client import Provider
from bff.sessions.redis.store import RedisStore
from bff.sessions.sealing import Sealer
from bff.tokens.background import BackgroundTasks
from bff.tokens.shared_circuits import SharedCircuits
from support.fake_internet import FakeClock, FakeInternet, provider_config
from support.session_samples import KEY, Heard
from support.valkey_server import ValkeyServer, free_port

ISSUER = "http://127.0.0.1:7001"
TOO_MANY = ProviderUnavailable("x", provider="corp", reason="http_429", retry_after_seconds=30)


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A server."""
    with ValkeyServer() as server:
        yield server


@asynccontextmanager
async def process(url: str, name: str, *, client_id: str = "shop") -> AsyncIterator[Provider]:
    """A process that knows one provider, and hears of messages."""
    store = RedisStore(parse_store(url), sealer=Sealer([LiteralSecret(value=KEY)]), idle_timeout_seconds=1800)
    tasks, clock = BackgroundTasks(), FakeClock()
    config = provider_config(ISSUER).model_copy(update={"client_id": client_id})
    provider = Provider(name="corp", config=config, redirect_uri="", clock=clock, transport=FakeInternet())
    circuits, heard = SharedCircuits(store=store, tasks=tasks, by=name), Heard()
    circuits.join(provider)
    await store.open(heard, told=circuits.told)
    await heard.resumed()
    try:
        yield provider
    finally:
        await tasks.close(grace_seconds=5)
        await store.close()
        await provider.close()


async def until(holds: Callable[[], bool]) -> None:
    """Return once it holds; the timeout only ends a test that has failed."""
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.01)


@pytest.mark.requirement("R-346")
async def test_one_processes_429_is_every_processes(valkey: ValkeyServer) -> None:
    """The other process asks nothing for as long as the provider wants, until the first one's next call is answered; another client
    at the same provider, on the same store, is not concerned."""
    async with (
        process(valkey.url, "one") as one,
        process(valkey.url, "two") as two,
        process(valkey.url, "other", client_id="other") as other,
    ):
        one.circuit.asks("a")
        one.circuit.failed("a", TOO_MANY)
        await until(lambda: two.circuit.wait_seconds("b") == 30)
        assert other.circuit.wait_seconds("c") == 0
        one._clock.advance(31)  # type: ignore[attr-defined]  # the clock of the test
        one.circuit.asks("a")
        one.circuit.answered("a")
        await until(lambda: two.circuit.wait_seconds("b") == 0)


async def test_a_store_that_is_away_keeps_no_process_from_its_own_pause() -> None:
    """The message is lost, and nothing else."""
    store = RedisStore(
        parse_store(f"redis://127.0.0.1:{free_port()}"),
        sealer=Sealer([LiteralSecret(value=KEY)]),
        idle_timeout_seconds=1800,
    )
    tasks = BackgroundTasks()
    provider = Provider(
        name="corp", config=provider_config(ISSUER), redirect_uri="", clock=FakeClock(), transport=FakeInternet()
    )
    SharedCircuits(store=store, tasks=tasks, by="one").join(provider)
    provider.circuit.asks("a")
    provider.circuit.failed("a", TOO_MANY)
    assert provider.circuit.wait_seconds("b") == 30
    await tasks.close(grace_seconds=10)
    await store.close()
    await provider.close()


@pytest.mark.parametrize(
    "text", ["", "circuit", "circuit x 5 two", "circuit x y z w", "hello world", "circuit  nan two"]
)
def test_a_message_that_is_none_is_ignored(text: str) -> None:
    """Whatever else is published on the channel raises nothing."""
    circuits = SharedCircuits(store=None, tasks=BackgroundTasks(), by="one")  # type: ignore[arg-type]  # not used
    circuits.told(text)
