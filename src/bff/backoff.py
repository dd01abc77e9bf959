"""How long to wait after a failure before the next try: one rule for providers, the store, leases and refreshes.

The pause doubles with each failure in a row, up to a longest one. Of each pause the second half is left to chance, so that workers
that failed together do not try again together.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass


def even_chance() -> float:
    """A number from 0 to 1, each as likely; `random.random` is looked up at each use, so that a test can take chance away."""
    return random.random()  # noqa: S311 - spreads tries, keeps no secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """The pauses of one kind of failure; `chance` gives numbers from 0 to 1."""

    first_seconds: float
    longest_seconds: float
    chance: Callable[[], float] = even_chance

    def pause_seconds(self, failures: int) -> float:
        """The pause after so many failures in a row, at least 1: between half of the doubled one and all of it."""
        doubled = self.first_seconds * 2.0 ** min(failures - 1, 63)  # a float's exponent ends
        return min(doubled, self.longest_seconds) * (0.5 + 0.5 * self.chance())
