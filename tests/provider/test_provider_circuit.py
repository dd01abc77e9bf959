"""One circuit per provider: who may ask it while it is in trouble."""

from collections.abc import Callable

import pytest

from bff.errors import ProviderUnavailable
from bff.oauth.retry_after import LONGEST_SECONDS as LONGEST_RETRY_AFTER_SECONDS
from bff.provider.circuit import LONGEST_SECONDS, PROBE_LIFE_SECONDS, PROBE_SECONDS, Circuit
from support.fake_internet import FakeClock


def trouble(reason: str = "http_503", *, retry_after: float | None = None) -> ProviderUnavailable:
    """What the provider said, or did not say."""
    return ProviderUnavailable("x", provider="corp", reason=reason, retry_after_seconds=retry_after)


async def failing(circuit: Circuit, *who: str, error: ProviderUnavailable | None = None) -> None:
    """These ask and fail, one after the other."""
    for one in who:
        await circuit.admit(one)
        circuit.failed(one, error or trouble())


class Noting:
    """Other processes: what they were told, and whether the probe is to be had."""

    def __init__(self, *, probe_taken: bool = False) -> None:
        self.told: list[float] = []
        self.probe_taken = probe_taken
        self.freed = 0
        self.meanwhile: Callable[[], None] = lambda: None

    async def take_probe(self) -> bool:
        """Let something happen first if told to."""
        self.meanwhile()
        return not self.probe_taken

    def free_probe(self) -> None:
        """Count it."""
        self.freed += 1

    def tell(self, seconds: float) -> None:
        """Note it."""
        self.told.append(seconds)


@pytest.mark.requirement("R-346")
@pytest.mark.parametrize("reason", ["http_500", "http_503", "not_connected", "timeout", "cut_off", "server_error"])
async def test_failures_of_several_open_it(reason: str) -> None:
    """One session's failures, however many, are its own; a second session's open the circuit for all."""
    circuit = Circuit(clock=FakeClock())
    await failing(circuit, "a", "a", "a", error=trouble(reason))
    assert circuit.wait_seconds("c") == 0
    await failing(circuit, "b", error=trouble(reason))
    assert 0 < circuit.wait_seconds("c") <= LONGEST_SECONDS


@pytest.mark.requirement("R-346")
@pytest.mark.parametrize("reason", ["asked_by_another", "keys", "failed_before", "stopping"])
async def test_what_is_no_trouble_of_the_provider_opens_nothing(reason: str) -> None:
    """Failures of ours do not count."""
    circuit = Circuit(clock=FakeClock())
    await failing(circuit, "a", "b", "c", error=trouble(reason))
    assert circuit.wait_seconds("d") == 0


@pytest.mark.requirement("R-346")
async def test_one_429_opens_it_for_as_long_as_it_says() -> None:
    """The provider's Retry-After is kept; a shorter one of a call that was under way does not shorten it."""
    clock = FakeClock()
    circuit = Circuit(clock=clock)
    await circuit.admit("a")
    await circuit.admit("b")
    circuit.failed("a", trouble("http_429", retry_after=30))
    circuit.failed("b", trouble("http_429", retry_after=5))
    clock.advance(29)
    assert circuit.wait_seconds("c") == 1
    clock.advance(1)
    assert circuit.wait_seconds("c") == 0


@pytest.mark.requirement("R-346")
async def test_after_the_pause_one_asks_and_its_answer_closes_it() -> None:
    """The others are told to come back while the one is under way; a failure opens the circuit again."""
    clock = FakeClock()
    circuit = Circuit(clock=clock)
    await failing(circuit, "a", "b")
    clock.advance(LONGEST_SECONDS)
    await circuit.admit("c")
    assert circuit.wait_seconds("d") > 0
    circuit.failed("c", trouble())
    assert circuit.wait_seconds("c") > 0
    clock.advance(LONGEST_SECONDS)
    await circuit.admit("d")
    circuit.answered("d")
    assert circuit.wait_seconds("e") == 0
    await failing(circuit, "e")
    assert circuit.wait_seconds("f") == 0


@pytest.mark.requirement("R-346")
async def test_a_call_that_was_not_made_leaves_the_one_to_another() -> None:
    """If the one call does not happen, because the store is away for instance, the next one may be made."""
    clock = FakeClock()
    circuit = Circuit(clock=clock)
    await failing(circuit, "a", "b")
    clock.advance(LONGEST_SECONDS)
    await circuit.admit("c")
    circuit.not_asked("c")
    assert circuit.wait_seconds("d") == 0


@pytest.mark.requirement("R-346")
async def test_a_clock_that_is_set_back_does_not_keep_it_open() -> None:
    """The pause is measured on a clock that may jump."""
    clock = FakeClock()
    circuit = Circuit(clock=clock)
    await failing(circuit, "a", "b")
    clock.advance(-3600)
    assert circuit.wait_seconds("c") == 0


@pytest.mark.requirement("R-346")
async def test_a_pause_that_the_provider_asked_for_is_told_and_so_is_its_end() -> None:
    """What the circuit found out by itself is not told: it may be this process's own trouble."""
    clock = FakeClock()
    circuit = Circuit(clock=clock)
    circuit.others = others = Noting()
    await failing(circuit, "a", "b")
    assert others.told == []
    await failing(circuit, "a", error=trouble("http_429", retry_after=30))
    clock.advance(31)
    await circuit.admit("a")
    circuit.answered("a")
    assert others.told == [30, 0]


