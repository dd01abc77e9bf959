"""By how much a provider's clock and ours differ, from the `Date` of its answers (RFC 9110 section 6.6.1).

`Date` counts whole seconds, and is read somewhere between our sending and our receiving: only what lies outside of that is a
difference. `Age` is added, because a cache repeats the `Date` of the answer that it keeps (RFC 9111 section 5.1).
"""

from bff.clock import Clock
from bff.oauth.retry_after import instant_of
from bff.telemetry import tokens as telemetry

TOLERATED_SECONDS = 5.0
TELL_EVERY_SECONDS = 600.0


class ClockSkew:
    """The difference that was seen last, in seconds; positive: the provider's clock is ahead of ours."""

    def __init__(self, *, provider: str, clock: Clock) -> None:
        self.seconds: float | None = None
        self._provider = provider
        self._clock = clock
        self._told_at = float("-inf")

    def now(self) -> float:
        """Our clock: take it before sending."""
        return self._clock()

    def note(self, *, date: str | None, age: str | None, sent_at: float) -> None:
        """Compare an answer that has just been received."""
        dated = None if date is None else instant_of(date)
        if dated is None:
            return
        received_at = self._clock()
        dated += float(age) if age is not None and age.isdecimal() and len(age) < 10 else 0.0
        self.seconds = max(dated - received_at, 0.0) - max(sent_at - dated - 1.0, 0.0)
        tell = abs(self.seconds) > TOLERATED_SECONDS and not 0 <= received_at - self._told_at < TELL_EVERY_SECONDS
        if tell:
            self._told_at = received_at
        telemetry.clock_compared(provider=self._provider, seconds=self.seconds, tell=tell)
