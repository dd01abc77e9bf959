"""Users' access tokens stay usable: who waits for a refresh, who does not, and that there is only one (RFC 10017 section 6.1.2.2)."""

import asyncio
import base64
import itertools

import pytest

from bff.errors import LoginRequired, ProviderMisbehaved, ProviderUnavailable
from bff.sessions.model import Target, session_key
from support.fake_provider import having, oauth_error, without
from support.token_world import EXPIRED_AFTER, HERE, IDLE_TIMEOUT, LIFETIME, STALE_AFTER, audience, token_world

ORDERS = Target(resource="http://127.0.0.1:1/orders")
RATES = Target(resource="http://127.0.0.1:1/rates")


async def test_fresh_token_is_used_without_a_call() -> None:
    """A fresh access token is handed out and the provider is not asked."""
    async with token_world() as world:
        session = await world.sign_in()
        assert await world.usable(session) == session.grants[0].access_token(HERE)
        await world.settled()
        assert world.refreshes() == []


@pytest.mark.requirement("R-130")
async def test_stale_token_is_used_and_refreshed_once_in_the_background() -> None:
    """While a stale token is refreshed, every request gets it at once, and the provider gets one call."""
    async with token_world() as world:
        session = await world.sign_in()
        world.clock.advance(STALE_AFTER)
        world.corp.hold("/token")
        old = session.grants[0].access_token(HERE)
        assert [await world.usable(session) for _ in range(50)] == [old] * 50
        await world.token_calls_reach(1)
        assert await world.usable(session) == old
        world.corp.release("/token")
        await world.settled()
        assert len(world.refreshes()) == 1
        renewed = (await world.stored(session.key)).grants[0].access_token(HERE)
        assert renewed is not None
        assert renewed.value != old.value
        assert renewed.expires_at == world.clock() + 600


@pytest.mark.requirement("R-133")
async def test_expired_token_is_waited_for_by_all_and_fetched_once() -> None:
    """A hundred requests with an expired token wait for one refresh and get its result, though the provider detects reuse."""
    async with token_world() as world:
        session = await world.sign_in()
        world.clock.advance(EXPIRED_AFTER)
        tokens = await asyncio.gather(*(world.usable(session) for _ in range(100)))
        assert len({token.value for token in tokens}) == 1
        assert tokens[0] != session.grants[0].access_token(HERE)
        assert len(world.refreshes()) == 1


@pytest.mark.requirement("R-347")
async def test_answer_that_is_older_than_its_token_is_stored_and_not_used() -> None:
    """A process is stopped while its refresh is under way: the token in the answer has expired by then, and is renewed at once."""
    async with token_world() as world:
        session = await world.sign_in()
        world.clock.advance(STALE_AFTER)
        world.corp.hold("/token")
        await world.usable(session)
        await world.token_calls_reach(1)
        world.clock.advance(EXPIRED_AFTER)
        world.corp.release("/token")
        await world.settled()
        token = (await world.stored(session.key)).grants[0].access_token(HERE)
        assert token is not None
        assert token.expires_at == world.clock() + LIFETIME
        assert len({form["refresh_token"] for form in world.refreshes()}) == 2


@pytest.mark.requirement("R-133", "R-134")
async def test_two_workers_refresh_once() -> None:
    """Of two workers with the same expired session one refreshes; the other waits, reads again and uses the result."""
    async with token_world(workers=2) as world:
        session = await world.sign_in()
        world.clock.advance(EXPIRED_AFTER)
        world.corp.hold("/token")
        asked = [asyncio.ensure_future(world.usable(session, worker=index % 2)) for index in range(100)]
        await world.token_calls_reach(1)
        world.corp.release("/token")
        tokens = await asyncio.gather(*asked)
        assert len({token.value for token in tokens}) == 1
        assert len(world.refreshes()) == 1


@pytest.mark.requirement("R-131", "R-136")
async def test_refresh_is_authenticated_and_asks_for_nothing_more() -> None:
    """A refresh carries the client's credentials once, the refresh token, and neither scope nor target beyond the route's."""
    async with token_world() as world:
        session = await world.sign_in()
        world.clock.advance(EXPIRED_AFTER)
        await world.usable(session)
        (call,) = world.corp.calls_to("/token")
        credentials = base64.b64decode((call.header("authorization") or "").removeprefix("Basic ")).decode()
        assert credentials.startswith("shop:")
        assert dict(call.form) == {
            "grant_type": "refresh_token",
            "refresh_token": session.grants[0].refresh_token,
        }
        assert call.query == ()


