"""The definitions of all metrics. Labels hold names from the configuration and outcomes of ours, never anything a browser sent."""

import os
from collections.abc import Container, Iterable, Iterator
from contextlib import suppress
from glob import glob
from math import inf, isfinite, nan

from prometheus_client import (
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from bff import __version__
from bff.telemetry.tallies import BOUNDS, Count, Tally

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which no query here needs


class TalliedHistogram(Histogram):
    """A histogram that is poured into; the tallies are kept by its labels."""

    def __init__(self, name: str, documentation: str, labelnames: Iterable[str] = (), **more: object) -> None:
        self._tallies: dict[tuple[str, ...], Tally] = {}
        super().__init__(name, documentation, labelnames, **{"buckets": BOUNDS, **more})  # type: ignore[arg-type]  # handed on

    def tally(self, *labels: str) -> Tally:
        """The tally under these labels, always the same one."""
        found = self._tallies.get(labels)
        if found is None:
            found = self._tallies[labels] = Tally()
        return found

    def pour(self) -> None:
        """Take over what was tallied."""
        for labels, tally in self._tallies.items():
            child = self.labels(*labels)
            buckets, seconds = tally.take()
            for bucket, number in zip(child._buckets, buckets, strict=True):
                if number:
                    bucket.inc(number)
            child._sum.inc(seconds)

    def collect(self) -> Iterable[Metric]:
        """Pour, and collect."""
        spread()
        self.pour()
        return super().collect()


class TalliedCounter(Counter):
    """A counter that is poured into."""

    def __init__(self, name: str, documentation: str, labelnames: Iterable[str] = (), **more: object) -> None:
        self._tallies: dict[tuple[str, ...], Count] = {}
        super().__init__(name, documentation, labelnames, **more)  # type: ignore[arg-type]  # handed on

    def tally(self, *labels: str) -> Count:
        """The count under these labels, always the same one."""
        found = self._tallies.get(labels)
        if found is None:
            found = self._tallies[labels] = Count()
        return found

    def pour(self) -> None:
        """Take over what was counted."""
        for labels, count in self._tallies.items():
            number, count.number = count.number, 0
            self.labels(*labels).inc(number)

    def collect(self) -> Iterable[Metric]:
        """Pour, and collect."""
        spread()
        self.pour()
        return super().collect()


class TalliedGauge(Gauge):
    """What is there now, in `count`."""

    def __init__(self, name: str, documentation: str, labelnames: Iterable[str] = (), **more: object) -> None:
        self.count = Count()
        super().__init__(name, documentation, labelnames, **{"multiprocess_mode": "livesum", **more})  # type: ignore[arg-type]  # handed on

    def pour(self) -> None:
        """Take over the number."""
        self.set(self.count.number)

    def collect(self) -> Iterable[Metric]:
        """Pour, and collect."""
        self.pour()
        return super().collect()


# What a worker writes for a thing that is gone, by how the gauges of several workers become one: it yields to every other value.
_GONE = {"livemin": inf, "max": -inf, "livemostrecent": nan}


class PassingGauge(Gauge):
    """A gauge of things that a reload of the configuration may take away. One that is gone has no sample."""

    def retire(self, *labels: str) -> None:
        """It is gone."""
        (self.labels(*labels) if labels else self).set(_GONE[self._multiprocess_mode])

    def keep(self, labels: Container[tuple[str, ...]]) -> None:
        """Everything but this is gone."""
        for known in tuple(self._metrics):
            if known not in labels:
                self.retire(*known)

    def collect(self) -> Iterable[Metric]:
        """What is there."""
        return map(_present, super().collect())


class _OfAllWorkers(MultiProcessCollector):
    """The metrics of all workers, without what is gone in all of them."""

    def collect(self) -> Iterator[Metric]:
        files = _files_begun(os.environ["PROMETHEUS_MULTIPROC_DIR"])
        return map(_present, self.merge(files, accumulate=True))  # type: ignore[no-untyped-call]  # ships no types for it


def _files_begun(folder: str) -> list[str]:
    """Without those of a worker that is just beginning: prometheus_client makes a file, then gives it a size and a head."""
    found = []
    for file in glob(os.path.join(folder, "*.db")):
        with suppress(FileNotFoundError):  # of a worker that has just ended
            if os.path.getsize(file):
                found.append(file)
    return found


def _present(metric: Metric) -> Metric:
    metric.samples = [sample for sample in metric.samples if isfinite(sample.value)]
    return metric


REQUESTS = TalliedCounter("bff_requests_total", "Answers to API calls, by route and status.", ["route", "status"])
REQUEST_SECONDS = TalliedHistogram(
    "bff_request_seconds", "Time from the head of a request to the end of its answer.", ["route", "status"]
)
UPSTREAM_SECONDS = TalliedHistogram(
    "bff_upstream_seconds", "Time from a request to an upstream to the head of its answer.", ["route"]
)
IN_FLIGHT = TalliedGauge("bff_requests_in_flight", "Requests that are being answered.")
STREAMS = TalliedGauge("bff_streams_open", "WebSockets and event streams that are open.")
STORE_SECONDS = TalliedHistogram(
    "bff_store_seconds", "Time of calls to the session store, by operation and outcome.", ["operation", "outcome"]
)
BUILD_INFO = Gauge("bff_build_info", "Always 1; the version that runs.", ["version"], multiprocess_mode="max")
BUILD_INFO.labels(__version__).set(1)
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
TLS_CERTIFICATE_ENDS = PassingGauge(
    "bff_tls_certificate_expiry_timestamp_seconds",
    "When the certificate that browsers are shown expires (Unix time).",
    multiprocess_mode="livemin",
)
TLS_CERTIFICATE_ENDS.retire()  # until there is one
CONFIG_RELOADS = Counter(
    "bff_config_reloads_total", "Configurations that a running process was asked to take on, by outcome.", ["outcome"]
)
UPSTREAM_UP = PassingGauge(
    "bff_upstream_up",
    "1 if an upstream answers, 0 from a failed connection or health check to the next answer; of several workers the lowest.",
    ["upstream"],
    multiprocess_mode="livemin",
)
CLOCK_SKEW = PassingGauge(
    "bff_clock_skew_seconds",
    "By how much the provider's clock was ahead of ours at its last answer; negative: behind.",
    ["provider"],
    multiprocess_mode="livemostrecent",
)
SECRET_LAST_USED = PassingGauge(
    "bff_secret_last_used_timestamp_seconds",
    "When the secret at this position was last used, in Unix seconds; provider `session` for session keys.",
    ["provider", "position"],
    multiprocess_mode="max",
)
TOKEN_CALLS = Histogram(
    "bff_token_call_seconds", "Time of calls to a token endpoint.", ["provider", "grant_type", "outcome"]
)


_at_once: dict[tuple[str, int], Tally] = {}


def at_once(route: str, status: int) -> Tally:
    """The tally of calls that the lane answers in one piece: one observation there is an answer, a request and an upstream's time."""
    return _at_once.setdefault((route, status), Tally())


def spread() -> None:
    """Share out what `at_once` has tallied."""
    for (route, status), tally in _at_once.items():
        buckets, seconds = tally.take()
        REQUESTS.tally(route, str(status)).number += sum(buckets)
        REQUEST_SECONDS.tally(route, f"{status // 100}xx").add(buckets, seconds)
        UPSTREAM_SECONDS.tally(route).add(buckets, seconds)


def pour() -> None:
    """Take over what the data path has counted: with several workers, before any of them shows the files of all."""
    spread()
    for metric in (REQUESTS, REQUEST_SECONDS, UPSTREAM_SECONDS, IN_FLIGHT, STREAMS, STORE_SECONDS):
        metric.pour()


def forget_worker(pid: int) -> None:
    """A worker is gone, however it ended: what it had under way, and what it saw of upstreams, is no more."""
    mark_process_dead(pid)  # type: ignore[no-untyped-call]  # ships no types for it


def exposition() -> bytes:
    """All metrics in Prometheus' text format: of all workers if there are several (they share a folder), else of this process."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    _OfAllWorkers(registry)  # type: ignore[no-untyped-call]  # ships no types for it
    return generate_latest(registry)
