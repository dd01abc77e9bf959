"""What becomes of upstreams, apart from single requests. An upstream is named by its origin."""

import structlog

from bff.telemetry import metrics, running

log = structlog.get_logger()


def known(origin: str, *, is_out: bool) -> None:
    """The configuration names this upstream from now on; `is_out`: it has been left out before."""
    metrics.UPSTREAM_UP.labels(origin).set(0 if is_out else 1)


def gone(origin: str) -> None:
    """The configuration names this upstream no more."""
    metrics.UPSTREAM_UP.retire(origin)


def left_out(origin: str, *, reason: str) -> None:
    """It failed: while others of its list answer, it gets no requests."""
    metrics.UPSTREAM_UP.labels(origin).set(0)
    log.warning("upstream.left_out", upstream=origin, reason=reason)


def back(origin: str) -> None:
    """It answers again."""
    metrics.UPSTREAM_UP.labels(origin).set(1)
    log.info("upstream.back", upstream=origin)


def file_unusable(file: str, reason: str) -> None:
    """A client certificate or a CA file has changed and cannot be used; what it said before stays in use."""
    running.file_unusable(file, reason)
