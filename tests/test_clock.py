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
