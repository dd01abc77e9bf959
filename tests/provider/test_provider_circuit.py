"""One circuit per provider: who may ask it while it is in trouble."""

import pytest

from bff.errors import ProviderUnavailable
from bff.oauth.retry_after import LONGEST_SECONDS as LONGEST_RETRY_AFTER_SECONDS
from bff.provider.circuit import LONGEST_SECONDS, Circuit
from support.fake_internet import FakeClock


def trouble(reason: str = "http_503", *, retry_after: float | None = None) -> ProviderUnavailable:
    """What the provider said, or did not say."""
    return ProviderUnavailable("x", provider="corp", reason=reason, retry_after_seconds=retry_after)


def failing(circuit: Circuit, *who: str, error: ProviderUnavailable | None = None) -> None:
    """These ask and fail, one after the other."""
    for one in who:
        circuit.asks(one)
        circuit.failed(one, error or trouble())


@pytest.mark.requirement("R-346")
@pytest.mark.parametrize("reason", ["http_500", "http_503", "not_connected", "timeout", "cut_off", "server_error"])
def test_failures_of_several_open_it(reason: str) -> None:
    """One session's failures, however many, are its own; a second session's open the circuit for all."""
    circuit = Circuit(clock=FakeClock())
    failing(circuit, "a", "a", "a", error=trouble(reason))
    assert circuit.wait_seconds("c") == 0
    failing(circuit, "b", error=trouble(reason))
    assert 0 < circuit.wait_seconds("c") <= LONGEST_SECONDS


@pytest.mark.requirement("R-346")
@pytest.mark.parametrize("reason", ["asked_by_another", "keys", "failed_before", "stopping"])
def test_what_is_no_trouble_of_the_provider_opens_nothing(reason: str) -> None:
    """Failures of ours do not count."""
    circuit = Circuit(clock=FakeClock())
    failing(circuit, "a", "b", "c", error=trouble(reason))
    assert circuit.wait_seconds("d") == 0


@pytest.mark.requirement("R-346")
def test_one_429_opens_it_for_as_long_as_it_says() -> None:
    """The provider's Retry-After is kept; a shorter one of a call that was under way does not shorten it."""
    clock = FakeClock()
    circuit = Circuit(clock=clock)
    circuit.asks("a")
    circuit.asks("b")
    circuit.failed("a", trouble("http_429", retry_after=30))
    circuit.failed("b", trouble("http_429", retry_after=5))
    clock.advance(29)
    assert circuit.wait_seconds("c") == 1
    clock.advance(1)
    assert circuit.wait_seconds("c") == 0


@pytest.mark.requirement("R-346")
def test_after_the_pause_one_asks_and_its_answer_closes_it() -> None:
    """The others are told to come back while the one is under way; a failure opens the circuit again."""
    clock = FakeClock()
    circuit = Circuit(clock=clock)
    failing(circuit, "a", "b")
    clock.advance(LONGEST_SECONDS)
    circuit.asks("c")
    assert circuit.wait_seconds("d") > 0
    circuit.failed("c", trouble())
    assert circuit.wait_seconds("c") > 0
    clock.advance(LONGEST_SECONDS)
    circuit.asks("d")
    circuit.answered("d")
    assert circuit.wait_seconds("e") == 0
    failing(circuit, "e")
    assert circuit.wait_seconds("f") == 0


@pytest.mark.requirement("R-346")
def test_a_call_that_was_not_made_leaves_the_one_to_another() -> None:
    """If the one call does not happen, because the store is away for instance, the next one may be made."""
    clock = FakeClock()
    circuit = Circuit(clock=clock)
    failing(circuit, "a", "b")
    clock.advance(LONGEST_SECONDS)
    circuit.asks("c")
    circuit.not_asked("c")
    assert circuit.wait_seconds("d") == 0


@pytest.mark.requirement("R-346")
def test_a_clock_that_is_set_back_does_not_keep_it_open() -> None:
    """The pause is measured on a clock that may jump."""
    clock = FakeClock()
    circuit = Circuit(clock=clock)
    failing(circuit, "a", "b")
    clock.advance(-3600)
    assert circuit.wait_seconds("c") == 0


@pytest.mark.requirement("R-346")
def test_a_pause_that_the_provider_asked_for_is_told_and_so_is_its_end() -> None:
    """What the circuit found out by itself is not told: it may be this process's own trouble."""
    clock = FakeClock()
    told: list[float] = []
    circuit = Circuit(clock=clock)
    circuit.tell = told.append
    failing(circuit, "a", "b")
    assert told == []
    failing(circuit, "a", error=trouble("http_429", retry_after=30))
    clock.advance(31)
    circuit.asks("a")
    circuit.answered("a")
    assert told == [30, 0]


@pytest.mark.requirement("R-346")
def test_a_pause_that_was_heard_of_is_kept_until_its_end_is_heard_of() -> None:
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
def test_an_answer_from_before_the_pause_does_not_end_it() -> None:
    """A call that was under way when the provider said 429 to another may be answered well: it was sent before."""
    clock = FakeClock()
    circuit = Circuit(clock=clock)
    circuit.asks("early")
    failing(circuit, "a", error=trouble("http_429", retry_after=30))
    circuit.answered("early")
    assert circuit.wait_seconds("b") == 30


@pytest.mark.requirement("R-346")
def test_anothers_answer_does_not_close_what_this_process_found_out() -> None:
    """It may be this process alone that cannot reach the provider."""
    circuit = Circuit(clock=FakeClock())
    failing(circuit, "a", "b", error=trouble("not_connected"))
    circuit.hear(0)
    assert circuit.wait_seconds("c") > 0
