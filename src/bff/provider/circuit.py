"""One circuit per provider: while the provider is in trouble it is asked by one call at a time, not by every session (R-346).

    state      when                                                           a call
    closed     calls are answered                                             is made
    open       429, a `Retry-After`, or failures of several sessions in a     is not made: "come back in so many seconds"
               row; for a pause
    half open  after the pause                                                one is made, the others are told to come back

The pause is the provider's `Retry-After`, bounded where it is read; else a second at most, then up to `LONGEST_SECONDS`, so that
the end of an outage is seen soon. The one call is the probe. Its answer closes the circuit for all; if it gets none within
`PROBE_LIFE_SECONDS`, the next probe may be sent.

All processes of a store share the probe, a pause that the provider itself asked for (`Retry-After`), and its end (`Others`). Failures
that each process finds for itself are not passed on: a process that is cut off from the provider must not stop the others.
"""

from collections.abc import Hashable
from typing import Protocol

from bff.backoff import Backoff
from bff.clock import Clock
from bff.errors import ProviderUnavailable
from bff.oauth.error_response import LATER
from bff.oauth.retry_after import LONGEST_SECONDS as LONGEST_RETRY_AFTER_SECONDS

SEVERAL = 2
LONGEST_SECONDS = 2.0
BACKOFF = Backoff(first_seconds=1.0, longest_seconds=LONGEST_SECONDS)
PROBE_SECONDS = 1.0  # how soon to come back while the probe is under way
PROBE_LIFE_SECONDS = 5.0  # a provider that accepts calls and answers none must not hold up its own recovery
_AT_ONCE = frozenset({"http_429"})
_TROUBLE = frozenset({"not_connected", "client_certificate", "timeout", "cut_off"}) | LATER


class Others(Protocol):
    """The other processes that ask this provider: `tokens/shared_circuits.py`."""

    async def take_probe(self) -> bool:
        """Whether the probe is this process's, for `PROBE_LIFE_SECONDS`; also if that cannot be found out."""
        ...

    def free_probe(self) -> None:
        """The probe is over; another process may send the next one."""
        ...

    def tell(self, seconds: float) -> None:
        """The provider asks for a pause of so many seconds, for which no process may take the probe; 0: the pause is over."""
        ...


class NoOthers:
    """This process is the only one."""

    async def take_probe(self) -> bool:
        """It is ours."""
        return True

    def free_probe(self) -> None:
        """There is no other to take it."""

    def tell(self, seconds: float) -> None:
        """There is no other to tell."""


class Circuit:
    """Decides whether a provider may be asked now. Not a lock: what was asked before is not interrupted."""

    def __init__(self, *, clock: Clock) -> None:
        self.others: Others = NoOthers()
        self._clock = clock
        self._asked_for = False  # whether the provider itself asked for the pause
        # Who failed since the last answer; bounded, because the circuit opens at `SEVERAL`.
        self._failed: set[Hashable] = set()
        self._opened_at = 0.0
        self._open_until = 0.0  # 0: closed
        self._pauses = 0
        self._probe: Hashable | None = None
        self._probe_at = 0.0

    @property
    def asked_for_seconds(self) -> float:
        """For how long the provider still wants not to be asked, by its own word; 0.0: it does not."""
        return self._left_seconds() if self._asked_for else 0.0

    def wait_seconds(self, who: Hashable) -> float:
        """After how many seconds `who` may ask, as far as this process knows; 0.0: now. Changes nothing."""
        if not self._open_until:
            return 0.0
        left = self._left_seconds()
        if left or self._probe in {None, who}:
            return left
        age = self._clock() - self._probe_at
        return PROBE_SECONDS if 0 <= age < PROBE_LIFE_SECONDS else 0.0

    async def admit(self, who: Hashable) -> float:
        """0.0: `who` asks now; in a half open circuit it is the probe of all processes. Else after how many seconds to come back."""
        wait = self.wait_seconds(who)
        if wait or not self._open_until:
            return wait
        self._probe, self._probe_at = who, self._clock()  # before the store is asked: no other task takes it meanwhile
        if not await self.others.take_probe():
            self._probe = None if self._probe == who else self._probe
            return PROBE_SECONDS
        wait = self.wait_seconds(who)
        if wait:  # another process told of a pause meanwhile
            self.others.free_probe()
        return wait

    def answered(self, who: Hashable) -> None:
        """The provider answered: the circuit is closed. A call from before a pause that the provider asked for does not end it."""
        if self._probe != who and self.asked_for_seconds:
            return
        was_open, was_probe = self._open_until > 0, self._probe == who
        self._close()
        if was_open:
            self.others.tell(0.0)
        if was_probe:
            self.others.free_probe()

    def hear(self, seconds: float) -> None:
        """Another process tells of a pause, or of its end (0)."""
        if not seconds > 0:  # also if it is no number
            if self._asked_for:
                self._close()
            return
        seconds = min(seconds, LONGEST_RETRY_AFTER_SECONDS)
        if seconds > self._left_seconds():
            self._open(seconds)
            self._asked_for, self._probe = True, None

    def not_asked(self, who: Hashable) -> None:
        """`who` did not ask after all."""
        if self._probe == who:
            self._probe = None
            self.others.free_probe()

    def failed(self, who: Hashable, error: ProviderUnavailable) -> None:
        """The provider did not answer `who`, or said that it is in trouble."""
        was_probe = self._probe == who
        opens = is_trouble(error) and self._opens(who, error, was_probe=was_probe)
        if opens and error.retry_after_seconds:
            self._probe = None if was_probe else self._probe
            seconds = max(error.retry_after_seconds, self._left_seconds())
            self._open(seconds)
            self._asked_for = True
            self.others.tell(seconds)
            return
        self.not_asked(who)
        if opens and not self._left_seconds():
            self._pauses += 1
            self._open(BACKOFF.pause_seconds(self._pauses))
            self._asked_for = False

    def _opens(self, who: Hashable, error: ProviderUnavailable, *, was_probe: bool) -> bool:
        self._failed.add(who)
        says_when = bool(error.retry_after_seconds)  # the provider itself says that it is in trouble
        return says_when or error.reason in _AT_ONCE or was_probe or len(self._failed) >= SEVERAL

    def _left_seconds(self) -> float:
        now = self._clock()
        # the first: a clock set back must not lengthen a pause
        return self._open_until - now if self._opened_at <= now < self._open_until else 0.0

    def _open(self, seconds: float) -> None:
        self._opened_at = self._clock()
        self._open_until = self._opened_at + seconds

    def _close(self) -> None:
        self._failed.clear()
        self._open_until, self._pauses = 0.0, 0
        self._asked_for, self._probe = False, None


def is_trouble(error: ProviderUnavailable) -> bool:
    """Whether the provider is in trouble, and not only this one session's call."""
    return error.reason in _TROUBLE or error.reason.startswith(("http_", "proxy_"))
