"""One circuit per provider: while the provider is in trouble it is asked by one call at a time, not by every session (R-346).

    state      when                                                           a call
    closed     calls are answered                                             is made
    open       429, or failures of several sessions in a row; for a pause     is not made: "come back in so many seconds"
    half open  after the pause                                                one is made, the others are told to come back

The pause is the provider's `Retry-After`, bounded where it is read; else a second at most, then up to `LONGEST_SECONDS`, so that
the end of an outage is seen soon. The one call's answer closes the circuit for all.

Processes tell each other of a pause that the provider itself asked for (`Retry-After`), and of its end
(`tokens/shared_circuits.py`): one process's 429 is every process's. Failures that each finds for itself are not passed on: a process
that is cut off from the provider must not stop the others.
"""

from collections.abc import Callable, Hashable

from bff.backoff import Backoff
from bff.clock import Clock
from bff.errors import ProviderUnavailable
from bff.oauth.retry_after import LONGEST_SECONDS as LONGEST_RETRY_AFTER_SECONDS

SEVERAL = 2
LONGEST_SECONDS = 2.0
BACKOFF = Backoff(first_seconds=1.0, longest_seconds=LONGEST_SECONDS)
PROBE_SECONDS = 1.0  # how soon to come back while the one call is under way
_AT_ONCE = frozenset({"http_429"})
_TROUBLE = frozenset({"not_connected", "timeout", "cut_off", "server_error", "temporarily_unavailable", "slow_down"})


class Circuit:
    """Decides whether a provider may be asked now. Not a lock: what was asked before is not interrupted.

    `tell` is called with the seconds of each pause that the provider asks for, and with 0 when an open circuit closes.
    """

    def __init__(self, *, clock: Clock) -> None:
        self.tell: Callable[[float], None] = lambda _: None
        self._clock = clock
        self._asked_for = False  # whether the provider itself asked for the pause
        self._failed: set[Hashable] = (
            set()
        )  # who failed since the last answer; bounded, because the circuit opens at `SEVERAL`
        self._opened_at = 0.0
        self._open_until = 0.0  # 0: closed
        self._pauses = 0
        self._probe: Hashable | None = None

    def wait_seconds(self, who: Hashable) -> float:
        """After how many seconds `who` may ask; 0.0: now. Changes nothing."""
        if not self._open_until:
            return 0.0
        now = self._clock()
        if self._opened_at <= now < self._open_until:  # the first: a clock set back must not lengthen a pause
            return self._open_until - now
        return 0.0 if self._probe in {None, who} else PROBE_SECONDS

    def asks(self, who: Hashable) -> None:
        """`who` asks now; in a half open circuit it is the one call."""
        if self._open_until:
            self._probe = who

    def answered(self, who: Hashable) -> None:
        """The provider answered: the circuit is closed. A call from before a pause that the provider asked for does not end it."""
        if self._asked_for and self._probe != who and self._opened_at <= self._clock() < self._open_until:
            return
        was_open = self._open_until > 0
        self._close()
        if was_open:
            self.tell(0.0)

    def hear(self, seconds: float) -> None:
        """Another process tells of a pause, or of its end (0)."""
        if not seconds > 0:  # also if it is no number
            if self._asked_for:
                self._close()
            return
        now, seconds = self._clock(), min(seconds, LONGEST_RETRY_AFTER_SECONDS)
        if not self._opened_at <= now < self._open_until or now + seconds > self._open_until:
            self._open(now, seconds)
            self._asked_for, self._probe = True, None

    def _close(self) -> None:
        self._failed.clear()
        self._open_until, self._pauses = 0.0, 0
        self._asked_for, self._probe = False, None

    def not_asked(self, who: Hashable) -> None:
        """`who` did not ask after all."""
        if self._probe == who:
            self._probe = None

    def failed(self, who: Hashable, error: ProviderUnavailable) -> None:
        """The provider did not answer `who`, or said that it is in trouble."""
        was_probe = self._probe == who
        self.not_asked(who)
        if not is_trouble(error):
            return
        self._failed.add(who)
        now = self._clock()
        opens = error.reason in _AT_ONCE or was_probe or len(self._failed) >= SEVERAL
        if opens and error.retry_after_seconds is not None:
            seconds = max(error.retry_after_seconds, self._open_until - now)
            self._open(now, seconds)
            self._asked_for = True
            self.tell(seconds)
        elif opens and now >= self._open_until:
            self._pauses += 1
            self._open(now, BACKOFF.pause_seconds(self._pauses))
            self._asked_for = False

    def _open(self, now: float, seconds: float) -> None:
        self._opened_at = now
        self._open_until = now + seconds


def is_trouble(error: ProviderUnavailable) -> bool:
    """Whether the provider is in trouble, and not only this one session's call."""
    return error.reason in _TROUBLE or error.reason.startswith("http_")
