"""What goes wrong during a refresh, and what it ends: only `invalid_grant` and a forged ID token do (invariant 7)."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from bff.errors import LoginRequired, ProviderError, ProviderUnavailable
from bff.sessions.model import AccessToken
from bff.sessions.store import Begun, Mark, MarkEnd
from bff.tokens.holder import LIFETIME_SECONDS, token_hash
from bff.tokens.renewal import MARK_LIFETIME_SECONDS
from support.fake_provider import Answer, having, oauth_error, redirect, without
from support.patient_loop import hastened
from support.token_world import EXPIRED_AFTER, HERE, STALE_AFTER, TokenWorld, token_world

OUTAGES = {
    "500": Answer(status=500, body=b"<html>"),
    "502": Answer(status=502),
    "503": Answer(status=503, fields=(("retry-after", "3"),)),
    "429": oauth_error("slow_down", status=429),
    "408": Answer(status=408),
    "invalid_client": oauth_error("invalid_client", status=401),
    "unauthorized_client": oauth_error("unauthorized_client"),
    "invalid_request": oauth_error("invalid_request"),
    "invalid_scope": oauth_error("invalid_scope"),
    "temporarily_unavailable": oauth_error("temporarily_unavailable"),
    "no json": Answer(body=b"hello", content_type="text/html"),
    "redirect": redirect("http://127.0.0.1:7002/token"),
    "no error code": Answer(status=400, body=b"{}"),
    "mac token": Answer(body=b'{"access_token": "x", "token_type": "mac"}'),
    "invalid_grant as 500": oauth_error("invalid_grant", status=500),
}
AFTER_THE_BACKOFF = 2.0


@pytest.mark.requirement("R-135", "R-077", "R-084")
@pytest.mark.parametrize("fault", OUTAGES.values(), ids=OUTAGES.keys())
async def test_outage_ends_nothing(fault: Answer) -> None:
    """A stale token serves on, an expired one is an outage and no sign-out, and afterwards the same session works again."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.misbehave(answers={"/token": fault})
        world.clock.advance(STALE_AFTER)
        assert await world.usable(session) == session.grants[0].access_token(HERE)
        await world.settled()
        world.clock.advance(EXPIRED_AFTER - STALE_AFTER)
        with pytest.raises(ProviderError):
            await world.usable(session)
        assert await world.stored(session.key) == session
        world.corp.behave()
        world.clock.advance(AFTER_THE_BACKOFF * 2)
        assert await world.usable(session) != session.grants[0].access_token(HERE)
        assert world.fakes["partner"].calls_to("/token") == []


@pytest.mark.requirement("R-135")
async def test_provider_that_cannot_be_reached_ends_nothing() -> None:
    """No connection to the provider: 503, and the session stays."""
    async with token_world() as world:
        session = await world.sign_in()
        world.internet.down.add("127.0.0.1:7001")
        world.clock.advance(EXPIRED_AFTER)
        with pytest.raises(ProviderUnavailable):
            await world.usable(session)
        assert await world.stored(session.key) == session


@pytest.mark.requirement("R-135", "R-279")
async def test_provider_that_is_too_slow_ends_nothing() -> None:
    """A token endpoint that does not answer in time: 503, and the session stays."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.hold("/token")
        world.clock.advance(EXPIRED_AFTER)
        with pytest.raises(ProviderUnavailable) as told:
            await hastened(world.usable(session))
        assert told.value.reason == "still_asking"
        assert await world.stored(session.key) == session


FORGERIES = {
    "another sub": {"refreshed_id_token_claims": having(sub="bob")},
    "another iss": {"refreshed_id_token_claims": having(iss="http://127.0.0.1:7002")},
    "another aud": {"refreshed_id_token_claims": having(aud="other")},
    "aud with others": {"refreshed_id_token_claims": having(aud=["shop", "other"])},
    "another azp": {"refreshed_id_token_claims": having(azp="other")},
    "another nonce": {"refreshed_id_token_claims": having(nonce="somebody else's")},
    "earlier auth_time": {"refreshed_id_token_claims": having(auth_time=1_700_000_000)},
    "no iat": {"refreshed_id_token_claims": without("iat")},
    "no sub": {"refreshed_id_token_claims": without("sub")},
    "wrong at_hash": {"refreshed_id_token_claims": having(at_hash="AAAAAAAAAAAAAAAAAAAAAA")},
    "wrong key": {"id_token_signature": "wrong_key"},
    "none": {"id_token_signature": "none"},
    "hs256 with the public key": {"id_token_signature": "hs256_public_pem"},
    "broken signature": {"id_token_signature": "broken"},
    "unknown kid": {"id_token_signature": "unknown_kid"},
    "access token": {"id_token_header": having(typ="at+jwt")},
    "logout token": {"id_token_header": having(typ="logout+jwt")},
    "no JWT": {"id_token": lambda _: "hello"},
}


@pytest.mark.requirement("R-137")
@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES.keys())
async def test_forged_id_token_ends_the_session_and_its_access_token_is_not_used(forgery: dict[str, object]) -> None:
    """A refreshed ID token that fails a check takes the session with it; what came along is never handed out or kept."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.misbehave(**forgery)
        world.clock.advance(EXPIRED_AFTER)
        with pytest.raises(LoginRequired):
            await world.usable(session)
        assert await world.find(session.key) is None
        assert len(world.refreshes()) == 1


