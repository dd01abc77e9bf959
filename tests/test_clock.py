"""The two clocks."""

import time

from bff import clock


def test_the_wall_clock_counts_unix_seconds() -> None:
    """It is the system's time."""
    assert abs(clock.wall() - time.time()) < 60


def test_the_steady_clock_never_goes_back() -> None:
    """Of two readings the second is not the smaller one."""
    earlier = clock.steady()
    assert clock.steady() >= earlier


def test_durations_are_measured_beside_the_clock_of_instants() -> None:
    """By the steady clock beside the wall's; a test's clock serves for both."""
    assert clock.steady_beside(clock.wall) is clock.steady
    hands = iter([1.0, 2.0])
    moved = hands.__next__
    assert clock.steady_beside(moved) is moved
