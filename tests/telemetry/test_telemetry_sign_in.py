"""Sign-in and sign-out: one event and one count for each outcome."""

from structlog.testing import capture_logs
from tests.support.counts import counted

from bff.errors import CallbackRefused, MalformedRequest, ProviderRefused, ProviderUnavailable, StoreUnavailable
from bff.telemetry import sign_in as telemetry


def test_a_completed_sign_in_is_logged_and_counted() -> None:
    """Its outcome is `ok`."""
    with capture_logs() as events, counted() as counts:
        telemetry.login_completed(provider="work")
    assert events == [{"event": "login.completed", "log_level": "info", "provider": "work"}]
    assert counts == {("bff_logins_total", "work", "ok"): 1}


def test_a_started_sign_in_is_logged() -> None:
    """It is not counted: it has no outcome yet."""
    with capture_logs() as events, counted() as counts:
        telemetry.login_started(provider="work")
    assert events == [{"event": "login.started", "log_level": "info", "provider": "work"}]
    assert not counts


def test_a_declined_sign_in_names_its_reason() -> None:
    """The reason is the error's own word, the code on the wire, or its class; the outcome is its class."""
    errors = [
        (CallbackRefused("no", reason="state_unknown"), "state_unknown"),
        (ProviderRefused("no", provider="work", error="invalid_client"), "invalid_client"),
        (ProviderUnavailable("gone", provider="work"), "unavailable"),
    ]
    for error, reason in errors:
        with capture_logs() as events, counted() as counts:
            telemetry.login_declined(error, provider="work")
        assert events == [{"event": "login.declined", "log_level": "warning", "provider": "work", "reason": reason}]
        assert counts == {("bff_logins_total", "work", type(error).__name__): 1}


def test_an_end_is_logged_and_counted_by_its_cause() -> None:
    """The log holds eight characters of the session's key."""
    with capture_logs() as events, counted() as counts:
        telemetry.session_ended(session_key="0123456789abcdef", cause="logout")
    assert events == [{"event": "session.ended", "log_level": "info", "session": "01234567", "cause": "logout"}]
    assert counts == {("bff_sessions_ended_total", "logout"): 1}


def test_a_session_is_logged_and_counted_when_it_starts() -> None:
    """With who it is, where the operator wants that."""
    with capture_logs() as events, counted() as counts:
        telemetry.session_started(session_key="0123456789abcdef", provider="work", user="alice")
    (event,) = events
    assert (event["event"], event["session"], event["user"]) == ("session.started", "01234567", "alice")
    assert counts == {("bff_sessions_started_total",): 1}
    with capture_logs() as events, counted():
        telemetry.session_started(session_key="0123456789abcdef", provider="work", user=None)
    assert "user" not in events[0]


def test_a_back_channel_logout_is_one_event() -> None:
    """Three sessions that end by one logout token are counted where each ends."""
    with capture_logs() as events, counted() as counts:
        telemetry.backchannel_logout_done(provider="work", sessions=3)
    assert [(event["event"], event["sessions"]) for event in events] == [("backchannel_logout.done", 3)]
    assert not counts


def test_a_refused_logout_token_is_logged_with_its_reason() -> None:
    """As a declined sign-in; what could not be read is `malformed`. No session ended, so nothing is counted."""
    errors = [
        (ProviderUnavailable("gone", provider="work"), "unavailable"),
        (StoreUnavailable("gone"), "StoreUnavailable"),
        (MalformedRequest("no"), "malformed"),
    ]
    for error, reason in errors:
        with capture_logs() as events, counted() as counts:
            telemetry.backchannel_logout_refused(error, provider="work")
        assert [(event["event"], event["reason"]) for event in events] == [("backchannel_logout.refused", reason)]
        assert not counts
