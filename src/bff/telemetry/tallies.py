"""Counts of the data path: plain numbers, poured into the metrics when these are read.

A call in the lane makes four of them. `prometheus_client` takes a lock, checks labels and, with several workers, writes a file for
each: 1,000 to 5,000 instructions; an addition here takes 150. Where one process is all, a metric pours when it is collected; with
several workers, whose files any of them shows, each pours once a second.
"""

from bisect import bisect_left

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds


class Tally:
    """Times under one set of labels since the last pour."""

    __slots__ = ("buckets", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def observe(self, seconds: float) -> None:
        """One more."""
        self.buckets[bisect_left(BOUNDS, seconds)] += 1
        self.seconds += seconds

    def take(self) -> tuple[list[int], float]:
        """What was tallied; then there is nothing."""
        buckets, seconds = self.buckets, self.seconds
        self.buckets, self.seconds = [0] * len(buckets), 0.0
        return buckets, seconds

    def add(self, buckets: list[int], seconds: float) -> None:
        """As many more."""
        self.buckets = [old + new for old, new in zip(self.buckets, buckets, strict=True)]
        self.seconds += seconds


class Count:
    """How many under one set of labels: since the last pour, or now."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 0
