"""A store that goes back by a write, as after a failover, does not make this process send a spent refresh token."""

import pytest

from bff.errors import LoginRequired
from bff.sessions.model import Session
from bff.tokens.recent_grants import MAX_REMEMBERED, REMEMBERED_SECONDS, RecentGrants
from support.fake_internet import FakeClock
from support.session_samples import a_grant, a_session
from support.token_world import EXPIRED_AFTER, HERE, STALE_AFTER, TokenWorld, token_world

SHORT = 20  # an access token's lifetime


async def refreshed(world: TokenWorld, key: str) -> Session:
    """The session after one more refresh."""
    world.clock.advance(SHORT + 1)
    await world.usable(await world.stored(key))
    return await world.stored(key)


@pytest.mark.requirement("R-340")
@pytest.mark.parametrize("writes", [1, 2])
async def test_the_next_refresh_uses_the_newest_token(writes: int) -> None:
    """The store lacks the last write, or the last two: what was written is written again, and its refresh token is the one that is
    sent."""
    async with token_world(lifetime_seconds=SHORT) as world:
        before = await world.sign_in()
        for _ in range(writes):
            newest = await refreshed(world, before.key)
        world.store.go_back(before)
        after = await refreshed(world, before.key)
        sent = [form["refresh_token"] for form in world.refreshes()]
        assert sent[-1] == newest.grants[0].refresh_token
        assert len(set(sent)) == len(sent) == writes + 1
        assert after.grants[0].refresh_token not in sent


@pytest.mark.requirement("R-340")
async def test_what_was_lost_is_written_again_when_changes_resume() -> None:
    """No request has to come for it: other processes would send the old one."""
    async with token_world(workers=2) as world:
        before = await world.sign_in()
        world.clock.advance(EXPIRED_AFTER)
        token = await world.usable(before)
        world.store.go_back(before)
        world.workers[0].shared.kept.changes_resumed()
        await world.settled()
        assert (await world.stored(before.key)).grants[0].access_token(HERE) == token
        assert await world.usable(await world.stored(before.key), worker=1) == token


@pytest.mark.requirement("R-340", "R-341")
@pytest.mark.parametrize("seen", ["interrupted", "resumed"])
async def test_what_may_be_spent_is_not_sent_before_others_could_write(seen: str) -> None:
    """A process that wrote nothing finds the older refresh token, and an access token that is stale: it uses that one for a moment, so
    that the process that has the newer one can write it. A process that hears of no changes does not wait for ever."""
    async with token_world(workers=2) as world:
        before = await world.sign_in()
        world.clock.advance(STALE_AFTER)
        await world.usable(before)
        await world.settled()
        newest = await world.stored(before.key)
        other = world.workers[1].shared.kept
        other.changes_interrupted()
        world.store.go_back(before)
        if seen == "resumed":
            other.changes_resumed()
        assert await world.usable(before, worker=1) == before.grants[0].access_token(HERE)
        await world.settled()
        assert len(world.refreshes()) == 1
        world.workers[0].shared.kept.changes_resumed()
        await world.settled()
        assert (await world.stored(before.key)).grants == newest.grants
        world.clock.advance(STALE_AFTER)
        await world.usable(await world.stored(before.key), worker=1)
        await world.settled()
        assert [form["refresh_token"] for form in world.refreshes()][1:] == [newest.grants[0].refresh_token]


@pytest.mark.requirement("R-340")
async def test_a_process_that_starts_holds_nothing_off() -> None:
    """It hears changes for the first time: a stale token is renewed at once."""
    async with token_world() as world:
        session = await world.sign_in()
        world.clock.advance(STALE_AFTER)
        world.workers[0].shared.kept.changes_resumed()
        await world.usable(session)
        await world.settled()
        assert len(world.refreshes()) == 1


@pytest.mark.requirement("R-340")
async def test_a_token_that_expires_before_the_store_has_settled_is_renewed() -> None:
    """To wait would not help: its refresh token would be sent then."""
    async with token_world(lifetime_seconds=6) as world:
        session = await world.sign_in()
        world.clock.advance(5)
        world.workers[0].shared.kept.changes_interrupted()
        world.workers[0].shared.kept.changes_resumed()
        await world.usable(session)
        await world.settled()
        assert len(world.refreshes()) == 1


@pytest.mark.requirement("R-340")
async def test_a_session_that_ended_stays_away() -> None:
    """A store that has lost the session, or an empty one, gets nothing back."""
    async with token_world(lifetime_seconds=SHORT) as world:
        session = await world.sign_in()
        session = await refreshed(world, session.key)
        await world.store.delete(session.key)
        world.workers[0].shared.kept.changes_resumed()
        await world.settled()
        assert await world.find(session.key) is None
        world.clock.advance(SHORT + 1)
        with pytest.raises(LoginRequired):
            await world.usable(session)


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