@pytest.mark.requirement("R-137")
@pytest.mark.parametrize(
    "claims", [{"nonce": "the-nonce"}, {"auth_time": 1_800_000_000}, {"aud": ["shop"]}, {"new": "claim"}], ids=repr
)
async def test_honest_refreshed_id_token_is_taken(claims: dict[str, object]) -> None:
    """The same nonce and auth_time, a list of one audience and unknown claims are all allowed on a refresh."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.misbehave(refreshed_id_token_claims=having(**claims))
        world.clock.advance(EXPIRED_AFTER)
        await world.usable(session)
        assert (await world.stored(session.key)).grants[0].id_token != session.grants[0].id_token


@pytest.mark.requirement("R-135", "R-139")
@pytest.mark.parametrize("cold", [True, False], ids=["keys never fetched", "keys rotated since"])
async def test_keys_that_cannot_be_fetched_now_lose_no_refresh_token(cold: bool) -> None:
    """If the provider's keys cannot be had when the refreshed ID token is judged, that is an outage: nothing is used or lost."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.misbehave(answers={"/jwks": Answer(status=503)})
        if cold:
            await _forget_keys(world)
        else:
            world.corp.rotate_keys()
        world.clock.advance(EXPIRED_AFTER)
        with pytest.raises(ProviderUnavailable):
            await world.usable(session)
        assert await world.find(session.key) is not None
        world.corp.behave()
        world.clock.advance(60)
        token = await world.usable(await world.stored(session.key))
        assert token.expires_at == world.clock() + 600


async def _forget_keys(world: TokenWorld) -> None:
    """As a worker that has just started: same store, keys never fetched."""
    from bff.provider.client import Provider

    old = world.providers["corp"]
    fresh = Provider(
        name="corp", config=old.config, redirect_uri=old.redirect_uri, clock=world.clock, transport=world.internet
    )
    world.providers["corp"] = fresh
    await old.close()


@pytest.mark.requirement("R-134")
async def test_failed_refresh_looks_again_before_it_declares_a_session_dead() -> None:
    """`invalid_grant` for a refresh token that somebody else has replaced meanwhile means: they were quicker, nobody is signed out."""
    async with token_world() as world:
        session = await world.sign_in()
        world.corp.answer_next("/token", oauth_error("invalid_grant"))
        asked = await world.refresh_under_way(session)
        theirs = AccessToken(value="theirs", expires_at=world.clock() + 600, refresh_at=world.clock() + 500)
        await world.store.replace(_renewed(session, theirs), now=world.clock())
        world.corp.release("/token")
        assert await asked == theirs
        assert (await world.stored(session.key)).grants[0].refresh_token == "their refresh token"


def _renewed(session: object, token: AccessToken) -> object:
    grant = replace(session.grants[0].with_access_token(HERE, token), refresh_token="their refresh token")
    return session.with_grant(grant)


@pytest.mark.requirement("R-139", "R-190", "R-340")
@pytest.mark.parametrize("written_all_the_same", [False, True], ids=["not written", "written, answer lost"])
async def test_store_in_trouble_loses_no_rotated_token(written_all_the_same: bool) -> None:
    """A rotated refresh token that cannot be stored serves in this process, and is stored when the store answers."""
    async with token_world() as world:
        session = await world.sign_in()
        world.store.failing_writes = 20
        world.store.written_all_the_same = written_all_the_same
        world.clock.advance(EXPIRED_AFTER)
        token = await world.usable(session)
        assert await world.usable(session) == token
        await world.settled()
        grant = (await world.stored(session.key)).grants[0]
        assert grant.access_token(HERE) == token
        assert world.corp.grants.refresh_grant(grant.refresh_token or "", client_id="shop")
        assert len(world.refreshes()) == 1