@pytest.mark.requirement("R-132", "R-139")
async def test_rotated_refresh_token_replaces_the_old_one() -> None:
    """A new refresh token is stored in place of the old one before the access token that came with it is used."""
    async with token_world() as world:
        session = await world.sign_in()
        stored_first: list[bool] = []

        async def note(written: object) -> None:
            stored_first.append(not waiting.done())

        world.store.on_write = note
        world.clock.advance(EXPIRED_AFTER)
        waiting = asyncio.ensure_future(world.usable(session))
        token = await waiting
        grant = (await world.stored(session.key)).grants[0]
        assert stored_first == [True]
        assert grant.access_token(HERE) == token
        assert grant.refresh_token not in {None, session.grants[0].refresh_token}
        world.clock.advance(EXPIRED_AFTER)
        await world.usable(await world.stored(session.key))
        assert [form["refresh_token"] for form in world.refreshes()] == [
            session.grants[0].refresh_token,
            grant.refresh_token,
        ]


@pytest.mark.requirement("R-132")
async def test_without_rotation_the_refresh_token_is_kept() -> None:
    """A provider that sends no new refresh token goes on with the old one."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.misbehave(rotate=False)
        for _ in range(2):
            world.clock.advance(EXPIRED_AFTER)
            await world.usable(await world.stored(session.key))
        assert {form["refresh_token"] for form in world.refreshes()} == {session.grants[0].refresh_token}
        assert len(world.refreshes()) == 2


@pytest.mark.requirement("R-138")
async def test_refresh_without_id_token() -> None:
    """A refresh answer without an ID token is fine; what the first one said stays."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.misbehave(token_answer=without("id_token"))
        world.clock.advance(EXPIRED_AFTER)
        await world.usable(session)
        grant = (await world.stored(session.key)).grants[0]
        assert grant.id_token == session.grants[0].id_token
        assert grant.claims == session.grants[0].claims


@pytest.mark.requirement("R-139")
async def test_cancelled_request_loses_nothing() -> None:
    """A browser that leaves in mid-refresh takes nothing along: the rotated refresh token is stored."""
    async with token_world() as world:
        session = await world.sign_in()
        asked = await world.refresh_under_way(session)
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        world.corp.release("/token")
        await world.settled()
        grant = (await world.stored(session.key)).grants[0]
        assert grant.refresh_token != session.grants[0].refresh_token
        assert world.corp.grants.refresh_grant(grant.refresh_token or "", client_id="shop")


@pytest.mark.requirement("R-140")
async def test_logout_during_a_slow_refresh_is_final() -> None:
    """A session that ends during its refresh stays gone, whoever waited is told to sign in, and the new refresh token is revoked."""
    async with token_world() as world:
        session = await world.sign_in()
        asked = await world.refresh_under_way(session)
        await world.store.delete(session.key)
        world.corp.release("/token")
        with pytest.raises(LoginRequired):
            await asked
        assert await world.find(session.key) is None
        (revocation,) = world.corp.calls_to("/revoke")
        revoked = dict(revocation.form)["token"]
        assert revoked != session.grants[0].refresh_token
        assert world.corp.grants.grant_of_refresh_token(revoked) is not None


@pytest.mark.requirement("R-141", "R-182")
async def test_background_refresh_keeps_no_session_alive() -> None:
    """A refresh moves neither the idle nor the absolute deadline."""
    async with token_world() as world:
        session = await world.sign_in()
        before = await world.store.read(session.key, touch=False, now=world.clock())
        world.clock.advance(STALE_AFTER)
        await world.usable(session)
        await world.settled()
        after = await world.store.read(session.key, touch=False, now=world.clock())
        assert before is not None
        assert after is not None
        assert len(world.refreshes()) == 1
        assert after.idle_expires_at == before.idle_expires_at
        assert after.session.absolute_expires_at == session.absolute_expires_at
        world.clock.advance(IDLE_TIMEOUT - STALE_AFTER)
        assert await world.find(session.key) is None


@pytest.mark.requirement("R-142")
async def test_without_a_refresh_token_the_access_token_serves_until_it_expires() -> None:
    """No refresh token: the access token is used until its expiry without a call, then a sign-in is asked for."""
    async with token_world() as world:
        world.corp.misbehave(token_answer=without("refresh_token"))
        session = await world.sign_in()
        world.clock.advance(599)
        assert await world.usable(session) == session.grants[0].access_token(HERE)
        world.clock.advance(1)
        with pytest.raises(LoginRequired) as told:
            await world.usable(session)
        assert told.value.provider == "corp"
        assert world.refreshes() == []


