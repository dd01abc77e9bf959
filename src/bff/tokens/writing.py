"""Changing a stored session on condition (invariant 6): the change is made to its newest version, or not at all."""

from collections.abc import Callable

from bff.clock import Clock
from bff.sessions.model import Session
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
