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

    def __init__(self, *, clock: Callable[[], float], longest_seconds: float = LONGEST_SECONDS) -> None:
        self._clock = clock
        self._longest_seconds = longest_seconds
        self._waits: dict[K, tuple[float, float, float]] = {}  # key -> (pause in seconds, failed at, not before)

    def permits(self, key: K) -> bool:
        """Whether `key` may be tried now."""
        return self.wait_seconds(key) <= 0

    def wait_seconds(self, key: K) -> float:
        """After how many seconds `key` may be tried; 0.0: now."""
        wait = self._waits.get(key)
        if wait is None:
            return 0.0
        (_, failed_at, due), now = wait, self._clock()
        return due - now if failed_at <= now < due else 0.0  # the first: a clock set back must not lengthen a pause

    def note(self, key: K) -> None:
        """`key` failed: the next try is due after a pause, twice as long as the last one."""
        now = self._clock()
        last, _, due = self._waits.pop(key, (0.0, now, now))
        pause = (
            FIRST_SECONDS
            if now > due + FORGOTTEN_AFTER_SECONDS
            else min(max(last * 2, FIRST_SECONDS), self._longest_seconds)
        )
        jitter = random.uniform(0.8, 1.2)  # noqa: S311 - spreads load, keeps no secret
        self._waits[key] = (pause, now, now + pause * jitter)
        if len(self._waits) > MAX_KEYS:
            del self._waits[next(iter(self._waits))]  # the one that failed longest ago

    def forget(self, key: K) -> None:
        """`key` works again."""
        self._waits.pop(key, None)
