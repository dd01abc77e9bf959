"""Outcomes of the process itself: start and stop, changes in the store, open streams, file descriptors."""

import asyncio
import os
from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

import structlog

from bff.errors import ConfigError
from bff.telemetry import metrics

log = structlog.get_logger()

POUR_SECONDS = 1.0


def insecure_switch(*, key: str) -> None:
    """A switch that weakens security is on; written at every start."""
    log.warning("config.insecure", key=key)


def config_reloaded(*, changed: Sequence[str]) -> None:
    """Requests that begin now are served by another configuration; these keys differ."""
    metrics.CONFIG_RELOADS.labels("reloaded").inc()
    log.info("config.reloaded", changed=[*changed])


def in_force(*, providers: Iterable[str], secrets: Container[tuple[str, ...]], tls: bool) -> None:
    """The configuration in force has these: what the metrics say of others is over."""
    metrics.CLOCK_SKEW.keep({(name,) for name in providers})
    metrics.SECRET_LAST_USED.keep(secrets)
    if not tls:
        metrics.TLS_CERTIFICATE_ENDS.retire()


def config_refused(error: ConfigError) -> None:
    """A configuration cannot be run; the one in force stays."""
    metrics.CONFIG_RELOADS.labels("refused").inc()
    for problem in error.problems:
        log.error(
            "config.refused",
            file=error.file,
            line=problem.line,
            column=problem.column,
            key=problem.key,
            message=problem.message,
        )


def config_needs_restart(*, keys: Sequence[str]) -> None:
    """The file differs in these keys, which a running process cannot take on: their old values stay in force."""
    log.warning("config.needs_restart", keys=[*keys])


def certificate_loaded(*, file: str, expires_at: float | None) -> None:
    """New connections of browsers are shown this certificate."""
    if expires_at is None:
        log.info("tls.certificate_loaded", file=file)
        return
    metrics.TLS_CERTIFICATE_ENDS.set(expires_at)
    log.info("tls.certificate_loaded", file=file, expires_at=_utc(expires_at))


def file_unusable(file: str, reason: str) -> None:
    """A file that the configuration names has changed and cannot be used: what it said before stays in use."""
    log.warning("config.file_unusable", file=file, reason=reason)


def handshake_failed() -> None:
    """A connection to the TLS listener ended before its handshake was over."""
    metrics.TLS_HANDSHAKES_FAILED.inc()


def _utc(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def cookies_shared(*, base_path: str) -> None:
    """This gateway is probably not alone on its host, and its cookies have the names that every gateway's have (R-306)."""
    log.warning("cookies.shared", base_path=base_path, remedy="set session.cookie_suffix")


def gateway_started(*, public_url: str) -> None:
    """The application takes requests."""
    log.info("gateway.started", public_url=public_url)


def gateway_stopped() -> None:
    """The application has closed everything."""
    log.info("gateway.stopped")


def secret_used(*, provider: str, position: str, at: float) -> None:
    """A secret or key was last used at this instant."""
    metrics.SECRET_LAST_USED.labels(provider, position).set(at)


STREAMS = metrics.STREAMS.count  # one more for each WebSocket or event stream that is open


@contextmanager
def stream_open() -> Iterator[None]:
    """A WebSocket or an event stream is open for as long as the block lasts."""
    STREAMS.number += 1
    try:
        yield
    finally:
        STREAMS.number -= 1


async def pouring() -> None:
    """Where several workers share their metrics: show what this one has counted, once a second."""
    while "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        await asyncio.sleep(POUR_SECONDS)
        metrics.pour()


def worker_ended(*, pid: int) -> None:
    """One of several workers has ended and is replaced."""
    metrics.forget_worker(pid)


def streams_ended(*, session_key: str, count: int, cause: str) -> None:
    """Open streams were ended because their session is over."""
    log.info("streams.ended", session=session_key[:8], count=count, cause=cause)


def connection_refused() -> None:
    """A browser's connection is closed at once: hardly a file descriptor is left."""
    metrics.CONNECTIONS_REFUSED.inc()


def out_of_descriptors(*, limit: int, connections: int) -> None:
    """Connections are refused now; called from time to time, while each of them is counted by `connection_refused`."""
    log.error("server.out_of_descriptors", limit=limit, connections=connections)