@pytest.mark.requirement("R-346")
async def test_a_pause_that_was_heard_of_is_kept_until_its_end_is_heard_of() -> None:
    """It is bounded, and a shorter one does not shorten it; another process's answer ends it."""
    clock = FakeClock()
    circuit = Circuit(clock=clock)
    circuit.hear(30)
    circuit.hear(5)
    assert circuit.wait_seconds("a") == 30
    circuit.hear(0)
    assert circuit.wait_seconds("a") == 0
    circuit.hear(1e9)
    assert circuit.wait_seconds("a") == LONGEST_RETRY_AFTER_SECONDS


@pytest.mark.requirement("R-346")
async def test_an_answer_from_before_the_pause_does_not_end_it() -> None:
    """A call that was under way when the provider said 429 to another may be answered well: it was sent before."""
    clock = FakeClock()
    circuit = Circuit(clock=clock)
    await circuit.admit("early")
    await failing(circuit, "a", error=trouble("http_429", retry_after=30))
    circuit.answered("early")
    assert circuit.wait_seconds("b") == 30


@pytest.mark.requirement("R-346")
async def test_anothers_answer_does_not_close_what_this_process_found_out() -> None:
    """It may be this process alone that cannot reach the provider."""
    circuit = Circuit(clock=FakeClock())
    await failing(circuit, "a", "b", error=trouble("not_connected"))
    circuit.hear(0)
    assert circuit.wait_seconds("c") > 0


async def half_open(clock: FakeClock, others: Noting) -> Circuit:
    """A circuit whose pause is over."""
    circuit = Circuit(clock=clock)
    circuit.others = others
    circuit.hear(30)
    clock.advance(30)
    return circuit


@pytest.mark.requirement("R-346")
async def test_a_probe_that_another_process_has_is_not_sent_here() -> None:
    """Who wanted to send it is told to come back, and may send it when it is to be had."""
    others = Noting(probe_taken=True)
    circuit = await half_open(FakeClock(), others)
    assert await circuit.admit("a") == PROBE_SECONDS
    others.probe_taken = False
    assert await circuit.admit("b") == 0
    assert await circuit.admit("a") == PROBE_SECONDS


@pytest.mark.requirement("R-346")
async def test_a_closed_circuit_asks_for_no_probe() -> None:
    """In good times a call costs no question to the store."""
    circuit = Circuit(clock=FakeClock())
    circuit.others = Noting(probe_taken=True)
    assert await circuit.admit("a") == 0
    assert await circuit.admit("b") == 0


@pytest.mark.requirement("R-346")
async def test_a_pause_that_is_told_of_while_the_probe_is_taken_comes_first() -> None:
    """The probe is given back, and not sent."""
    others = Noting()
    circuit = await half_open(FakeClock(), others)
    others.meanwhile = lambda: circuit.hear(20)
    assert await circuit.admit("a") == 20
    assert others.freed == 1


@pytest.mark.requirement("R-346")
async def test_a_probe_is_given_back_but_for_a_pause_that_the_provider_asks_for() -> None:
    """It is free for other processes after an answer, a failure, and a call that was not made; a Retry-After takes it until then."""
    for end in (
        lambda circuit: circuit.answered("a"),
        lambda circuit: circuit.not_asked("a"),
        lambda circuit: circuit.failed("a", trouble()),
        lambda circuit: circuit.failed("a", trouble("keys")),
    ):
        others = Noting()
        circuit = await half_open(FakeClock(), others)
        await circuit.admit("a")
        end(circuit)
        assert others.freed == 1
    others = Noting()
    circuit = await half_open(FakeClock(), others)
    await circuit.admit("a")
    circuit.failed("a", trouble("http_429", retry_after=10))
    assert (others.freed, others.told) == (0, [10])


@pytest.mark.requirement("R-346")
async def test_a_probe_without_an_answer_holds_up_the_next_one_for_seconds_only() -> None:
    """A provider that hung is seen to be back, though the call that it swallowed is heard out for minutes; its late answer closes the
    circuit, too."""
    clock = FakeClock()
    circuit = await half_open(clock, Noting())
    await circuit.admit("a")
    clock.advance(PROBE_LIFE_SECONDS - 1)
    assert circuit.wait_seconds("b") > 0
    clock.advance(1)
    assert await circuit.admit("b") == 0
    assert circuit.wait_seconds("c") > 0
    circuit.answered("a")
    assert circuit.wait_seconds("c") == 0


@pytest.mark.requirement("R-346")
@pytest.mark.parametrize("reason", ["http_429", "http_503", "http_500", "temporarily_unavailable"])
async def test_one_retry_after_is_enough(reason: str) -> None:
    """The provider itself says that it is in trouble, and until when: no second session has to find out."""
    circuit = Circuit(clock=FakeClock())
    await failing(circuit, "a", error=trouble(reason, retry_after=20))
    assert circuit.wait_seconds("b") == 20


@pytest.mark.requirement("R-346")
@pytest.mark.parametrize("reason", ["http_429", "http_503"])
async def test_a_retry_after_of_no_seconds_is_no_pause_and_no_end_of_one(reason: str) -> None:
    """The circuit opens for a pause of its own, and no other process is told."""
    circuit = Circuit(clock=FakeClock())
    circuit.others = others = Noting()
    await failing(circuit, "a", "b", error=trouble(reason, retry_after=0))
    assert 0 < circuit.wait_seconds("c") <= LONGEST_SECONDS
    assert others.told == []
