"""Outcomes of keeping tokens usable, and of calls to providers."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from bff.clock import steady
from bff.errors import BffError, ProviderError, evidence
from bff.telemetry import metrics
from bff.telemetry.remedies import reason_of

log = structlog.get_logger()


@contextmanager
def token_call(*, provider: str, grant_type: str) -> Iterator[None]:
    """Time one call to a token endpoint and note how it ended."""
    began = steady()
    outcome = "ok"
    try:
        yield
    except ProviderError as error:
        outcome = type(error).__name__
        raise
    finally:
        metrics.TOKEN_CALLS.labels(provider, grant_type, outcome).observe(steady() - began)


def refreshed(*, provider: str, session_key: str) -> None:
    """A user's access token was renewed and stored."""
    metrics.REFRESHES.labels(provider, "ok").inc()
    log.info("session.refreshed", session=session_key[:8], provider=provider)


def refresh_failed(error: BffError, *, provider: str, session_key: str) -> None:
    """A user's access token was not renewed."""
    outcome = type(error).__name__
    reason = reason_of(error)
    metrics.REFRESHES.labels(provider, outcome).inc()
    log.warning("session.refresh_failed", session=session_key[:8], provider=provider, error=outcome, reason=reason)


def refresh_lost(*, provider: str, session_key: str) -> None:
    """A rotated refresh token could not be stored; the refresh that failed by it is counted by `refresh_failed`."""
    log.error("session.refresh_lost", session=session_key[:8], provider=provider)


def write_delayed(*, provider: str, session_key: str) -> None:
    """A renewed grant could not be stored yet: it serves in this process and is stored as soon as the store takes it."""
    log.warning("session.write_delayed", session=session_key[:8], provider=provider)


def abandoned(*, provider: str, session_key: str, cause: str) -> None:
    """The process stops while a refresh is under way (`not_answered`) or its result not stored (`not_written`)."""
    log.error("session.abandoned", session=session_key[:8], provider=provider, cause=cause)


def grant_ended(error: ProviderError, *, session_key: str) -> None:
    """What a provider granted is over; with the last grant of a session the session ends, by `session_ended`."""
    log.info("session.grant_ended", session=session_key[:8], provider=error.provider, cause=type(error).__name__)


def target_refused(*, provider: str, session_key: str, reason: str) -> None:
    """A provider renews the token of one target no more until the user signs in again; what else it granted stays."""
    log.info("session.target_refused", session=session_key[:8], provider=provider, reason=reason)


def clock_compared(*, provider: str, seconds: float, tell: bool) -> None:
    """A provider's `Date` was compared with our clock; `tell`: the difference is large, and was not told a moment ago."""
    metrics.CLOCK_SKEW.labels(provider).set(seconds)
    if tell:
        log.warning("clock.skewed", provider=provider, reason="date", seconds=round(seconds))


def clock_disagrees(*, provider: str, claim: str) -> None:
    """A refreshed ID token has a time that our clock disagrees with; it was used all the same."""
    log.warning("clock.skewed", provider=provider, reason="clock", claim=claim)


def dead_on_arrival(*, provider: str) -> None:
    """An access token had expired when its answer was read: it is not used, and fetched once more."""
    log.warning("token.dead_on_arrival", provider=provider)


def revocation_failed(error: BffError, *, provider: str) -> None:
    """A token that is not needed any more could not be revoked."""
    log.warning("token.revocation_failed", provider=provider, error=type(error).__name__, reason=reason_of(error))


def client_token_fetched(*, provider: str) -> None:
    """The gateway's own access token was fetched."""
    log.info("client_token.fetched", provider=provider)


def client_token_failed(error: ProviderError, *, provider: str) -> None:
    """The gateway's own access token was not fetched; the call is counted by `token_call`."""
    log.warning("client_token.failed", provider=provider, error=type(error).__name__, reason=reason_of(error))


def token_exchanged(*, provider: str, session_key: str) -> None:
    """A user's access token was exchanged for another."""
    log.info("token.exchanged", session=session_key[:8], provider=provider)


def token_exchange_failed(error: ProviderError, *, session_key: str) -> None:
    """A user's access token was not exchanged; the call is counted by `token_call`."""
    reason = reason_of(error)
    log.warning(
        "token.exchange_failed",
        session=session_key[:8],
        provider=error.provider,
        error=type(error).__name__,
        reason=reason,
    )


def document_unavailable(error: ProviderError, *, kept: bool) -> None:
    """A provider's metadata or keys could not be fetched; `kept`: an older copy is used."""
    facts = {"reason": reason_of(error), **evidence(error)}
    log.warning("provider.document_unavailable", provider=error.provider, kept=kept, **facts)


def secret_switched(*, provider: str, position: int) -> None:
    """A provider takes the other of two client secrets or keys now."""
    log.info("provider.secret_switched", provider=provider, position=position)
