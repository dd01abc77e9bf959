"""What the store does: one event or sample for each outcome."""

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from bff.telemetry import stores as telemetry
from bff.telemetry.remedies import REMEDIES


def test_interrupted_changes_are_an_event_with_a_remedy() -> None:
    """A reason that has no remedy of its own is an event, too; and so is the end of the interruption."""
    with capture_logs() as events:
        telemetry.changes_interrupted(reason="store_permissions")
        telemetry.changes_interrupted(reason="another")
        telemetry.changes_resumed()
    interrupted = {"event": "store.changes_interrupted", "log_level": "warning"}
    assert events == [
        {**interrupted, "reason": "store_permissions", "remedy": REMEDIES["store_permissions"]},
        {**interrupted, "reason": "another", "remedy": None},
        {"event": "store.changes_heard", "log_level": "info"},
    ]


@pytest.mark.parametrize(("believed", "reason"), [(True, "store"), (False, "store_too_far")])
def test_a_clock_that_differs_is_an_event(believed: bool, reason: str) -> None:
    """It says by how much, and whether that is believed."""
    with capture_logs() as events:
        telemetry.clock_compared(seconds=-12.34, believed=believed)
    assert events == [{"event": "clock.skewed", "log_level": "warning", "reason": reason, "seconds": -12.3}]


def test_a_session_that_is_ended_again_is_named_by_its_beginning() -> None:
    """The whole key is in no log."""
    with capture_logs() as events:
        telemetry.ended_again(session_key="0123456789abcdef")
    assert events == [{"event": "session.ended_again", "log_level": "warning", "session": "01234567"}]


@pytest.mark.parametrize(("answered", "outcome"), [(True, "ok"), (False, "unavailable")])
def test_a_call_to_the_store_is_counted_by_operation_and_outcome(answered: bool, outcome: str) -> None:
    """With its seconds."""

    def seconds() -> float:
        labels = {"operation": "a test", "outcome": outcome}
        return REGISTRY.get_sample_value("bff_store_seconds_sum", labels) or 0.0

    before = seconds()
    telemetry.store_asked(operation="a test", seconds=0.5, answered=answered)
    assert seconds() - before == 0.5
