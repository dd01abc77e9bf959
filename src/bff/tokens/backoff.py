"""How soon something may be tried again after it failed: doubling, with jitter, for each key on its own."""

import random
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

FIRST_SECONDS = 1.0
LONGEST_SECONDS = 60.0
FORGOTTEN_AFTER_SECONDS = 300.0
MAX_KEYS = 10_000

K = TypeVar("K", bound=Hashable)


class Backoff(Generic[K]):
    """Remembers failures by key; bounded, because keys come from browsers."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._waits: dict[K, tuple[float, float]] = {}  # key -> (pause in seconds, not before)

    def permits(self, key: K) -> bool:
        """Whether `key` may be tried now."""
        wait = self._waits.get(key)
        return wait is None or self._clock() >= wait[1]

    def note(self, key: K) -> None:
        """`key` failed: the next try is due after a pause, twice as long as the last one."""
        now = self._clock()
        last, due = self._waits.pop(key, (0.0, now))
        pause = (
            FIRST_SECONDS if now > due + FORGOTTEN_AFTER_SECONDS else min(max(last * 2, FIRST_SECONDS), LONGEST_SECONDS)
        )
        jitter = random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, keeps no secret
        self._waits[key] = (pause, now + pause * jitter)
        if len(self._waits) > MAX_KEYS:
            del self._waits[next(iter(self._waits))]  # the one that failed longest ago

    def forget(self, key: K) -> None:
        """`key` works again."""
        self._waits.pop(key, None)
