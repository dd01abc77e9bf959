"""The pauses between tries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.backoff import Backoff


@pytest.mark.parametrize(
    ("failures", "seconds"), [(1, 1), (2, 2), (3, 4), (4, 8), (6, 32), (7, 60), (9, 60), (10**9, 60)]
)
def test_pause_doubles_up_to_the_longest(failures: int, seconds: float) -> None:
    """Each failure in a row doubles the pause, up to the longest one."""
    backoff = Backoff(first_seconds=1, longest_seconds=60, chance=lambda: 1.0)
    assert backoff.pause_seconds(failures) == seconds


@pytest.mark.requirement("R-145")
@given(st.integers(1, 10**12), st.floats(0, 1))
def test_half_of_each_pause_is_left_to_chance(failures: int, chance: float) -> None:
    """A pause is never less than half of the doubled one and never longer than it, by chance alone."""
    whole = Backoff(first_seconds=0.05, longest_seconds=2, chance=lambda: 1.0).pause_seconds(failures)
    pause = Backoff(first_seconds=0.05, longest_seconds=2, chance=lambda: chance).pause_seconds(failures)
    assert pause == pytest.approx(whole * (1 + chance) / 2)


@pytest.mark.requirement("R-145")
def test_pauses_are_not_all_alike() -> None:
    """Workers that failed together do not try again together."""
    backoff = Backoff(first_seconds=1, longest_seconds=60)
    assert len({backoff.pause_seconds(6) for _ in range(30)}) > 3
