"""Refusals at a refresh that only the user can mend, and what of a session they end."""

import pytest
from structlog.testing import capture_logs

from bff.errors import LoginRequired, ProviderError, ProviderRefused
from bff.sessions.model import Target
from bff.tokens import grants
from support.fake_provider import having, oauth_error
from support.token_world import EXPIRED_AFTER, HERE, STALE_AFTER, token_world

SECOND = Target(resource="https://orders.example")


@pytest.mark.requirement("R-320")
@pytest.mark.parametrize("code", ["interaction_required", "bad_refresh_token", "user_disabled"])
@pytest.mark.parametrize("status", [400, 403])
async def test_a_users_refusal_is_a_sign_in_once_the_token_has_expired(code: str, status: int) -> None:
    """The access token serves to its end; then the answer is "sign in", and the provider is not asked in a loop."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.misbehave(answers={"/token": oauth_error(code, status=status)})
        world.clock.advance(STALE_AFTER)
        assert await world.usable(session) == session.grants[0].access_token(HERE)
        await world.settled()
        current = await world.stored(session.key)
        assert await world.usable(current) == session.grants[0].access_token(HERE)
        assert not grants.ended(current.grants[0], now=world.clock())
        world.clock.advance(EXPIRED_AFTER - STALE_AFTER)
        with pytest.raises(LoginRequired) as caught:
            await world.usable(current)
        assert caught.value.reason == code
        assert grants.ended(current.grants[0], now=world.clock())
        assert len(world.refreshes()) == 1


@pytest.mark.requirement("R-320")
@pytest.mark.parametrize("code", ["invalid_client", "invalid_scope", "unsupported_grant_type"])
async def test_an_operators_refusal_is_no_sign_in(code: str) -> None:
    """An error that the operator has to mend stays the gateway's: 502, and the session waits for it."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.misbehave(answers={"/token": oauth_error(code)})
        world.clock.advance(EXPIRED_AFTER)
        with pytest.raises(ProviderRefused):
            await world.usable(session)
        assert await world.stored(session.key) == session


@pytest.mark.requirement("R-321")
@pytest.mark.parametrize("code", ["invalid_grant", "consent_required"])
async def test_a_refusal_of_one_target_ends_that_target_only(code: str) -> None:
    """A second API without consent is refused; the first one's token serves and is renewed."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.answer_next("/token", oauth_error(code))
        with pytest.raises(LoginRequired):
            await world.usable(session, target=SECOND)
        current = await world.stored(session.key)
        with pytest.raises(LoginRequired):
            await world.usable(current, target=SECOND)
        assert await world.usable(current) == session.grants[0].access_token(HERE)
        world.clock.advance(EXPIRED_AFTER)
        assert (await world.usable(current)).expires_at == world.clock() + 600
        assert len(world.refreshes()) == 2


@pytest.mark.requirement("R-321")
async def test_the_last_target_that_is_refused_takes_the_grant_with_it() -> None:
    """`invalid_grant` while no other access token lives means that the refresh token is dead."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.answer_next("/token", oauth_error("invalid_grant"), oauth_error("invalid_grant"))
        with pytest.raises(LoginRequired):
            await world.usable(session, target=SECOND)
        world.clock.advance(EXPIRED_AFTER)
        with pytest.raises(LoginRequired):
            await world.usable(await world.stored(session.key))
        assert await world.find(session.key) is None


@pytest.mark.requirement("R-323")
async def test_a_later_authentication_moves_the_sessions() -> None:
    """A refreshed ID token with a later auth_time is kept, and an earlier one than that is refused from then on."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.misbehave(refreshed_id_token_claims=having(auth_time=int(world.clock()) + 600))
        world.clock.advance(EXPIRED_AFTER)
        await world.usable(session)
        current = await world.stored(session.key)
        assert current.grants[0].auth_time == session.grants[0].granted_at + 600
        world.corp.misbehave(refreshed_id_token_claims=having(auth_time=int(world.clock()) - 10))
        world.clock.advance(EXPIRED_AFTER)
        with pytest.raises(LoginRequired) as caught:
            await world.usable(current)
        assert caught.value.reason == "auth_time"


TIMES = {
    "iat an hour back": {"iat": 1_800_000_000 - 3600},
    "iat ahead": {"iat": 1_800_000_000 + 7200},
    "expired": {"exp": 1_800_000_000},
    "nbf ahead": {"nbf": 1_800_000_000 + 7200},
}


@pytest.mark.requirement("R-324")
@pytest.mark.parametrize("times", TIMES.values(), ids=TIMES.keys())
async def test_a_clock_that_disagrees_ends_no_session(times: dict[str, object]) -> None:
    """The refreshed tokens are used and kept, and an event says that it is the clock."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.misbehave(refreshed_id_token_claims=having(**times))
        world.clock.advance(EXPIRED_AFTER)
        with capture_logs() as logs:
            token = await world.usable(session)
        assert (await world.stored(session.key)).grants[0].access_token(HERE) == token
        assert [entry["reason"] for entry in logs if entry["event"] == "clock.skewed"] == ["clock"]


@pytest.mark.requirement("R-336")
@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"answers": {"/token": oauth_error("invalid_grant")}}, "invalid_grant"),
        ({"answers": {"/token": oauth_error("mfa_required")}}, "mfa_required"),
        ({"answers": {"/token": oauth_error("invalid_client", status=401)}}, "invalid_client"),
        ({"answers": {"/token": oauth_error("server_error", status=503)}}, "http_503"),
        ({"refreshed_id_token_claims": having(sub="bob")}, "sub"),
        ({"id_token_signature": "unknown_kid"}, "key_unknown"),
    ],
)
async def test_a_failed_refresh_says_why(fault: dict[str, object], reason: str) -> None:
    """The event carries the word by which the how-to explains what to do."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.misbehave(**fault)
        world.clock.advance(EXPIRED_AFTER)
        with capture_logs() as logs, pytest.raises((LoginRequired, ProviderError)):
            await world.usable(session)
        assert [entry["reason"] for entry in logs if entry["event"] == "session.refresh_failed"] == [reason]


@pytest.mark.requirement("R-347")
async def test_a_tokens_life_counts_from_before_the_call() -> None:
    """An answer that comes three seconds late brings a token that is three seconds old."""
    async with token_world() as world:
        session = await world.sign_in()
        world.clock.advance(EXPIRED_AFTER)
        sent_at = world.clock()
        world.corp.hold("/token")
        asked = world.start_usable(session)
        await world.token_calls_reach(1)
        world.clock.advance(3)
        world.corp.release("/token")
        assert (await asked).expires_at == sent_at + 600
