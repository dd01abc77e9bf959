"""A store that goes back by a write, as after a failover, does not make this process send a spent refresh token."""

import pytest

from bff.errors import LoginRequired
from bff.sessions.model import Session
from bff.tokens.recent_grants import MAX_REMEMBERED, REMEMBERED_SECONDS, RecentGrants
from support.fake_internet import FakeClock
from support.session_samples import a_grant, a_session
from support.token_room import EXPIRED_AFTER, HERE, TokenRoom, token_room

SHORT = 20  # an access token's lifetime


async def refreshed(room: TokenRoom, key: str) -> Session:
    """The session after one more refresh."""
    room.clock.advance(SHORT + 1)
    await room.usable(await room.stored(key))
    return await room.stored(key)


@pytest.mark.requirement("R-340")
@pytest.mark.parametrize("writes", [1, 2])
async def test_the_next_refresh_uses_the_newest_token(writes: int) -> None:
    """The store lacks the last write, or the last two: what was written is written again, and its refresh token is the one that is
    sent."""
    async with token_room(lifetime_seconds=SHORT) as room:
        before = await room.sign_in()
        for _ in range(writes):
            newest = await refreshed(room, before.key)
        room.store.go_back(before)
        after = await refreshed(room, before.key)
        sent = [form["refresh_token"] for form in room.refreshes()]
        assert sent[-1] == newest.grants[0].refresh_token
        assert len(set(sent)) == len(sent) == writes + 1
        assert after.grants[0].refresh_token not in sent


@pytest.mark.requirement("R-340")
async def test_what_was_lost_is_written_again_when_changes_resume() -> None:
    """No request has to come for it: other processes would send the old one."""
    async with token_room(workers=2) as room:
        before = await room.sign_in()
        room.clock.advance(EXPIRED_AFTER)
        token = await room.usable(before)
        room.store.go_back(before)
        room.workers[0].shared.kept.changes_resumed()
        await room.settled()
        assert (await room.stored(before.key)).grants[0].access_token(HERE) == token
        assert await room.usable(await room.stored(before.key), worker=1) == token


@pytest.mark.requirement("R-340")
async def test_a_session_that_ended_stays_away() -> None:
    """A store that has lost the session, or an empty one, gets nothing back."""
    async with token_room(lifetime_seconds=SHORT) as room:
        session = await room.sign_in()
        session = await refreshed(room, session.key)
        await room.store.delete(session.key)
        room.workers[0].shared.kept.changes_resumed()
        await room.settled()
        assert await room.find(session.key) is None
        room.clock.advance(SHORT + 1)
        with pytest.raises(LoginRequired):
            await room.usable(session)


async def nothing() -> None:
    """What is to be done if the session is gone."""


def test_grants_are_remembered_for_a_minute_and_in_bounds() -> None:
    """Older ones are forgotten, and the oldest of too many."""
    clock = FakeClock()
    recent = RecentGrants(clock=clock)
    old, new = a_grant(canary="old"), a_grant(canary="new")
    for number in range(MAX_REMEMBERED + 1):
        recent.note(new, used=old, session=a_session(key=f"{number}"), discard=nothing)
    assert recent.newer_than(old, "0") is None
    assert recent.newer_than(old, "1") is not None
    assert recent.newer_than(new, "1") is None
    clock.advance(REMEMBERED_SECONDS)
    assert list(recent.places()) == []


def test_a_refresh_token_that_stayed_is_not_remembered() -> None:
    """To send it again is right."""
    recent = RecentGrants(clock=FakeClock())
    recent.note(a_grant(), used=a_grant(), session=a_session(), discard=nothing)
    assert list(recent.places()) == []
