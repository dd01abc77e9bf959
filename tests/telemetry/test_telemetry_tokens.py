"""Keeping tokens usable: one event and one count for each outcome."""

import pytest
from structlog.testing import capture_logs
from tests.support.counts import counted

from bff.errors import ProviderMisbehaved, ProviderRefused, ProviderUnavailable, StoreUnavailable
from bff.telemetry import tokens as telemetry

KEY = "0123456789abcdef"
GONE = ProviderUnavailable("gone", provider="work")


def test_a_refresh_is_logged_and_counted() -> None:
    """Its outcome is `ok`."""
    with capture_logs() as events, counted() as counts:
        telemetry.refreshed(provider="work", session_key=KEY)
    assert events == [{"event": "session.refreshed", "log_level": "info", "provider": "work", "session": "01234567"}]
    assert counts == {("bff_refreshes_total", "work", "ok"): 1}


def test_a_failed_refresh_names_class_and_reason() -> None:
    """The outcome is the error's class; the reason is the code on the wire or the error's own word, if it has one."""
    errors = [
        (ProviderRefused("no", provider="work", error="invalid_grant"), "invalid_grant"),
        (ProviderMisbehaved("no", provider="work", reason="not_json"), "not_json"),
        (StoreUnavailable("gone"), None),
    ]
    for error, reason in errors:
        with capture_logs() as events, counted() as counts:
            telemetry.refresh_failed(error, provider="work", session_key=KEY)
        (event,) = events
        assert (event["event"], event["session"]) == ("session.refresh_failed", "01234567")
        assert (event["error"], event["reason"]) == (type(error).__name__, reason)
        assert counts == {("bff_refreshes_total", "work", type(error).__name__): 1}


def test_an_ended_grant_is_no_ended_session() -> None:
    """A session that still holds another provider's grant lives on; one that ends is counted where it does."""
    refused = ProviderRefused("no", provider="work", error="invalid_grant")
    with capture_logs() as events, counted() as counts:
        telemetry.grant_ended(refused, session_key=KEY)
    (event,) = events
    assert (event["event"], event["provider"], event["cause"]) == ("session.grant_ended", "work", "ProviderRefused")
    assert not counts


def test_a_token_call_is_timed_with_its_outcome() -> None:
    """A call that fails is counted under its error's class, and the error goes on."""
    with counted() as counts:
        with telemetry.token_call(provider="work", grant_type="refresh_token"):
            pass
        with (
            pytest.raises(ProviderUnavailable),
            telemetry.token_call(provider="work", grant_type="refresh_token"),
        ):
            raise GONE
    assert counts == {
        ("bff_token_call_seconds_count", "work", "refresh_token", "ok"): 1,
        ("bff_token_call_seconds_count", "work", "refresh_token", "ProviderUnavailable"): 1,
    }


def test_what_has_no_counter_is_logged() -> None:
    """Lost refreshes, revocations, the gateway's own tokens, documents and secrets are events with their facts."""
    with capture_logs() as events:
        telemetry.refresh_lost(provider="work", session_key=KEY)
        telemetry.revocation_failed(GONE, provider="work")
        telemetry.client_token_fetched(provider="work")
        telemetry.client_token_failed(GONE, provider="work")
        telemetry.document_unavailable(GONE, kept=True)
        telemetry.secret_switched(provider="work", position=1)
    assert [(event["event"], event["log_level"]) for event in events] == [
        ("session.refresh_lost", "error"),
        ("token.revocation_failed", "warning"),
        ("client_token.fetched", "info"),
        ("client_token.failed", "warning"),
        ("provider.document_unavailable", "warning"),
        ("provider.secret_switched", "info"),
    ]
    assert all(event["provider"] == "work" for event in events)
    assert events[0]["session"] == "01234567"
    failed = ("token.revocation_failed", "client_token.failed", "provider.document_unavailable")
    assert {event["reason"] for event in events if event["event"] in failed} == {GONE.reason}
