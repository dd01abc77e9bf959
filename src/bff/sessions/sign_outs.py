"""Sign-outs of which a sign-in under way must learn: its code is with the provider, so there is no session yet that could be ended.

Each side takes two steps, in this order, so that at least one of them sees the other:

    sign-out   notes itself here, then ends the sessions that it finds
    sign-in    keeps its session, then looks for a sign-out that was noted since its code was sent; if there is one, the session ends

A sign-out is noted under what it names: a `sid` or a subject of an issuer, or the ids of the browser whose user signed out. A note is
no proof of anything and opens nothing. `since`, as what is noted, is by the clock that all processes share
(`SessionStore.shared_instant`), `now` by ours: with clocks a minute apart, a sign-out within that minute was missed, or a sign-in
after it refused.

Where the store has no room for it the sign-out goes on, and an event says so: to end a session takes
no room.
"""

import asyncio
from collections.abc import Iterable

from bff.errors import StoreUnavailable
from bff.sessions.model import Grant
from bff.sessions.store import SessionStore
from bff.telemetry.sign_in import sign_out_not_noted

KEPT_SECONDS = 1800.0  # longer than the calls of any sign-in take


async def note_user(
    store: SessionStore, *, issuer: str, subject: str | None = None, sid: str | None = None, now: float
) -> None:
    """The provider reports that the session of this `sid`, or without one all of this subject, are over."""
    await _note(store, _of_subject(issuer, subject) if sid is None else _of_sid(issuer, sid), now=now)


async def note_browser(store: SessionStore, ids: Iterable[bytes], *, now: float) -> None:
    """The user of this browser signs out; `ids` are those under which its sign-ins may have begun."""
    await asyncio.gather(*(_note(store, _of_browser(browser), now=now) for browser in ids))


async def user_since(store: SessionStore, grant: Grant, *, since: float, now: float) -> bool:
    """Whether the provider of this grant reported a sign-out of its user, or of its `sid`, after `since`.

    Raises:
        StoreUnavailable: that is not known.
    """
    of_subject = [] if grant.subject is None else [_of_subject(grant.issuer, grant.subject)]
    of_sid = [] if grant.sid is None else [_of_sid(grant.issuer, grant.sid)]
    return await _any_since(store, [*of_subject, *of_sid], since=since, now=now)


async def browser_since(store: SessionStore, browser: bytes, *, since: float, now: float) -> bool:
    """Whether the user of the browser with this id signed out after `since`.

    Raises:
        StoreUnavailable: that is not known.
    """
    return await _any_since(store, [_of_browser(browser)], since=since, now=now)


async def _any_since(store: SessionStore, names: list[str], *, since: float, now: float) -> bool:
    noted = await asyncio.gather(*(store.recall(name, now=now) for name in names))
    return any(float(at) > since for at in noted if at is not None)


async def _note(store: SessionStore, name: str, *, now: float) -> None:
    try:
        value = str(await store.shared_instant(now))
        await store.remember(name, value=value, lifetime_seconds=KEPT_SECONDS, now=now)
    except StoreUnavailable as unavailable:
        sign_out_not_noted(reason=unavailable.reason)


def _of_browser(browser: bytes) -> str:
    return f"sign-out of browser {browser.hex()}"


def _of_subject(issuer: str, subject: str | None) -> str:
    return f"sign-out of subject {subject} of {issuer}"


def _of_sid(issuer: str, sid: str) -> str:
    return f"sign-out of sid {sid} of {issuer}"
