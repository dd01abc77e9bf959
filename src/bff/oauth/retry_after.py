"""`Retry-After` (RFC 9110 section 10.2.3): after how many seconds a provider wants to be asked again."""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 300.0  # a value that is wrong by its unit must not shut a provider out for a day

_SECONDS = re.compile(r"[0-9]{1,9}")


def instant_of(date: str) -> float | None:
    """An HTTP-date (RFC 9110 section 5.6.7) as Unix seconds; None: it is none."""
    try:
        parsed = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()


def retry_after_seconds(value: str | None, *, date: str | None) -> float | None:
    """The seconds that `Retry-After` says, bounded; a date counts from the answer's own `Date`. None: it says nothing usable."""
    if value is None:
        return None
    if _SECONDS.fullmatch(value.strip()):
        return min(float(value), LONGEST_SECONDS)
    until, since = instant_of(value), instant_of(date or "")
    if until is None or since is None:
        return None
    return min(max(until - since, 0.0), LONGEST_SECONDS)
