"""Requests from browsers: one event and one count for each outcome."""

import pytest
from structlog.testing import capture_logs
from tests.support.counts import counted
from tests.support.request_heads import a_head

from bff.errors import (
    CallbackRefused,
    LoopDetected,
    NotImplementedHere,
    ProviderRefused,
    UpstreamBroke,
    UpstreamUnreachable,
    VersionNotSupported,
)
from bff.telemetry import requests as telemetry
from bff.telemetry.accounts import Account, new_account, trace_id


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
        (NotImplementedHere("no such method"), 501, "request.refused", {}),
        (VersionNotSupported("HTTP/1.1 only"), 505, "request.refused", {}),
        (LoopDetected("we were here"), 508, "request.not_served", {}),
        (ValueError("a secret"), 500, "request.failed", {}),
    ],
)
def test_a_problem_is_logged_by_its_status_and_counted_by_its_kind(
    error: Exception, status: int, event: str, facts: dict[str, str]
) -> None:
    """4xx are refusals, and what a browser asks in vain (501, 505); 500 is a mistake of ours with its traceback, other 5xx are not;
    facts come from the error's attributes."""
    with capture_logs() as events, counted() as counts:
        telemetry.problem_answered(error, kind="some-kind", status=status, request_id="1f")
    (logged,) = events
    assert logged["event"] == event
    assert {name: logged.get(name) for name in facts} == facts
    assert (logged["request_id"], logged["status"], logged["error"]) == ("1f", status, type(error).__name__)
    assert ("exc_info" in logged) == (status == 500)
    assert counts == {("bff_problems_total", "some-kind"): 1}


def an_account(*, whole: bool = True, **fields: bytes) -> Account:
    """The account of one request from a browser."""
    named = {name.encode(): value for name, value in fields.items()}
    return new_account(a_head(named, path=b"/a\xff", query=b"code=1"), client="192.0.2.7", scheme="https", whole=whole)


def test_a_served_request_is_logged_without_its_query() -> None:
    """Method and path are logged as they came, bytes beyond ASCII escaped; what is not known is left out."""
    account = an_account()
    account.route, account.session = "/a", "01234567"
    with capture_logs() as events:
        telemetry.request_over(account, status=200)
    (event,) = events
    assert 0 <= event.pop("seconds") < 60
    assert event == {
        "event": "request.served",
        "log_level": "info",
        "request_id": account.head.request_id.decode(),
        "method": "GET",
        "path": "/a\\xff",
        "route": "/a",
        "session": "01234567",
        "client": "192.0.2.7",
        "status": 200,
    }


@pytest.mark.requirement("R-363")
def test_nothing_is_written_twice() -> None:
    """With a line for every request, a refusal is in that line, its reason and remedy too; without, it has an event of its own."""
    error = UpstreamUnreachable("no", origin="http://api", reason="refused")
    for whole in (True, False):
        account = an_account(whole=whole)
        with capture_logs() as events:
            telemetry.problem_answered(
                error, kind="upstream-failed", status=502, request_id="1f", head=account.head, account=account
            )
            telemetry.request_over(account, status=502)
        (event,) = events
        assert event["event"] == ("request.served" if whole else "request.not_served")
        assert (event["why"], event["status"], event["log_level"]) == ("refused", 502, "warning")
        assert "start the API" in event["remedy"]


@pytest.mark.requirement("R-363")
def test_a_mistake_of_ours_has_its_traceback_besides() -> None:
    """It is for another reader than the line of the request."""
    account = an_account()
    with capture_logs() as events:
        telemetry.problem_answered(ValueError(), kind="internal-error", status=500, request_id="1f", account=account)
        telemetry.request_over(account, status=500)
    assert [event["event"] for event in events] == ["request.failed", "request.served"]


@pytest.mark.requirement("R-364")
@pytest.mark.parametrize(
    ("parent", "found"),
    [
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        (b"00-00000000000000000000000000000000-00f067aa0ba902b7-01", None),
        (b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", None),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736", None),
        (b"", None),
        (b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", None),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", None),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-zz", None),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", None),
        (b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", "4bf92f3577b34da6a3ce929d0e0e4736"),
        (b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01more", None),
        (b'00-"};;{"\r\n4da6a3ce929d0e0e4736abcdef-00f067aa0ba902b7-01', None),
    ],
)
def test_the_trace_is_read_from_its_field(parent: bytes, found: str | None) -> None:
    """As W3C Trace Context has it, later versions too; from anything else an API reads no trace either."""
    assert trace_id(a_head({b"traceparent": parent})) == found


def test_what_broke_is_logged_by_its_class() -> None:
    """An upstream that broke off is a warning, an application that failed an error with its traceback."""
    failure = ValueError("x")
    with capture_logs() as events:
        telemetry.upstream_broke_off(UpstreamBroke("x", origin="http://api"))
        telemetry.answer_failed(failure)
    assert events == [
        {
            "event": "upstream.broke_off",
            "log_level": "warning",
            "error": "UpstreamBroke",
            "origin": "http://api",
            "what": "x",
        },
        {"event": "answer.failed", "log_level": "error", "exc_info": failure},
    ]
