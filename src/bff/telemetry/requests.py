"""Outcomes of requests from browsers."""

from collections.abc import Callable
from functools import lru_cache

import structlog

from bff.request_head import RequestHead
from bff.telemetry import metrics

log = structlog.get_logger()

# An error's attributes that are logged, and the names of the fields.
_FACTS = (
    ("reason", "reason"),
    ("provider", "provider"),
    ("origin", "origin"),
    ("error", "reason"),
    ("seen", "host"),
    ("wanted", "public_host"),
    ("found", "found"),
    ("configured", "configured"),
    ("what", "what"),
)


def api_answered(*, route: str, status: int) -> None:
    """An API call gets an answer from its upstream; counted when the answer begins."""
    _request_counter(route, status)()


@lru_cache(maxsize=4096)
def _request_counter(route: str, status: int) -> Callable[[], None]:
    """The bound `inc` of one route and status, kept because finding it costs more than counting."""
    return metrics.REQUESTS.labels(route, str(status)).inc


def request_served(head: RequestHead, *, status: int, seconds: float) -> None:
    """A request is over (only with `log.access`); `status` is 0 if no answer was begun.

    The path is logged as it came, escaped by the log's format. The query is never logged: it may hold secrets.
    """
    log.info(
        "request.served",
        method=head.method.decode("ascii", "backslashreplace"),
        path=head.path.decode("ascii", "backslashreplace"),
        status=status,
        seconds=round(seconds, 6),
    )


def problem_answered(
    error: Exception, *, kind: str, status: int, request_id: str, head: RequestHead | None = None
) -> None:
    """A request with this head is answered with a problem of this kind (the last part of its `type`)."""
    metrics.PROBLEMS.labels(kind).inc()
    facts = {"request_id": request_id, "status": status, "error": type(error).__name__}
    if head is not None:
        facts["method"] = head.method.decode("ascii", "backslashreplace")
        facts["path"] = head.path.decode("ascii", "backslashreplace")
    for attribute, name in _FACTS:
        if (fact := getattr(error, attribute, None)) is not None:
            facts[name] = fact
    if status == 500:
        log.error("request.failed", exc_info=error, **facts)
    elif status > 500:
        log.warning("request.not_served", **facts)
    else:
        log.info("request.refused", **facts)


def answer_failed(error: Exception) -> None:
    """An application raised what it should have answered."""
    log.error("answer.failed", exc_info=error)


def upstream_broke_off(error: BaseException | None) -> None:
    """An answer ends in its middle because of the upstream."""
    log.warning("upstream.broke_off", error=type(error).__name__)
