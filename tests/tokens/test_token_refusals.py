"""Refusals at a refresh that only the user can mend, and what of a session they end."""

import pytest
from structlog.testing import capture_logs

from bff.errors import LoginRequired, ProviderError, ProviderRefused
from bff.sessions.model import Target
from bff.tokens import grants
from support.fake_provider import having, oauth_error
from support.token_room import EXPIRED_AFTER, HERE, STALE_AFTER, token_room

SECOND = Target(resource="https://orders.example")


@pytest.mark.requirement("R-320")
@pytest.mark.parametrize("code", ["interaction_required", "bad_refresh_token", "user_disabled"])
@pytest.mark.parametrize("status", [400, 403])
async def test_a_users_refusal_is_a_sign_in_once_the_token_has_expired(code: str, status: int) -> None:
    """The access token serves to its end; then the answer is "sign in", and the provider is not asked in a loop."""
    async with token_room() as room:
        session = await room.sign_in()
        room.corp.misbehave(answers={"/token": oauth_error(code, status=status)})
        room.clock.advance(STALE_AFTER)
        assert await room.usable(session) == session.grants[0].access_token(HERE)
        await room.settled()
        current = await room.stored(session.key)
        assert await room.usable(current) == session.grants[0].access_token(HERE)
        assert not grants.ended(current.grants[0], now=room.clock())
        room.clock.advance(EXPIRED_AFTER - STALE_AFTER)
        with pytest.raises(LoginRequired) as caught:
            await room.usable(current)
        assert caught.value.reason == code
        assert grants.ended(current.grants[0], now=room.clock())
        assert len(room.refreshes()) == 1


@pytest.mark.requirement("R-320")
@pytest.mark.parametrize("code", ["invalid_client", "invalid_scope", "unsupported_grant_type"])
async def test_an_operators_refusal_is_no_sign_in(code: str) -> None:
    """An error that the operator has to mend stays the gateway's: 502, and the session waits for it."""
    async with token_room() as room:
        session = await room.sign_in()
        room.corp.misbehave(answers={"/token": oauth_error(code)})
        room.clock.advance(EXPIRED_AFTER)
        with pytest.raises(ProviderRefused):
            await room.usable(session)
        assert await room.stored(session.key) == session


@pytest.mark.requirement("R-321")
@pytest.mark.parametrize("code", ["invalid_grant", "consent_required"])
async def test_a_refusal_of_one_target_ends_that_target_only(code: str) -> None:
    """A second API without consent is refused; the first one's token serves and is renewed."""
    async with token_room() as room:
        session = await room.sign_in()
        room.corp.answer_next("/token", oauth_error(code))
        with pytest.raises(LoginRequired):
            await room.usable(session, target=SECOND)
        current = await room.stored(session.key)
        with pytest.raises(LoginRequired):
            await room.usable(current, target=SECOND)
        assert await room.usable(current) == session.grants[0].access_token(HERE)
        room.clock.advance(EXPIRED_AFTER)
        assert (await room.usable(current)).expires_at == room.clock() + 600
        assert len(room.refreshes()) == 2


@pytest.mark.requirement("R-321")
async def test_the_last_target_that_is_refused_takes_the_grant_with_it() -> None:
    """`invalid_grant` while no other access token lives means that the refresh token is dead."""
    async with token_room() as room:
        session = await room.sign_in()
        room.corp.answer_next("/token", oauth_error("invalid_grant"), oauth_error("invalid_grant"))
        with pytest.raises(LoginRequired):
            await room.usable(session, target=SECOND)
        room.clock.advance(EXPIRED_AFTER)
        with pytest.raises(LoginRequired):
            await room.usable(await room.stored(session.key))
        assert await room.find(session.key) is None


@pytest.mark.requirement("R-323")
async def test_a_later_authentication_moves_the_sessions() -> None:
    """A refreshed ID token with a later auth_time is kept, and an earlier one than that is refused from then on."""
    async with token_room() as room:
        session = await room.sign_in()
        room.corp.misbehave(refreshed_id_token_claims=having(auth_time=int(room.clock()) + 600))
        room.clock.advance(EXPIRED_AFTER)
        await room.usable(session)
        current = await room.stored(session.key)
        assert current.grants[0].auth_time == session.grants[0].granted_at + 600
        room.corp.misbehave(refreshed_id_token_claims=having(auth_time=int(room.clock()) - 10))
        room.clock.advance(EXPIRED_AFTER)
        with pytest.raises(LoginRequired) as caught:
            await room.usable(current)
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
    async with token_room() as room:
        session = await room.sign_in()
        room.corp.misbehave(refreshed_id_token_claims=having(**times))
        room.clock.advance(EXPIRED_AFTER)
        with capture_logs() as logs:
            token = await room.usable(session)
        assert (await room.stored(session.key)).grants[0].access_token(HERE) == token
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
    async with token_room() as room:
        session = await room.sign_in()
        room.corp.misbehave(**fault)
        room.clock.advance(EXPIRED_AFTER)
        with capture_logs() as logs, pytest.raises((LoginRequired, ProviderError)):
            await room.usable(session)
        assert [entry["reason"] for entry in logs if entry["event"] == "session.refresh_failed"] == [reason]


@pytest.mark.requirement("R-347")
async def test_a_tokens_life_counts_from_before_the_call() -> None:
    """An answer that comes three seconds late brings a token that is three seconds old."""
    async with token_room() as room:
        session = await room.sign_in()
        room.clock.advance(EXPIRED_AFTER)
        sent_at = room.clock()
        room.corp.hold("/token")
        asked = room.start_usable(session)
        await room.token_calls_reach(1)
        room.clock.advance(3)
        room.corp.release("/token")
        assert (await asked).expires_at == sent_at + 600
