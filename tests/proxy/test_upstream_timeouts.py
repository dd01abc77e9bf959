"""Patience with an exchange, on given instants."""

import pytest

from bff.config.model import TimeoutConfig
from bff.proxy.timeouts import Patience, Phase

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
