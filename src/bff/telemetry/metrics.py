"""The definitions of all metrics. Labels hold names from the configuration and outcomes of ours, never anything a browser sent."""

import os

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

REQUESTS = Counter("bff_requests_total", "Answers to API calls, by route and status.", ["route", "status"])
PROBLEMS = Counter("bff_problems_total", "Requests answered with a problem, by its type.", ["type"])
LOGINS = Counter("bff_logins_total", "Ended sign-ins, by provider and outcome.", ["provider", "outcome"])
SESSIONS_STARTED = Counter("bff_sessions_started_total", "Sessions made by sign-ins.")
SESSIONS_ENDED = Counter(
    "bff_sessions_ended_total", "Sessions that were ended and did not just expire, by cause.", ["cause"]
)
REFRESHES = Counter(
    "bff_refreshes_total", "Refreshes of access tokens, by provider and outcome.", ["provider", "outcome"]
)
CONNECTIONS_REFUSED = Counter(
    "bff_connections_refused_total", "Browser connections closed at once because file descriptors run out."
)
TLS_HANDSHAKES_FAILED = Counter(
    "bff_tls_handshakes_failed_total", "Connections to the TLS listener that ended before their handshake was over."
)
TLS_CERTIFICATE_ENDS = Gauge(
    "bff_tls_certificate_expiry_timestamp_seconds",
    "When the certificate that browsers are shown expires (Unix time).",
    multiprocess_mode="livemin",
)
CONFIG_RELOADS = Counter(
    "bff_config_reloads_total", "Configurations that a running process was asked to take on, by outcome.", ["outcome"]
)
UPSTREAM_UP = Gauge(
    "bff_upstream_up",
    "1 if an upstream answers, 0 from a failed connection or health check to the next answer; of several workers the lowest.",
    ["upstream"],
    multiprocess_mode="livemin",
)
CLOCK_SKEW = Gauge(
    "bff_clock_skew_seconds",
    "By how much the provider's clock was ahead of ours at its last answer; negative: behind.",
    ["provider"],
    multiprocess_mode="livemostrecent",
)
SECRET_LAST_USED = Gauge(
    "bff_secret_last_used_timestamp_seconds",
    "When the secret at this position was last used, in Unix seconds; provider `session` for session keys.",
    ["provider", "position"],
    multiprocess_mode="max",
)
TOKEN_CALLS = Histogram(
    "bff_token_call_seconds", "Time of calls to a token endpoint.", ["provider", "grant_type", "outcome"]
)


def exposition() -> bytes:
    """All metrics in Prometheus' text format: of all workers if there are several (they share a folder), else of this process."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # ships no types for it
    return generate_latest(registry)
