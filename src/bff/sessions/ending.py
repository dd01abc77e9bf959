"""Which sessions to end when a user, or a sign-in at a provider, is over.

A sign-in copies the grants of the previous session into a new one, and then ends the old one. A search between these two steps
may find the old one only; so the search is repeated until it finds nothing new.
"""

from collections.abc import AsyncIterator

from bff.sessions.store import SessionStore


async def sessions_to_end(
    store: SessionStore, *, issuer: str, subject: str | None = None, sid: str | None = None
) -> AsyncIterator[str]:
    """The keys of all sessions with a grant from `issuer` for this subject or this `sid`, each once; the caller ends each
    before it asks for the next.

    Raises:
        StoreUnavailable: the store cannot be asked.
    """
    found_before: set[str] = set()
    while found := set(await store.find(issuer=issuer, subject=subject, sid=sid)) - found_before:
        found_before |= found
        for key in found:
            yield key
