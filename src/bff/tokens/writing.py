"""Changing a stored session on condition (invariant 6): the change is made to its newest version, or not at all."""

from collections.abc import Callable

from bff.clock import Clock
from bff.sessions.model import Grant, Session
from bff.sessions.store import SessionStore


async def written(
    store: SessionStore, session: Session, change: Callable[[Session], Session | None], *, clock: Clock
) -> bool:
    """Apply `change` to the newest version of the session; False if the session is gone, or what was to be changed in it.

    Raises:
        StoreUnavailable: it is unknown whether it was written.
    """
    current: Session | None = session
    while current is not None:
        changed = change(current)
        if changed is None:
            return False
        if await store.replace(changed, now=clock()) is not None:
            return True
        live = await store.read(session.key, touch=False, now=clock())
        current = live.session if live else None
    return False


async def grant_written(store: SessionStore, session: Session, renewed: Grant, *, used: Grant, clock: Clock) -> bool:
    """Put `renewed` in the place of `used`, whose refresh token it was made with; False if the session, or its grant, is gone.

    A grant with another refresh token than the one used stays: an earlier try wrote ours after all, and it may have been renewed
    since. To write ours over that one would bring back a refresh token that is spent.

    Raises:
        StoreUnavailable: it is unknown whether it was written.
    """
    replaced = False

    def change(now: Session) -> Session | None:
        nonlocal replaced
        stored = now.grant(renewed.provider)
        replaced = stored is not None and stored.refresh_token != used.refresh_token
        return None if stored is None or replaced else now.with_grant(renewed)

    return await written(store, session, change, clock=clock) or replaced
