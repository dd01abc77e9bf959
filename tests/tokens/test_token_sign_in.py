"""Keeping a sign-in: a new session id each time, and nothing of another user (ASVS V7.2.4)."""

import asyncio

import pytest

from bff.errors import LoginRequired
from bff.sessions.model import session_key
from bff.sessions.store import Mark
from bff.tokens.holder import token_hash
from bff.tokens.sign_in import keep_sign_in
from support.token_world import ABSOLUTE_TIMEOUT, EXPIRED_AFTER, HERE, token_world


@pytest.mark.requirement("R-180", "R-035")
async def test_session_ids_are_long_and_never_alike() -> None:
    """A session id carries 256 random bits, and no two are alike."""
    async with token_world() as world:
        grant = await world.grant()
        ids = {await world.keep(grant) for _ in range(200)}
        assert len(ids) == 200
        assert {len(one) for one in ids} == {43}


@pytest.mark.requirement("R-063")
async def test_sign_in_makes_a_new_session_and_the_old_one_dies() -> None:
    """After a sign-in the previous session id opens nothing."""
    async with token_world() as world:
        before = await world.sign_in()
        after = await world.stored(session_key(await world.keep(await world.grant(), previous=before)))
        assert after.key != before.key
        assert await world.find(before.key) is None
        assert [grant.provider for grant in after.grants] == ["corp"]
        assert after.grants[0].refresh_token != before.grants[0].refresh_token


@pytest.mark.requirement("R-063")
async def test_previous_session_that_is_gone_does_no_harm() -> None:
    """A previous session that ended while the user was at the provider contributes nothing."""
    async with token_world() as world:
        before = await world.sign_in("corp", "partner")
        await world.store.delete(before.key)
        after = await world.stored(session_key(await world.keep(await world.grant(), previous=before)))
        assert [grant.provider for grant in after.grants] == ["corp"]


@pytest.mark.requirement("R-183", "R-213")
async def test_sign_out_of_the_previous_session_during_a_sign_in_is_final() -> None:
    """A session that ends in another tab, or by a provider's word, just as it is replaced leaves nothing in its successor."""
    async with token_world() as world:
        before = await world.sign_in("partner")
        grant = await world.grant("corp")
        world.store.on_create = lambda _: world.store.delete(before.key)
        after = await world.stored(session_key(await world.keep(grant, previous=before)))
        assert [grant.provider for grant in after.grants] == ["corp"]


async def test_what_a_sign_out_ended_during_a_sign_in_is_left_to_the_sign_out() -> None:
    """Another user takes the place of a session that ends meanwhile: whoever ended it revokes its tokens, and nobody twice."""
    async with token_world() as world:
        alice = await world.sign_in("corp", "partner", user="alice")
        world.store.on_create = lambda _: world.store.delete(alice.key)
        kept = await world.keep_all(await world.grant("corp", "bob"), previous=alice)
        assert kept.left_behind == ()


@pytest.mark.requirement("R-194")
async def test_second_provider_joins_and_carried_grants_keep_the_earlier_deadline() -> None:
    """Signing in at a second provider keeps the first one's grant, and does not lengthen its time."""
    async with token_world() as world:
        first = await world.sign_in("corp")
        world.clock.advance(60)
        both = await world.stored(session_key(await world.keep(await world.grant("partner"), previous=first)))
        assert [grant.provider for grant in both.grants] == ["partner", "corp"]
        assert both.grants[1] == first.grants[0]
        assert both.absolute_expires_at == first.absolute_expires_at
        assert await world.find(first.key) is None


async def test_signing_in_again_at_the_only_provider_starts_the_clock_anew() -> None:
    """Nothing is carried over, so the new session has its whole time."""
    async with token_world() as world:
        first = await world.sign_in("corp")
        world.clock.advance(60)
        again = await world.stored(session_key(await world.keep(await world.grant("corp"), previous=first)))
        assert again.absolute_expires_at == world.clock() + ABSOLUTE_TIMEOUT


async def test_same_user_again_keeps_the_other_providers_grant() -> None:
    """The same user signing in again at one provider stays signed in at the other."""
    async with token_world() as world:
        both = await world.sign_in("corp", "partner")
        kept = await world.keep_all(await world.grant("corp"), previous=both)
        again = await world.stored(session_key(kept.session_id))
        assert [grant.provider for grant in again.grants] == ["corp", "partner"]
        assert kept.left_behind == ()
        assert again.absolute_expires_at == both.absolute_expires_at


@pytest.mark.requirement("R-066")
async def test_another_user_takes_nothing_over() -> None:
    """When somebody else signs in at a provider, nothing that the first user held anywhere stays."""
    async with token_world() as world:
        alice = await world.sign_in("corp", "partner", user="alice")
        kept = await world.keep_all(await world.grant("corp", "bob"), previous=alice)
        bob = await world.stored(session_key(kept.session_id))
        assert [(grant.provider, grant.subject) for grant in bob.grants] == [("corp", "bob")]
        assert kept.left_behind == alice.grants
        assert await world.find(alice.key) is None
        assert bob.absolute_expires_at == world.clock() + ABSOLUTE_TIMEOUT