@pytest.mark.requirement("R-142")
async def test_target_that_only_a_refresh_could_give_is_no_reason_to_sign_in_again() -> None:
    """Without a refresh token a target that the sign-in did not cover is the provider's fault: another sign-in would loop."""
    async with token_world() as world:
        world.corp.misbehave(token_answer=without("refresh_token"))
        session = await world.sign_in()
        with pytest.raises(ProviderMisbehaved) as told:
            await world.usable(session, target=RATES)
        assert told.value.reason == "no_refresh_token"


@pytest.mark.requirement("R-143", "R-152")
async def test_tokens_go_to_the_provider_that_issued_them() -> None:
    """With two providers in one session, each gets its own refresh token and never a byte of the other's."""
    async with token_world() as world:
        session = await world.sign_in("corp", "partner")
        by_provider = {grant.provider: grant for grant in session.grants}
        world.clock.advance(EXPIRED_AFTER)
        corp, partner = await asyncio.gather(world.usable(session, "corp"), world.usable(session, "partner"))
        assert corp.value != partner.value
        for name, other in (("corp", "partner"), ("partner", "corp")):
            (form,) = world.refreshes(name)
            assert form["refresh_token"] == by_provider[name].refresh_token
            foreign = by_provider[other]
            sent = repr(world.fakes[name].calls) + repr([c.form for c in world.fakes[name].calls])
            assert foreign.refresh_token not in sent
        with pytest.raises(LoginRequired):
            await world.usable(await world.sign_in("corp"), "partner")


@pytest.mark.requirement("R-144", "R-158")
async def test_each_target_gets_its_own_token() -> None:
    """Parallel requests for two resources of one session get a token for their own resource each."""
    async with token_world() as world:
        session = await world.sign_in(resources=(ORDERS.resource or "", RATES.resource or ""))
        asked = [world.usable(session, target=(ORDERS, RATES)[index % 2]) for index in range(40)]
        tokens = await asyncio.gather(*asked)
        assert {audience(token) for token in tokens[::2]} == {ORDERS.resource}
        assert {audience(token) for token in tokens[1::2]} == {RATES.resource}
        assert sorted(form["resource"] for form in world.refreshes()) == [ORDERS.resource, RATES.resource]
        grant = (await world.stored(session.key)).grants[0]
        assert grant.access_token(ORDERS) == tokens[0]
        assert grant.access_token(RATES) == tokens[1]


@pytest.mark.requirement("R-145", "R-135")
async def test_failed_refresh_is_not_hammered() -> None:
    """However many requests ask, a provider that fails is asked again only after a pause, which grows to two seconds."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.misbehave(answers={"/token": oauth_error("temporarily_unavailable", status=503)})
        world.clock.advance(EXPIRED_AFTER)
        for _ in range(200):
            with pytest.raises(ProviderUnavailable):
                await world.usable(session)
        assert len(world.refreshes()) == 1
        due = []
        for second in range(120):
            world.clock.advance(1)
            before = len(world.refreshes())
            with pytest.raises(ProviderUnavailable):
                await world.usable(session)
            if len(world.refreshes()) > before:
                due.append(second)
        pauses = [later - earlier for earlier, later in itertools.pairwise(due)]
        assert set(pauses) <= {1, 2, 3}


@pytest.mark.requirement("R-145", "R-130")
async def test_failed_background_refresh_is_not_hammered_and_the_token_serves_on() -> None:
    """While the provider is away a stale token is used until its real expiry, with a try now and then."""
    async with token_world() as world:
        session = await world.sign_in()
        old = session.grants[0].access_token(HERE)
        world.corp.misbehave(answers={"/token": oauth_error("server_error", status=500)})
        world.clock.advance(STALE_AFTER)
        for _ in range(490):
            assert await world.usable(session) == old
            await world.settled()
            world.clock.advance(0.1)
        assert 18 <= len(world.refreshes()) <= 50


@pytest.mark.requirement("R-022")
async def test_session_does_not_outlive_its_refresh_token() -> None:
    """Where the provider says how long the refresh token lives, the sign-in ends with it, access token or not."""
    async with token_world() as world:
        world.corp.misbehave(token_answer=having(refresh_expires_in=300))
        session = await world.sign_in()
        world.clock.advance(299)
        await world.usable(session)
        world.clock.advance(1)
        with pytest.raises(LoginRequired):
            await world.usable(session)
        assert world.refreshes() == []


@pytest.mark.requirement("R-023", "R-135")
async def test_dead_refresh_token_ends_the_session() -> None:
    """`invalid_grant` ends the session in the store, and what waited is told to sign in."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.answer_next("/token", oauth_error("invalid_grant"))
        world.clock.advance(EXPIRED_AFTER)
        with pytest.raises(LoginRequired) as told:
            await world.usable(session)
        assert told.value.provider == "corp"
        assert await world.find(session.key) is None


