"""A `Retry-After` that one process gets is every process's, and the probe after it is one process's, over a real store."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from bff.config.values.secrets import LiteralSecret
from bff.config.values.stores import parse_store
from bff.errors import ProviderUnavailable
from bff.provider.circuit import PROBE_SECONDS
from bff.provider.client import Provider
from bff.sessions.local_copies import ChangeFanout
from bff.sessions.redis.store import RedisStore
from bff.sessions.sealing import Sealer
from bff.tokens.background import BackgroundTasks
from bff.tokens.shared_circuits import SharedCircuits
from support.fake_internet import FakeClock, FakeInternet, provider_config
from support.free_ports import free_port
from support.session_samples import KEY, Heard
from support.valkey_server import ValkeyServer
from support.waiting import until

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
    came: list[str] = []

    def receive(text: str) -> None:
        came.append(text)
        circuits.receive(text)

    await store.open(ChangeFanout([heard, circuits]), on_message=receive)
    await heard.resumed()
    # Its question for pauses is answered before the test begins: a later answer would not know of a clock that the test advanced.
    await until(lambda: f"circuits? {name}" in came)
    try:
        yield provider
    finally:
        await tasks.close(grace_seconds=5)
        await store.close()
        await provider.close()


def advance(*processes: Provider, seconds: float) -> None:
    """Let time pass in these processes."""
    for process in processes:
        process._clock.advance(seconds)  # type: ignore[attr-defined]  # the clock of the test


async def too_many(process: Provider, who: str) -> None:
    """A call of this process gets a 429."""
    assert await process.circuit.admit(who) == 0
    process.circuit.failed(who, TOO_MANY)


@pytest.mark.requirement("R-346")
async def test_one_processes_429_is_every_processes(valkey: ValkeyServer) -> None:
    """The other process asks nothing for as long as the provider wants, until the first one's next call is answered; another client
    at the same provider, on the same store, is not concerned."""
    async with (
        process(valkey.url, "one") as one,
        process(valkey.url, "two") as two,
        process(valkey.url, "other", client_id="other") as other,
    ):
        await too_many(one, "a")
        await until(lambda: two.circuit.wait_seconds("b") == 30)
        assert (one.exchange_circuit.wait_seconds("x"), two.exchange_circuit.wait_seconds("x")) == (30, 30)
        assert other.circuit.wait_seconds("c") == 0
        advance(one, seconds=31)
        assert await one.circuit.admit("a") == 0
        one.circuit.answered("a")
        await until(lambda: two.circuit.wait_seconds("b") == 0)


@pytest.fixture
def provider(request: pytest.FixtureRequest) -> str:
    """The client id of a provider that no other test asks: what the store holds of it goes by the server's clock."""
    return str(request.node.name)


@pytest.mark.requirement("R-346")
async def test_one_of_three_processes_probes_after_a_pause(valkey: ValkeyServer, provider: str) -> None:
    """Half open in all of them, one call is made; the answer lets all ask."""
    async with (
        process(valkey.url, "one", client_id=provider) as one,
        process(valkey.url, "two", client_id=provider) as two,
        process(valkey.url, "three", client_id=provider) as three,
    ):
        every = (one, two, three)
        for each in every:
            each.circuit.hear(30)
        advance(*every, seconds=30)
        waits = await asyncio.gather(*(each.circuit.admit(f"{number}") for each in every for number in range(5)))
        assert sorted(waits) == [0] + [PROBE_SECONDS] * 14
        winner = every[waits.index(0) // 5]
        winner.circuit.answered(str(waits.index(0) % 5))
        await until(lambda: not any(each.circuit.wait_seconds("x") for each in every))


@pytest.mark.requirement("R-346")
async def test_a_probe_that_failed_leaves_the_next_one_to_any_process(valkey: ValkeyServer, provider: str) -> None:
    """A process that is cut off from the provider does not keep the others from seeing that it is back."""
    async with (
        process(valkey.url, "one", client_id=provider) as one,
        process(valkey.url, "two", client_id=provider) as two,
    ):
        for each in (one, two):
            each.circuit.hear(30)
        advance(one, two, seconds=30)
        assert await one.circuit.admit("a") == 0
        assert await two.circuit.admit("b") == PROBE_SECONDS
        one.circuit.failed("a", ProviderUnavailable("x", provider="corp", reason="not_connected"))
        async with asyncio.timeout(10):
            while await two.circuit.admit("b"):
                await asyncio.sleep(0.01)


@pytest.mark.requirement("R-346")
async def test_a_process_that_missed_the_message_does_not_probe_before_the_end_of_the_pause(
    valkey: ValkeyServer, provider: str
) -> None:
    """It is half open by failures of its own. The provider's pause holds the probe in the store."""
    async with (
        process(valkey.url, "one", client_id=provider) as one,
        process(valkey.url, "two", client_id=provider) as two,
    ):
        await too_many(one, "a")
        await until(lambda: two.circuit.wait_seconds("b") == 30)  # the message came after the probe was taken
        two.circuit.hear(0)
        for who in ("b", "c"):
            await two.circuit.admit(who)
            two.circuit.failed(who, ProviderUnavailable("x", provider="corp", reason="cut_off"))
        advance(two, seconds=5)
        assert await two.circuit.admit("b") == PROBE_SECONDS


@pytest.mark.requirement("R-346")
async def test_a_process_that_starts_during_a_pause_learns_of_it(valkey: ValkeyServer, provider: str) -> None:
    """A rolling restart during a Retry-After costs no call for each new process; what is left of the pause is what counts."""
    async with (
        process(valkey.url, "one", client_id=provider) as one,
        process(valkey.url, "two", client_id=provider) as two,
    ):
        await too_many(one, "a")
        await until(lambda: two.circuit.wait_seconds("b") == 30)
        advance(one, two, seconds=10)
        async with process(valkey.url, "new", client_id=provider) as new:
            await until(lambda: new.circuit.wait_seconds("b") == 20)


async def test_a_new_configuration_of_a_provider_keeps_its_pause() -> None:
    """The circuit is a new one, and the provider still wants not to be asked."""
    circuits = SharedCircuits(store=None, tasks=BackgroundTasks(), by="one")  # type: ignore[arg-type]  # not used
    clock = FakeClock()
    before, after = (
        Provider(name="corp", config=provider_config(ISSUER), redirect_uri="", clock=clock, transport=FakeInternet())
        for _ in range(2)
    )
    circuits.join(before)
    before.circuit.hear(30)
    clock.advance(10)
    circuits.join(after)
    assert after.circuit.wait_seconds("a") == 20
    for provider in (before, after):
        await provider.close()


async def test_a_store_that_is_away_keeps_no_process_from_its_own_pause() -> None:
    """The message is lost, and nothing else; and each process has a probe of its own."""
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
    await too_many(provider, "a")
    assert provider.circuit.wait_seconds("b") == 30
    advance(provider, seconds=30)
    assert await provider.circuit.admit("b") == 0
    await tasks.close(grace_seconds=10)
    await store.close()
    await provider.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "circuit",
        "circuit x 5 two",
        "circuit x y z w",
        "hello world",
        "circuit  nan two",
        "circuits?",
        "circuits? two",
    ],
)
def test_a_message_that_is_none_is_ignored(text: str) -> None:
    """Whatever else is published on the channel raises nothing."""
    circuits = SharedCircuits(store=None, tasks=BackgroundTasks(), by="one")  # type: ignore[arg-type]  # not used
    circuits.receive(text)
