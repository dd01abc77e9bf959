"""Requests from browsers: one event and one count for each outcome."""

import pytest
from structlog.testing import capture_logs
from tests.support.counts import counted
from tests.support.request_heads import a_head

from bff.errors import CallbackRefused, ProviderRefused, UpstreamBroke, UpstreamUnreachable
from bff.telemetry import requests as telemetry


def test_an_answer_to_an_api_call_is_counted() -> None:
    """It is counted by route and status; it is no event."""
    with capture_logs() as events, counted() as counts:
        telemetry.api_answered(route="/api", status=204)
        telemetry.api_answered(route="/api", status=204)
    assert not events
    assert counts == {("bff_requests_total", "/api", "204"): 2}


@pytest.mark.parametrize(
    ("error", "status", "event", "facts"),
    [
        (CallbackRefused("no", reason="nonce"), 400, "request.refused", {"reason": "nonce"}),
        (
            ProviderRefused("no", provider="work", error="invalid_client"),
            502,
            "request.not_served",
            {"provider": "work", "reason": "invalid_client"},
        ),
        (
            UpstreamUnreachable("no", origin="http://api"),
            502,
            "request.not_served",
            {"origin": "http://api"},
        ),
        (ValueError("a secret"), 500, "request.failed", {}),
    ],
)
def test_a_problem_is_logged_by_its_status_and_counted_by_its_kind(
    error: Exception, status: int, event: str, facts: dict[str, str]
) -> None:
    """4xx are refusals, 500 is a mistake of ours with its traceback, other 5xx are not; facts come from the error's attributes."""
    with capture_logs() as events, counted() as counts:
        telemetry.problem_answered(error, kind="some-kind", status=status, request_id="1f")
    (logged,) = events
    assert logged["event"] == event
    assert {name: logged.get(name) for name in facts} == facts
    assert (logged["request_id"], logged["status"], logged["error"]) == ("1f", status, type(error).__name__)
    assert ("exc_info" in logged) == (status == 500)
    assert counts == {("bff_problems_total", "some-kind"): 1}


def test_a_served_request_is_logged_without_its_query() -> None:
    """Method and path are logged as they came, bytes beyond ASCII escaped; time in microseconds."""
    with capture_logs() as events:
        telemetry.request_served(a_head(path=b"/a\xff", query=b"code=1"), status=200, seconds=0.12345678)
    assert events == [
        {
            "event": "request.served",
            "log_level": "info",
            "method": "GET",
            "path": "/a\\xff",
            "status": 200,
            "seconds": 0.123457,
        }
    ]


def test_what_broke_is_logged_by_its_class() -> None:
    """An upstream that broke off is a warning, an application that failed an error with its traceback."""
    failure = ValueError("x")
    with capture_logs() as events:
        telemetry.upstream_broke_off(UpstreamBroke("x", origin="http://api"))
        telemetry.answer_failed(failure)
    assert events == [
        {"event": "upstream.broke_off", "log_level": "warning", "error": "UpstreamBroke"},
        {"event": "answer.failed", "log_level": "error", "exc_info": failure},
    ]
