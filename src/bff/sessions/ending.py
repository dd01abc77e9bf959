"""Which sessions to end when a user, or a sign-in at a provider, is over.

A sign-in takes the grants of the session before it over into a new one, and only then ends the old. Who asked for the sessions
in between was told of the old one alone; so it is asked again until nothing new turns up.
"""

from collections.abc import AsyncIterator

from bff.sessions.store import SessionStore


async def sessions_to_end(
    store: SessionStore, *, issuer: str, subject: str | None = None, sid: str | None = None
) -> AsyncIterator[str]:
    """The keys of all sessions with a grant from `issuer` for this subject or this `sid`, each once; the caller ends each
    before it asks for the next.

    Raises:
        StoreUnavailable: nobody can tell.
    """
    told: set[str] = set()
    while found := set(await store.find(issuer=issuer, subject=subject, sid=sid)) - told:
        told |= found
        for key in found:
            yield key