@pytest.mark.requirement("R-340", "R-341")
async def test_another_process_waits_for_what_is_not_yet_written() -> None:
    """While the new token lies in one process, another does not use the spent one; it has the new one once it is written."""
    async with token_world(workers=2) as world:
        session = await world.sign_in()
        world.store.failing_writes = 10**6
        world.clock.advance(EXPIRED_AFTER)
        token = await world.usable(session)
        theirs = world.start_usable(session, worker=1)
        for _ in range(100):
            await asyncio.sleep(0)
        assert not theirs.done()
        world.store.failing_writes = 0
        assert await theirs == token
        assert len(world.refreshes()) == 1


@pytest.mark.requirement("R-340")
async def test_what_is_not_yet_written_dies_with_its_session() -> None:
    """A sign-out while a rotated token waits to be written is final: the session stays away, and the token is revoked."""
    async with token_world() as world:
        session = await world.sign_in()
        world.store.failing_writes = 10**6
        world.clock.advance(EXPIRED_AFTER)
        await world.usable(session)
        await world.store.delete(session.key)
        world.store.failing_writes = 0
        await world.settled()
        assert await world.find(session.key) is None
        assert world.corp.calls_to("/revoke")


@pytest.mark.requirement("R-340", "R-275")
async def test_a_session_that_ends_before_the_store_answers_is_told() -> None:
    """At the session's end the rotated token is given up, and the log says so, without any token in it."""
    async with token_world() as world:
        session = await world.sign_in()
        world.store.failing_writes = 10**6
        world.clock.advance(EXPIRED_AFTER)
        with capture_logs() as logs:
            token = await world.usable(session)
            world.clock.advance(13 * 3600)
            await world.settled()
        assert [e["event"] for e in logs] == ["session.write_delayed", "session.refresh_lost"]
        assert not {session.grants[0].refresh_token, token.value} & set(repr(logs).split("'"))


@pytest.mark.requirement("R-341")
async def test_a_token_that_a_dead_process_may_have_spent_is_not_sent_again() -> None:
    """A process that dies during its call leaves a mark: others use the access token while it serves, and then say so."""
    async with token_world(workers=2) as world:
        session = await world.sign_in()
        world.clock.advance(STALE_AFTER)
        dead = await world.store.begin_renewal(
            session.key,
            "a dead process",
            lifetime_seconds=0.0,
            mark=Mark(provider="corp", token_hash=token_hash(session.grants[0].refresh_token or "")),
            mark_lifetime_seconds=600,
        )
        assert dead is Begun.YES
        assert await world.usable(session) == session.grants[0].access_token(HERE)
        world.clock.advance(EXPIRED_AFTER - STALE_AFTER)
        with pytest.raises(ProviderUnavailable) as told:
            await hastened(world.usable(session, worker=1))
        assert told.value.reason == "still_asking"
        assert world.refreshes() == []
        await world.store.end_renewal(session.key, "a dead process", provider="corp", mark=MarkEnd.DROP)


@pytest.mark.requirement("R-341")
@pytest.mark.parametrize("rotates", [False, True])
async def test_a_token_that_no_use_spends_is_sent_again_when_its_process_is_dead(rotates: bool) -> None:
    """At a provider that gave no new refresh token so far the end of the dead process's lease is enough; at another one it is not."""
    async with token_world(workers=2, timeout=0.5, lifetime_seconds=60) as world:
        world.corp.misbehave(rotate=rotates)
        session = await world.sign_in()
        world.clock.advance(61)
        for worker in (0, 1):  # both see whether it rotates
            await world.usable(await world.stored(session.key), worker=worker)
            world.clock.advance(61)
        session = await world.stored(session.key)
        world.corp.hold("/token")
        begun = world.start_usable(session)
        await world.token_calls_reach(3)
        world.clock.advance(LIFETIME_SECONDS + 1)  # no extension comes: as if the process were dead
        living = world.start_usable(session, worker=1)
        if rotates:
            with pytest.raises(ProviderUnavailable):
                await living
            assert len(world.refreshes()) == 3
        else:
            await world.token_calls_reach(4)
        world.corp.behave()
        await asyncio.gather(begun, living, return_exceptions=True)


@pytest.mark.requirement("R-341")
async def test_an_answer_that_cannot_come_any_more_is_a_sign_in() -> None:
    """After the provider's limit and a grace, the person has to sign in; the token is still not sent again."""
    async with token_world() as world:
        session = await world.sign_in()
        mark = Mark(provider="corp", token_hash=token_hash(session.grants[0].refresh_token or ""))
        await world.store.begin_renewal(
            session.key, "a dead process", lifetime_seconds=0.0, mark=mark, mark_lifetime_seconds=MARK_LIFETIME_SECONDS
        )
        world.clock.advance(EXPIRED_AFTER)
        with pytest.raises(LoginRequired) as told:
            await world.usable(session)
        assert (told.value.reason, world.refreshes()) == ("outcome_unknown", [])


