"""Calls to the session store, apart from what they are for."""

import structlog

from bff.telemetry import metrics
from bff.telemetry.remedies import REMEDIES

log = structlog.get_logger()


def store_asked(*, operation: str, seconds: float, answered: bool) -> None:
    """A call to the store took so long; `operation` is a script's or a command's name."""
    metrics.STORE_SECONDS.tally(operation, "ok" if answered else "unavailable").observe(seconds)


def changes_interrupted(*, reason: str) -> None:
    """Changes that other workers make in the store do not arrive now."""
    log.warning("store.changes_interrupted", reason=reason, remedy=REMEDIES.get(reason))


def changes_resumed() -> None:
    """Changes that other workers make in the store arrive (again)."""
    log.info("store.changes_heard")


def clock_compared(*, seconds: float, believed: bool) -> None:
    """Another difference between the store's clock and ours was seen, positive: the store's is ahead; `believed`: instants in sessions
    are moved by it from now on."""
    log.warning("clock.skewed", reason="store" if believed else "store_too_far", seconds=round(seconds, 1))


def ended_again(*, session_key: str) -> None:
    """A session that had ended was in the store again, which went back, and was ended once more."""
    log.warning("session.ended_again", session=session_key[:8])
