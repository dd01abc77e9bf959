"""Upstreams and the store: an event and a number for what becomes of them."""

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from bff.telemetry import stores, upstreams
from support.counts import counted

ORIGIN = "http://orders.of-this-test:8000"


def is_up() -> float | None:
    """What the metrics show of the upstream; None: nothing."""
    return REGISTRY.get_sample_value("bff_upstream_up", {"upstream": ORIGIN})


def test_an_upstream_is_shown_while_the_configuration_names_it() -> None:
    """It begins as it was before a reload, goes out and comes back with an event each, and is gone in the end."""
    with capture_logs() as events:
        upstreams.known(ORIGIN, is_out=True)
        assert is_up() == 0
        upstreams.known(ORIGIN, is_out=False)
        assert is_up() == 1
        upstreams.left_out(ORIGIN, reason="refused")
        assert is_up() == 0
        upstreams.back(ORIGIN)
        assert is_up() == 1
        upstreams.gone(ORIGIN)
        assert is_up() is None
        upstreams.file_unusable("/ca.pem", "empty")
    assert [(event["event"], event.get("reason")) for event in events] == [
        ("upstream.left_out", "refused"),
        ("upstream.back", None),
        ("config.file_unusable", "empty"),
    ]


def test_each_call_to_the_store_is_measured_by_what_it_is_and_whether_it_was_answered() -> None:
    """One for each command or script."""
    with counted() as counts:
        stores.store_asked(operation="read", seconds=0.1, answered=True)
        stores.store_asked(operation="read", seconds=1.0, answered=False)
    assert counts == {
        ("bff_store_seconds_count", "read", "ok"): 1,
        ("bff_store_seconds_count", "read", "unavailable"): 1,
    }