@pytest.mark.requirement("R-023", "R-194")
async def test_dead_refresh_token_ends_only_that_providers_part() -> None:
    """`invalid_grant` of one provider leaves what another one granted."""
    async with token_world() as world:
        session = await world.sign_in("corp", "partner")
        world.corp.answer_next("/token", oauth_error("invalid_grant"))
        world.clock.advance(EXPIRED_AFTER)
        with pytest.raises(LoginRequired):
            await world.usable(session, "corp")
        left = await world.stored(session.key)
        assert [grant.provider for grant in left.grants] == ["partner"]
        assert await world.usable(left, "partner")


@pytest.mark.requirement("R-080", "R-154")
async def test_token_without_expiry_is_used_until_the_upstream_rejects_it() -> None:
    """Without `expires_in` a token is never refreshed early, but it is once the API says 401."""
    async with token_world() as world:
        world.corp.misbehave(token_answer=without("expires_in"))
        session = await world.sign_in()
        world.clock.advance(1000)
        old = await world.usable(session)
        assert world.refreshes() == []
        another = await world.instead_of(old, session)
        assert another is not None
        assert another.value != old.value
        assert len(world.refreshes()) == 1


@pytest.mark.requirement("R-080")
async def test_configured_lifetime_stands_in_for_a_missing_expires_in() -> None:
    """`default_token_lifetime` counts where the provider says nothing."""
    async with token_world(default_token_lifetime=100.0) as world:
        world.corp.misbehave(token_answer=without("expires_in"))
        session = await world.sign_in()
        token = session.grants[0].access_token(HERE)
        assert token is not None
        assert token.expires_at == world.clock() + 100


@pytest.mark.requirement("R-081")
@pytest.mark.parametrize("odd", ["600", "", "soon", 0, -5, 12.5, 1e300, None, True, [600], {"s": 1}], ids=repr)
async def test_odd_expires_in_neither_crashes_nor_means_forever(odd: object) -> None:
    """Whatever stands in `expires_in` of a refresh, the new token has an end within a year."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.misbehave(token_answer=having(expires_in=odd))
        world.clock.advance(EXPIRED_AFTER)
        token = await world.usable(session)
        assert token.expires_at is not None
        assert world.clock() <= token.expires_at <= world.clock() + 366 * 86400


@pytest.mark.requirement("R-154")
async def test_all_who_were_rejected_share_one_refresh() -> None:
    """When an API stops taking a token, the requests that it rejected at the same time all get the next one, for one call."""
    async with token_world() as world:
        session = await world.sign_in()
        old = await world.usable(session)
        others = await asyncio.gather(*(world.instead_of(old, session) for _ in range(50)))
        assert None not in others
        assert len({token.value for token in others if token}) == 1
        assert len(world.refreshes()) == 1


@pytest.mark.requirement("R-154", "R-145")
async def test_upstream_that_rejects_everything_does_not_make_us_hammer_the_provider() -> None:
    """An API that answers 401 to every token costs the provider a refresh now and then, not one for each request."""
    async with token_world() as world:
        session = await world.sign_in()
        for _ in range(100):
            current = await world.stored(session.key)
            rejected = await world.usable(current)
            await world.instead_of(rejected, current)
        assert len(world.refreshes()) == 1


@pytest.mark.requirement("R-154")
async def test_late_rejection_of_an_old_token_gets_the_newer_one_without_a_call() -> None:
    """A request that was rejected with a token that has been renewed since gets the renewed one from the store."""
    async with token_world() as world:
        session = await world.sign_in()
        old = await world.usable(session)
        newer = await world.instead_of(old, session)
        assert await world.instead_of(old, session) == newer
        assert len(world.refreshes()) == 1


async def test_nothing_else_than_a_rejected_token_when_the_grant_cannot_be_renewed() -> None:
    """Without a refresh token there is nothing to put in a rejected token's place: the API's own 401 is the answer."""
    async with token_world() as world:
        world.corp.misbehave(token_answer=without("refresh_token"))
        session = await world.sign_in()
        assert await world.instead_of(await world.usable(session), session) is None


async def test_unknown_session_is_a_sign_in_not_an_outage() -> None:
    """A refresh for a session that the store does not know asks for a sign-in."""
    async with token_world() as world:
        session = await world.sign_in()
        await world.store.delete(session.key)
        world.clock.advance(EXPIRED_AFTER)
        with pytest.raises(LoginRequired):
            await world.usable(session)
        assert world.refreshes() == []
        assert session_key("x") != session.key
