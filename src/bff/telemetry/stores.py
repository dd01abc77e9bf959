"""Calls to the session store, apart from what they are for."""

import structlog

from bff.telemetry import metrics

log = structlog.get_logger()


def store_asked(*, operation: str, seconds: float, answered: bool) -> None:
    """A call to the store took so long; `operation` is a script's or a command's name."""
    metrics.STORE_SECONDS.tally(operation, "ok" if answered else "unavailable").observe(seconds)


def clock_compared(*, seconds: float, believed: bool) -> None:
    """Another difference between the store's clock and ours was seen, positive: the store's is ahead; `believed`: instants in sessions
    are moved by it from now on."""
    log.warning("clock.skewed", reason="store" if believed else "store_too_far", seconds=round(seconds, 1))


def ended_again(*, session_key: str) -> None:
    """A session that had ended was in the store again, which went back, and was ended once more."""
    log.warning("session.ended_again", session=session_key[:8])
