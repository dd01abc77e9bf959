"""Outcomes of sign-in and sign-out."""

import structlog

from bff.errors import BffError, BrowserError, evidence
from bff.telemetry import metrics
from bff.telemetry.remedies import reason_of

log = structlog.get_logger()


def login_started(*, provider: str) -> None:
    """A browser is sent to a provider."""
    log.info("login.started", provider=provider)


def login_completed(*, provider: str) -> None:
    """A sign-in gave a session."""
    metrics.LOGINS.labels(provider, "ok").inc()
    log.info("login.completed", provider=provider)


def login_repeated(*, provider: str) -> None:
    """A callback came again, and led to where the first one led."""
    log.info("login.repeated", provider=provider)


def login_begun_again(*, provider: str, reason: str) -> None:
    """The provider did not go on with a sign-in, and the browser was sent there once more."""
    log.info("login.begun_again", provider=provider, reason=reason)


def login_not_silent(*, provider: str, reason: str) -> None:
    """A sign-in with `prompt=none` ended without one: the provider would have had to ask the user."""
    log.info("login.not_silent", provider=provider, reason=reason)


def login_declined(error: BffError, *, provider: str) -> None:
    """A callback was refused, or could not be completed."""
    outcome = type(error).__name__
    metrics.LOGINS.labels(provider, outcome).inc()
    log.warning("login.declined", provider=provider, reason=reason_of(error) or outcome, **evidence(error))


def session_started(*, session_key: str, provider: str, user: str | None) -> None:
    """A sign-in made a session; `user`: who that is, where the operator wants it in the log."""
    metrics.SESSIONS_STARTED.inc()
    who = {} if user is None else {"user": user}
    log.info("session.started", session=session_key[:8], provider=provider, **who)


def session_ended(*, session_key: str, cause: str) -> None:
    """A session was ended, and did not just expire."""
    metrics.SESSIONS_ENDED.labels(cause).inc()
    log.info("session.ended", session=session_key[:8], cause=cause)


def sign_out_not_noted(*, reason: str | None) -> None:
    """The store had no room for the note of a sign-out: it ends the sessions that it finds, and no sign-in under way learns of it."""
    log.warning("sign_out.not_noted", reason=reason)


def backchannel_logout_done(*, provider: str, sessions: int) -> None:
    """A provider reported a sign-out; so many sessions ended, each by `session_ended`."""
    log.info("backchannel_logout.done", provider=provider, sessions=sessions)


def frontchannel_logout_done(*, provider: str, sessions: int) -> None:
    """A provider's sign-out page loaded the front-channel endpoint; so many sessions ended, each by `session_ended`."""
    log.info("frontchannel_logout.done", provider=provider, sessions=sessions)


def backchannel_logout_refused(error: BffError, *, provider: str) -> None:
    """A logout token was refused, or the sessions could not be ended; `malformed`: the request held none that could be read."""
    reason = reason_of(error) or ("malformed" if isinstance(error, BrowserError) else type(error).__name__)
    log.warning("backchannel_logout.refused", provider=provider, reason=reason, **evidence(error))