@pytest.mark.requirement("R-066")
async def test_another_user_takes_nothing_over_where_the_first_grant_has_ended() -> None:
    """The session remembers who was signed in at a provider whose grant is over, also through a sign-in at another one."""
    async with token_world() as world:
        alice = await world.sign_in("corp", "partner", user="alice")
        await world.store.replace(alice.without_grant("corp"), now=world.clock())
        again = await world.stored(session_key(await world.keep(await world.grant("partner", "alice"), previous=alice)))
        assert [grant.provider for grant in again.grants] == ["partner"]
        bob = await world.stored(session_key(await world.keep(await world.grant("corp", "bob"), previous=again)))
        assert [(grant.provider, grant.subject) for grant in bob.grants] == [("corp", "bob")]
        assert bob.earlier_users == ()


@pytest.mark.requirement("R-066")
async def test_the_first_user_comes_back_to_what_is_left_after_a_grant_has_ended() -> None:
    """The same user signing in again where the grant was over keeps what other providers granted."""
    async with token_world() as world:
        alice = await world.sign_in("corp", "partner", user="alice")
        await world.store.replace(alice.without_grant("corp"), now=world.clock())
        both = await world.stored(session_key(await world.keep(await world.grant("corp", "alice"), previous=alice)))
        assert [grant.provider for grant in both.grants] == ["corp", "partner"]
        assert both.earlier_users == ()


@pytest.mark.requirement("R-066", "R-341")
async def test_another_user_takes_nothing_over_where_the_first_token_may_be_spent() -> None:
    """A grant that stays behind, because another process is renewing it, still says who was signed in there."""
    async with token_world() as world:
        alice = await world.sign_in("corp", "partner", user="alice")
        corp = alice.grant("corp")
        assert corp is not None
        mark = Mark(provider="corp", token_hash=token_hash(corp.refresh_token or ""))
        await world.store.begin_renewal(
            alice.key, "a dead process", lifetime_seconds=0.0, mark=mark, mark_lifetime_seconds=600
        )
        bob = await world.stored(session_key(await world.keep(await world.grant("corp", "bob"), previous=alice)))
        assert [(grant.provider, grant.subject) for grant in bob.grants] == [("corp", "bob")]


@pytest.mark.requirement("R-066", "R-140")
async def test_refresh_under_way_ends_before_the_session_changes_hands() -> None:
    """A sign-in waits for a refresh under way: what it carries over holds the rotated refresh token, not the spent one."""
    async with token_world() as world:
        first = await world.sign_in("corp")
        grant = await world.grant("partner")
        asked = await world.refresh_under_way(first)
        keeping = asyncio.ensure_future(world.keep(grant, previous=first))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not keeping.done()
        world.corp.release("/token")
        token = await asked
        both = await world.stored(session_key(await keeping))
        carried = both.grant("corp")
        assert carried is not None
        assert carried.access_token(HERE) == token
        assert carried.refresh_token != first.grants[0].refresh_token


@pytest.mark.requirement("R-066")
async def test_old_view_of_a_session_that_changed_hands_gets_no_new_token() -> None:
    """A request that still holds the previous session's view is told to sign in once its token has expired."""
    async with token_world() as world:
        alice = await world.sign_in("corp", user="alice")
        await world.keep(await world.grant("corp", "bob"), previous=alice)
        world.corp.calls.clear()
        world.clock.advance(EXPIRED_AFTER)
        with pytest.raises(LoginRequired):
            await world.usable(alice)
        assert world.refreshes() == []


@pytest.mark.requirement("R-341")
async def test_a_grant_whose_token_may_be_spent_is_not_carried_over() -> None:
    """What a process that died may have spent is not taken into the new session, from which it would be sent once more."""
    async with token_world() as world:
        before = await world.sign_in("partner")
        mark = Mark(provider="partner", token_hash=token_hash(before.grants[0].refresh_token or ""))
        await world.store.begin_renewal(
            before.key, "a dead process", lifetime_seconds=0.0, mark=mark, mark_lifetime_seconds=600
        )
        session_id = await world.keep(await world.grant("corp"), previous=before)
        after = await world.stored(session_key(session_id))
        assert [grant.provider for grant in after.grants] == ["corp"]


@pytest.mark.requirement("R-341", "R-342")
async def test_a_refresh_that_hangs_does_not_hold_up_a_sign_in() -> None:
    """Its grant stays behind in the old session, and what its answer brings is revoked; the new session holds what was signed in."""
    async with token_world() as world:
        before = await world.sign_in("partner")
        refreshing = await world.refresh_under_way(before, name="partner")
        kept = await keep_sign_in(
            world.store,
            grant=await world.grant("corp"),
            previous_key=before.key,
            absolute_timeout_seconds=ABSOLUTE_TIMEOUT,
            now=world.clock(),
            patience_seconds=0.05,
        )
        world.fakes["partner"].release("/token")
        with pytest.raises(LoginRequired):
            await refreshing
        after = await world.stored(session_key(kept.session_id))
        assert [grant.provider for grant in after.grants] == ["corp"]
        assert await world.find(before.key) is None
        assert world.fakes["partner"].calls_to("/revoke")
