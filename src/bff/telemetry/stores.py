"""Calls to the session store, apart from what they are for."""

from bff.telemetry import metrics


def store_asked(*, operation: str, seconds: float, answered: bool) -> None:
    """A call to the store took so long; `operation` is a script's or a command's name."""
    metrics.STORE_SECONDS.tally(operation, "ok" if answered else "unavailable").observe(seconds)
