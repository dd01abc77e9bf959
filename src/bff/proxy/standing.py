"""Whether requests go to one member of a list of upstreams. Pure: `now` is an argument, in seconds of any clock.

    what is seen                                                what follows
    no connection can be made, or one breaks in an exchange     left out for about 1 s; doubled with each failure, up to 30 s
    that time is over                                           one request tries it; the others wait for how that ends
    an answer                                                   it is back
    a health check fails                                        left out until one passes; answers to requests do not count
    a health check passes                                       it is back

If all members are left out, all are tried: an upstream that is alone is always tried.
"""

from collections.abc import Callable

from bff.backoff import Backoff

PAUSES = Backoff(first_seconds=1.0, longest_seconds=30.0)

OnChange = Callable[[str | None], None]  # why it is left out from now on; None: it is back


class Standing:
    """Of one upstream; `on_change` is called when it is left out, and when it is back."""

    __slots__ = ("__weakref__", "_failures", "_is_tried", "_on_change", "_until", "_unwell", "is_out")

    def __init__(self, *, on_change: OnChange) -> None:
        self._on_change = on_change
        self._failures = 0  # in a row
        self._until = 0.0
        self._is_tried = False
        self._unwell = False
        self.is_out = False  # something failed since the last answer

    def takes_requests(self, *, now: float) -> bool:
        """Whether a request may go there."""
        return not self.is_out or not (self._unwell or now < self._until)

    def tries(self, *, now: float) -> None:
        """A request goes there. If it was left out, no other does until it is known how this one ends."""
        if self.is_out and now >= self._until:
            self._until = now + PAUSES.pause_seconds(max(self._failures, 1))
            self._is_tried = True

    def failed(self, reason: str, *, now: float) -> None:
        """No connection could be made, or one broke. Of those that fail together, one counts."""
        if self._failures and now < self._until and not self._is_tried:
            return
        self._is_tried = False
        self._failures += 1
        self._until = now + PAUSES.pause_seconds(self._failures)
        self._see(reason)

    def answered(self) -> None:
        """A request was answered."""
        self._failures = 0
        self._see(None)

    def checked(self, flaw: str | None) -> None:
        """What a health check found."""
        self._unwell = flaw is not None
        if flaw is None:
            self._failures = 0
        self._see(flaw)

    def _see(self, reason: str | None) -> None:
        is_out = reason is not None or self._unwell
        if is_out != self.is_out:
            self.is_out = is_out
            self._on_change(reason)
