"""Outcomes of requests from browsers."""

from functools import lru_cache

import structlog

from bff.clock import steady
from bff.errors import NotImplementedHere, VersionNotSupported
from bff.request_head import RequestHead
from bff.telemetry import metrics
from bff.telemetry.accounts import Account, current
from bff.telemetry.remedies import reason_of, remedy_for

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
# Answered with 5xx as HTTP has it, and yet what anybody can ask for: no reason to look at the gateway or what is behind it.
_BROWSERS_DOING = (NotImplementedHere, VersionNotSupported)


def api_answered(*, route: str, status: int) -> None:
    """An API call gets an answer from its upstream; counted when the answer begins."""
    metrics.REQUESTS.tally(route, str(status)).number += 1


def lane_over(*, route: str, status: int, seconds: float, upstream_seconds: float) -> None:
    """A call is over whose answer the lane has begun; its beginning was counted by `api_answered`."""
    metrics.REQUEST_SECONDS.tally(route, f"{status // 100}xx").observe(seconds)
    metrics.UPSTREAM_SECONDS.tally(route).observe(upstream_seconds)


# The tally of calls of a route and status that are answered in one piece, kept because finding it costs more than counting.
answered_at_once = lru_cache(maxsize=4096)(metrics.at_once)
IN_FLIGHT = metrics.IN_FLIGHT.count  # the lane and the recipe add one for each request, and take it away


def request_over(account: Account, *, status: int) -> None:
    """A request is over; `status` is 0 if no answer was begun. Its line is written where the operator wants one for each request."""
    seconds = round(steady() - account.began, 6)
    metrics.REQUEST_SECONDS.tally(account.route or "none", f"{status // 100}xx" if status else "none").observe(seconds)
    if account.whole:
        request_told(account, status=status, seconds=seconds)


def request_told(account: Account, *, status: int, seconds: float) -> None:
    """The line of a request that is over."""
    facts = {**account.facts(), **account.reasons, "status": status, "seconds": seconds}
    if account.level == "warning":
        log.warning("request.served", **facts)
    else:
        log.info("request.served", **facts)


def session_found(*, session_key: str, user: str | None) -> None:
    """The request belongs to this session; `user`: who that is, where the operator wants it in the log."""
    account = current()
    if account is not None:
        account.session, account.user = session_key[:8], user


def session_missing(*, why: str, cause: str | None = None, session_key: str | None = None) -> None:
    """The request has no session that lives: `no_cookie`, `bad_cookie`, `idle`, `absolute`, `ended` by `cause`, or `unknown`."""
    account = current()
    if account is not None:
        account.why, account.cause = why, cause
        account.session = None if session_key is None else session_key[:8]


def routed(route: str) -> None:
    """The request is for this route, or for an endpoint of ours."""
    account = current()
    if account is not None:
        account.route = route


def upstream_asked(*, upstream: str) -> None:
    """The request goes to this upstream now."""
    account = current()
    if account is not None:
        account.upstream, account.upstream_began = upstream, steady()


def upstream_answered(*, upstream: str) -> None:
    """This upstream has begun its answer, or failed: of a list it may be another one than was asked first."""
    account = current()
    if account is not None and account.upstream_began is not None:
        account.upstream, account.upstream_seconds = upstream, steady() - account.upstream_began
        metrics.UPSTREAM_SECONDS.tally(account.route or "none").observe(account.upstream_seconds)


def problem_answered(
    error: Exception,
    *,
    kind: str,
    status: int,
    request_id: str,
    head: RequestHead | None = None,
    account: Account | None = None,
) -> None:
    """A request is answered with a problem of this kind (the last part of its `type`).

    Nothing is written twice: with `log.access` the request's own line says it. A mistake of ours has its traceback besides.
    """
    metrics.PROBLEMS.labels(kind).inc()
    reasons = _reasons(error, kind=kind)
    is_refusal = status < 500 or isinstance(error, _BROWSERS_DOING)
    if account is not None:
        account.why = why = _why(error, kind=kind, known=account.why)
        if account.whole:
            account.reasons, account.level = reasons, "info" if is_refusal else "warning"
            if status == 500:
                log.error("request.failed", request_id=request_id, error=type(error).__name__, exc_info=error)
            return
        facts = {**account.facts(), **reasons, "status": status}
    else:
        why = _why(error, kind=kind, known=None)
        facts = {"request_id": request_id, **_place(head), "why": why, **reasons, "status": status}
    if status == 500:
        log.error("request.failed", exc_info=error, **facts)
    elif is_refusal:
        log.info("request.refused", **facts)
    else:
        log.warning("request.not_served", **facts)


def _place(head: RequestHead | None) -> dict[str, str]:
    if head is None:
        return {}
    return {
        "method": head.method.decode("ascii", "backslashreplace"),
        "path": head.path.decode("ascii", "backslashreplace"),
    }


def _reasons(error: Exception, *, kind: str) -> dict[str, object]:
    """What the error says, and what can be done about it."""
    reasons: dict[str, object] = {"error": type(error).__name__}
    for attribute, name in _FACTS:
        if (fact := getattr(error, attribute, None)) is not None:
            reasons[name] = fact
    remedy = remedy_for(error, kind=kind)
    return reasons if remedy is None else {**reasons, "remedy": remedy}


def _why(error: Exception, *, kind: str, known: str | None) -> str:
    """One word: what the session lacks where a sign-in is needed, else the error's own reason, else the kind of problem."""
    reason = reason_of(error)
    if kind == "login-required":
        return known or reason or "no_grant"
    return _WHY.get(kind) or reason or kind.replace("-", "_")


_WHY = {"csrf-refused": "csrf", "no-route": "no_route", "not-a-page": "csrf"}


def answer_failed(error: Exception) -> None:
    """An application raised what it should have answered."""
    log.error("answer.failed", exc_info=error)


def file_broke_off(reason: str, head: RequestHead, *, route: str | None) -> None:
    """An answer ends in its middle because a file of the app became shorter, or cannot be read."""
    facts = {"request_id": head.request_id.decode("ascii"), "route": route, **_place(head)}
    log.warning("file.broke_off", reason=reason, **facts)


def upstream_broke_off(
    error: BaseException | None, head: RequestHead | None = None, *, route: str | None = None
) -> None:
    """An answer ends in its middle because of the upstream."""
    facts = {} if head is None else {"request_id": head.request_id.decode("ascii"), "route": route, **_place(head)}
    for attribute in ("origin", "reason", "what"):
        if (fact := getattr(error, attribute, None)) is not None:
            facts[attribute] = fact
    remedy = remedy_for(error, kind="upstream-failed")
    if remedy is not None:
        facts["remedy"] = remedy
    log.warning("upstream.broke_off", error=type(error).__name__, **facts)
