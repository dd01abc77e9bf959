"""The process itself: one event and one count for each outcome."""

from contextlib import suppress

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from bff.errors import ConfigError, ConfigProblem
from bff.telemetry import running as telemetry
from support.counts import counted


def test_the_processs_outcomes_are_events() -> None:
    """Start and stop, ended streams and file descriptors, each with its facts."""
    with capture_logs() as events, counted() as counts:
        telemetry.gateway_started(public_url="https://app.example")
        telemetry.streams_ended(session_key="0123456789", count=2, cause="session_ended")
        telemetry.out_of_descriptors(limit=3, connections=1)
        telemetry.gateway_stopped()
    assert events == [
        {"event": "gateway.started", "log_level": "info", "public_url": "https://app.example"},
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


def test_what_becomes_of_the_configuration_is_an_event() -> None:
    """A reload with the keys that differ, each reason against one, what it cannot change, and what weakens security."""
    problem = ConfigProblem(line=3, column=5, key="routes[0].path", message="is no path")
    with capture_logs() as events, counted() as counts:
        telemetry.insecure_switch(key="providers.corp.insecure_http")
        telemetry.cookies_shared(base_path="/bff")
        telemetry.config_reloaded(changed=["routes"])
        telemetry.config_refused(ConfigError(file="/bff.yaml", problems=(problem,)))
        telemetry.config_needs_restart(keys=["listen"])
    assert [event["event"] for event in events] == [
        "config.insecure",
        "cookies.shared",
        "config.reloaded",
        "config.refused",
        "config.needs_restart",
    ]
    assert (events[3]["file"], events[3]["line"], events[3]["key"]) == ("/bff.yaml", 3, "routes[0].path")
    assert counts == {("bff_config_reloads_total", "reloaded"): 1, ("bff_config_reloads_total", "refused"): 1}


def test_the_certificate_that_browsers_are_shown_is_told_with_its_end() -> None:
    """A pair whose end cannot be read is told without; a handshake that fails is counted only: strangers make many."""
    with capture_logs() as events, counted() as counts:
        telemetry.certificate_loaded(file="/tls.pem", expires_at=1_800_000_000.0)
        telemetry.certificate_loaded(file="/tls.pem", expires_at=None)
        telemetry.file_unusable("/tls.pem", "PEM")
        telemetry.handshake_failed()
    assert [(event["event"], event.get("expires_at")) for event in events] == [
        ("tls.certificate_loaded", "2027-01-15T08:00:00Z"),
        ("tls.certificate_loaded", None),
        ("config.file_unusable", None),
    ]
    assert counts == {("bff_tls_handshakes_failed_total",): 1}
    telemetry.in_force(providers=(), secrets=(), tls=False)
    assert REGISTRY.get_sample_value("bff_tls_certificate_expiry_timestamp_seconds") is None


def test_an_open_stream_is_counted_while_it_is_open() -> None:
    """However it ends."""
    before = telemetry.STREAMS.number
    with suppress(OSError), telemetry.stream_open():
        assert telemetry.STREAMS.number == before + 1
        raise OSError
    assert telemetry.STREAMS.number == before


def test_the_last_use_of_a_secret_is_shown_while_the_configuration_has_it() -> None:
    """After a reload without it there is nothing to show."""
    name, labels = (
        "bff_secret_last_used_timestamp_seconds",
        {"provider": "of-this-test", "position": "client_secrets[0]"},
    )
    telemetry.secret_used(provider="of-this-test", position="client_secrets[0]", at=5.0)
    assert REGISTRY.get_sample_value(name, labels) == 5.0
    telemetry.in_force(providers=(), secrets=(), tls=True)
    assert REGISTRY.get_sample_value(name, labels) is None
