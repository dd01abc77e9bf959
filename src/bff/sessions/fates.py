"""What became of a session, so that the log can say why a request had none (R-363): one mark for each session, beside its record.

A session that is ended leaves its cause there. One that just expires is gone from the store without a word: so its mark is made at
the sign-in, with the absolute end, and outlives it. The mark opens nothing; where it is missing, the answer is `unknown`.
"""

import contextlib

from bff.errors import StoreUnavailable
from bff.sessions.model import Session
from bff.sessions.store import SessionStore
from bff.telemetry.sign_in import session_ended, session_started

# of a session whose mark is kept to its end: a store that all sign-ins fill must not grow for weeks
LONGEST_SECONDS = 24 * 3600.0
KEPT_SECONDS = 3600.0  # after the end


async def started(store: SessionStore, session: Session, *, now: float, user: str | None) -> None:
    """A sign-in made this session."""
    session_started(session_key=session.key, provider=session.grants[0].provider, user=user)
    left = session.absolute_expires_at - now
    seconds = min(left, LONGEST_SECONDS) + KEPT_SECONDS
    await _mark(store, session.key, f"{session.absolute_expires_at:.0f}", seconds=seconds, now=now)


async def ended(store: SessionStore, key: str, *, cause: str, now: float) -> None:
    """The session of this key was ended, and did not just expire."""
    session_ended(session_key=key, cause=cause)
    await _mark(store, key, cause, seconds=KEPT_SECONDS, now=now)


async def fate(store: SessionStore, key: str, *, now: float) -> tuple[str, str | None]:
    """Why the session of this key is not there: `idle`, `absolute`, `ended` with its cause, or `unknown`."""
    try:
        noted = await store.recall(_name(key), now=now)
    except StoreUnavailable:
        return "unknown", None
    if noted is None:
        return "unknown", None
    if not noted.isdigit():
        return "ended", noted
    return ("idle" if now < float(noted) else "absolute"), None


async def _mark(store: SessionStore, key: str, noted: str, *, seconds: float, now: float) -> None:
    """The session itself is what counts: a mark that cannot be written is left out."""
    with contextlib.suppress(StoreUnavailable):
        await store.remember(_name(key), value=noted, lifetime_seconds=seconds, now=now)


def _name(key: str) -> str:
    return f"fate of session {key}"