@pytest.mark.requirement("R-340", "R-341")
async def test_what_was_written_after_all_is_not_written_over() -> None:
    """A write whose answer was lost took effect, and another process has renewed the token since: its newer one stays."""
    async with token_world(workers=2) as world:
        session = await world.sign_in()
        world.store.failing_writes, world.store.written_all_the_same = 1, True
        world.store.on_write = None
        world.clock.advance(EXPIRED_AFTER)
        token = await world.usable(session)
        written = await world.stored(session.key)
        assert written.grants[0].access_token(HERE) == token
        newer = replace(written.grants[0], refresh_token="renewed since")
        await world.store.replace(written.with_grant(newer), now=world.clock())
        await world.settled()
        assert (await world.stored(session.key)).grants[0].refresh_token == "renewed since"


@pytest.mark.requirement("R-342")
async def test_a_call_that_ends_without_an_answer_binds_others_for_a_pause() -> None:
    """After the limit the outcome is unknown to all processes: after a pause any of them asks again."""
    async with token_world(workers=2, timeout=10, call_limit=10, pauses={"unknown_pause_seconds": 0.0}) as world:
        session = await world.sign_in()
        world.clock.advance(EXPIRED_AFTER)
        world.corp.hold("/token")
        with pytest.raises(ProviderUnavailable):
            await hastened(world.usable(session))
        await world.settled()
        world.corp.release("/token")
        assert (await world.usable(session, worker=1)).expires_at == world.clock() + 600


@pytest.mark.requirement("R-342")
async def test_a_late_answer_is_stored() -> None:
    """A request that waited for `timeout` is told to come again; the answer that comes later is there for the next one."""
    async with token_world() as world:
        session = await world.sign_in()
        world.clock.advance(EXPIRED_AFTER)
        world.corp.hold("/token")
        with pytest.raises(ProviderUnavailable):
            await hastened(world.usable(session))
        world.corp.release("/token")
        await world.settled()
        assert (await world.stored(session.key)).grants[0].refresh_token != session.grants[0].refresh_token
        assert len(world.refreshes()) == 1


@pytest.mark.requirement("R-066", "R-139")
async def test_concurrent_change_of_the_session_is_kept() -> None:
    """A grant that another request changed meanwhile survives the write of a refresh."""
    async with token_world() as world:
        session = await world.sign_in("corp", "partner")
        asked = await world.refresh_under_way(session)
        changed = await world.store.replace(session.without_grant("partner"), now=world.clock())
        assert changed is not None
        world.corp.release("/token")
        token = await asked
        after = await world.stored(session.key)
        assert [grant.provider for grant in after.grants] == ["corp"]
        assert after.grants[0].access_token(HERE) == token


@pytest.mark.requirement("R-140")
async def test_grant_that_ended_during_its_refresh_does_not_come_back() -> None:
    """A provider's part that was removed from the session while it was refreshed stays removed."""
    async with token_world() as world:
        session = await world.sign_in("corp", "partner")
        asked = await world.refresh_under_way(session)
        await world.store.replace(session.without_grant("corp"), now=world.clock())
        world.corp.release("/token")
        with pytest.raises(LoginRequired):
            await asked
        assert [grant.provider for grant in (await world.stored(session.key)).grants] == ["partner"]
        assert world.corp.calls_to("/revoke")


@pytest.mark.requirement("R-274")
async def test_no_token_in_any_log_line() -> None:
    """Refreshed, failed, ended: none of the events holds a token."""
    async with token_world() as world:
        with capture_logs() as logs:
            session = await world.sign_in()
            world.clock.advance(EXPIRED_AFTER)
            await world.usable(session)
            current = await world.stored(session.key)
            world.corp.answer_next("/token", Answer(status=500), oauth_error("invalid_grant"))
            world.clock.advance(EXPIRED_AFTER)
            with pytest.raises(ProviderUnavailable):
                await world.usable(current)
            world.clock.advance(AFTER_THE_BACKOFF)
            with pytest.raises(LoginRequired):
                await world.usable(current)
        assert {entry["event"] for entry in logs} >= {
            "session.refreshed",
            "session.refresh_failed",
            "session.grant_ended",
        }
        for grant in (session.grants[0], current.grants[0]):
            token = grant.access_token(HERE)
            assert token is not None
            for secret in (grant.refresh_token, grant.id_token, token.value):
                assert secret not in repr(logs)
