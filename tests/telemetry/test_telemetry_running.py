"""The process itself: one event and one count for each outcome."""

from structlog.testing import capture_logs
from tests.support.counts import counted

from bff.telemetry import running as telemetry


def test_the_processs_outcomes_are_events() -> None:
    """Start and stop, the store's changes, ended streams and file descriptors, each with its facts."""
    with capture_logs() as events, counted() as counts:
        telemetry.gateway_started(public_url="https://app.example")
        telemetry.changes_interrupted()
        telemetry.changes_resumed()
        telemetry.streams_ended(session_key="0123456789", count=2, cause="session_ended")
        telemetry.out_of_descriptors(limit=3, connections=1)
        telemetry.gateway_stopped()
    assert events == [
        {"event": "gateway.started", "log_level": "info", "public_url": "https://app.example"},
        {"event": "store.changes_interrupted", "log_level": "warning"},
        {"event": "store.changes_heard", "log_level": "info"},
        {"event": "streams.ended", "log_level": "info", "session": "01234567", "count": 2, "cause": "session_ended"},
        {"event": "server.out_of_descriptors", "log_level": "error", "limit": 3, "connections": 1},
        {"event": "gateway.stopped", "log_level": "info"},
    ]
    assert not counts


def test_each_refused_connection_is_counted() -> None:
    """The event comes from time to time, the count every time."""
    with capture_logs() as events, counted() as counts:
        telemetry.connection_refused()
        telemetry.connection_refused()
    assert not events
    assert counts == {("bff_connections_refused_total",): 2}
