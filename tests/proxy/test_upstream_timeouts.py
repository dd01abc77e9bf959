"""Patience with an exchange, on given instants."""

import pytest

from bff.config.model import TimeoutConfig
from bff.proxy.timeouts import MIN_RATE, RATE_SECONDS, Patience, Phase

TIMEOUTS = TimeoutConfig(connect=1.0, first_byte=10.0, idle=5.0, total=100.0)


@pytest.mark.parametrize(
    ("phase", "seconds"), [(Phase.QUEUED, 1.0), (Phase.UPLOAD, 5.0), (Phase.HEAD, 10.0), (Phase.CONTENT, 5.0)]
)
def test_each_phase_has_its_time(phase: Phase, seconds: float) -> None:
    """It counts from when the phase was first seen, and is over at its end, not before."""
    patience = Patience(TIMEOUTS, now=0.0)
    assert not patience.is_over(now=0.0, phase=phase, moved=0)
    assert not patience.is_over(now=seconds - 0.01, phase=phase, moved=0)
    assert patience.is_over(now=seconds, phase=phase, moved=0)


def test_getting_on_starts_the_time_again() -> None:
    """A byte, or another phase."""
    patience = Patience(TIMEOUTS, now=0.0)
    assert not patience.is_over(now=0.0, phase=Phase.UPLOAD, moved=0)
    assert not patience.is_over(now=4.0, phase=Phase.UPLOAD, moved=1)
    assert not patience.is_over(now=8.0, phase=Phase.HEAD, moved=1)
    assert not patience.is_over(now=17.0, phase=Phase.HEAD, moved=1)
    assert not patience.is_over(now=17.9, phase=Phase.CONTENT, moved=2)
    assert patience.is_over(now=22.9, phase=Phase.CONTENT, moved=2)


def test_the_total_ends_everything() -> None:
    """However well it gets on, and also while connecting; without a total nothing but standing still counts."""
    patience = Patience(TIMEOUTS, now=0.0)
    endless = Patience(TimeoutConfig(total=None), now=0.0)
    for second in range(100):
        assert not patience.is_over(now=second, phase=Phase.CONTENT, moved=second)
    assert patience.is_over(now=100.0, phase=Phase.CONNECTING, moved=0)
    assert not endless.is_over(now=1e9, phase=Phase.CONNECTING, moved=0)


@pytest.mark.requirement("R-366")
@pytest.mark.parametrize(("rate", "drips"), [(1, True), (MIN_RATE - 1, True), (MIN_RATE, False), (1 << 20, False)])
def test_content_must_come_at_a_rate(*, rate: int, drips: bool) -> None:
    """Slower than 1 KiB a second over 30 seconds is too slow, whatever came before; time alone, before that, is not."""
    patience = Patience(TIMEOUTS, now=0.0)
    seconds = int(RATE_SECONDS)
    for second in range(1, seconds):
        assert not patience.drips(now=second, taken=second * rate, held=False)
    assert patience.drips(now=seconds, taken=seconds * rate, held=False) is drips


@pytest.mark.requirement("R-366")
def test_a_fast_beginning_buys_no_time() -> None:
    """Each 30 seconds count for themselves."""
    patience = Patience(TIMEOUTS, now=0.0)
    assert not patience.drips(now=RATE_SECONDS, taken=1 << 30, held=False)
    assert not patience.drips(now=2 * RATE_SECONDS - 1, taken=(1 << 30) + 1, held=False)
    assert patience.drips(now=2 * RATE_SECONDS, taken=(1 << 30) + 1, held=False)


@pytest.mark.requirement("R-366")
def test_an_upstream_without_room_is_not_the_browsers_fault() -> None:
    """While it takes nothing the time does not run; it begins anew when there is room."""
    patience = Patience(TIMEOUTS, now=0.0)
    for second in range(100):
        assert not patience.drips(now=second, taken=1000, held=True)
    assert not patience.drips(now=99 + RATE_SECONDS - 1, taken=1001, held=False)
    assert patience.drips(now=99 + RATE_SECONDS, taken=1001, held=False)
