"""Which sessions end with a user's sign-out, on every store: also one that is only just taking over."""

import pytest

from bff.sessions.ending import sessions_to_end
from bff.sessions.store import SessionStore
from support.session_samples import ISSUER, NOW, a_grant, a_session


@pytest.mark.requirement("R-213")
async def test_every_session_of_the_subject_is_told_once(store: SessionStore) -> None:
    """All of the user's sessions and nobody else's, each once; none is no failure."""
    mine = {(await store.create(a_session(), now=NOW)).key for _ in range(3)}
    await store.create(a_session(a_grant(subject="bob-subject", sid="bob-sid")), now=NOW)
    told = [key async for key in sessions_to_end(store, issuer=ISSUER, subject="alice-subject")]
    assert len(told) == 3
    assert set(told) == mine
    assert [key async for key in sessions_to_end(store, issuer=ISSUER, sid="nobody's")] == []


@pytest.mark.requirement("R-213", "R-183")
async def test_a_session_that_takes_over_meanwhile_ends_too(store: SessionStore) -> None:
    """A sign-in elsewhere that takes the grant over between the question and the end does not save it."""
    before, after = a_session(), a_session()
    await store.create(before, now=NOW)
    ended = []
    async for key in sessions_to_end(store, issuer=ISSUER, sid="alice-sid"):
        if key == before.key:
            await store.create(after, now=NOW)
            await store.delete(before.key)
        ended.append((key, await store.delete(key)))
    assert ended == [(before.key, False), (after.key, True)]
