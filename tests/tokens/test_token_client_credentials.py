"""The gateway's own access tokens (RFC 6749 section 4.4): fetched once, renewed early, never mixed up."""

import asyncio

import pytest
from structlog.testing import capture_logs

from bff.errors import ProviderError, ProviderRefused, ProviderUnavailable
from bff.sessions.model import AccessToken, Target
from support.fake_provider import having, oauth_error, without
from support.token_world import TokenWorld, audience, token_world

RATES = Target(scope="rates:read")
A = Target(resource="http://127.0.0.1:1/a")
B = Target(resource="http://127.0.0.1:1/b")


def own_calls(world: TokenWorld, name: str = "corp") -> list[dict[str, str]]:
    """The forms of the client-credentials calls that a provider got."""
    forms = [dict(call.form) for call in world.fakes[name].calls_to("/token")]
    return [form for form in forms if form["grant_type"] == "client_credentials"]


async def own(world: TokenWorld, name: str = "corp", target: Target = RATES) -> AccessToken:
    """What a request on a `token: client` route gets."""
    return await world.workers[0].client_credentials.usable(provider=name, target=target)


@pytest.mark.requirement("R-165")
async def test_hundred_cold_requests_make_one_call() -> None:
    """A hundred requests that come before there is a token share one authenticated call."""
    async with token_world() as world:
        tokens = await asyncio.gather(*(own(world) for _ in range(100)))
        assert len({token.value for token in tokens}) == 1
        assert own_calls(world) == [{"grant_type": "client_credentials", "scope": "rates:read"}]
        assert (world.corp.calls_to("/token")[0].header("authorization") or "").startswith("Basic ")


@pytest.mark.requirement("R-165")
async def test_token_is_kept_and_renewed_early_in_the_background() -> None:
    """The token serves many requests, and a stale one serves on while the next is fetched."""
    async with token_world() as world:
        first = await own(world)
        assert [await own(world) for _ in range(20)] == [first] * 20
        world.clock.advance(550)
        world.corp.hold("/token")
        assert [await own(world) for _ in range(20)] == [first] * 20
        await world.token_calls_reach(2)
        world.corp.release("/token")
        await world.settled()
        assert await own(world) != first
        assert len(own_calls(world)) == 2


@pytest.mark.requirement("R-165")
async def test_expired_token_is_not_used() -> None:
    """After its expiry the old token is never handed out, even if there is no new one."""
    async with token_world() as world:
        first = await own(world)
        world.clock.advance(600)
        world.corp.answer_next("/token", oauth_error("server_error", status=500))
        with pytest.raises(ProviderUnavailable):
            await own(world)
        world.clock.advance(2)
        assert await own(world) != first


@pytest.mark.requirement("R-166", "R-025")
async def test_each_provider_and_target_has_its_own_token() -> None:
    """Tokens are kept by provider, scope, resource and audience: no two routes that differ in one share a token."""
    async with token_world() as world:
        wanted = [
            (name, target)
            for name in ("corp", "partner")
            for target in (RATES, A, B, Target(), Target(audience="a"), Target(scope="rates:read", resource=A.resource))
        ]
        asked = [own(world, name, target) for name, target in wanted for _ in range(3)]
        tokens = await asyncio.gather(*asked)
        assert len({token.value for token in tokens}) == len(wanted)
        for name in ("corp", "partner"):
            assert len(own_calls(world, name)) == len(wanted) // 2
        assert audience(await own(world, "corp", A)) == A.resource
        assert audience(await own(world, "corp", B)) == B.resource


@pytest.mark.requirement("R-166")
async def test_never_a_users_token() -> None:
    """A user's token for the same target is not the gateway's, nor the other way round."""
    async with token_world() as world:
        session = await world.sign_in()
        users = await world.usable(session)
        ours = await own(world, "corp", Target())
        assert users.value != ours.value
        assert await world.usable(session) == users


@pytest.mark.requirement("R-168", "R-154")
async def test_rejected_token_is_dropped_and_fetched_once() -> None:
    """When an upstream rejects the token, all who were rejected get the next one, for one call."""
    async with token_world() as world:
        first = await own(world)
        ours = world.workers[0].client_credentials
        others = await asyncio.gather(*(ours.instead_of(first, provider="corp", target=RATES) for _ in range(30)))
        assert None not in others
        assert {token.value for token in others if token} == {(await own(world)).value}
        assert await ours.instead_of(first, provider="corp", target=RATES) == await own(world)
        assert len(own_calls(world)) == 2


@pytest.mark.requirement("R-168", "R-145")
async def test_upstream_that_rejects_everything_costs_little() -> None:
    """An upstream that always says 401 makes us fetch a token now and then, not for each request."""
    async with token_world() as world:
        ours = world.workers[0].client_credentials
        for _ in range(100):
            await ours.instead_of(await own(world), provider="corp", target=RATES)
        assert len(own_calls(world)) <= 3


@pytest.mark.requirement("R-168")
async def test_rejected_token_is_not_handed_out_while_there_is_no_other() -> None:
    """A token that an upstream rejected is not used again when the provider gives no other one."""
    async with token_world() as world:
        first = await own(world)
        world.corp.misbehave(answers={"/token": oauth_error("server_error", status=500)})
        assert await world.workers[0].client_credentials.instead_of(first, provider="corp", target=RATES) is None
        with pytest.raises(ProviderError):
            await own(world)


@pytest.mark.requirement("R-145", "R-274")
async def test_failing_provider_is_not_hammered_and_the_reason_is_kept() -> None:
    """However many requests ask, a refusal is asked for again only after a pause; the log names the provider and no secret."""
    async with token_world() as world:
        world.corp.misbehave(answers={"/token": oauth_error("invalid_scope")})
        with capture_logs() as logs:
            with pytest.raises(ProviderRefused) as told:
                await own(world)
            for _ in range(50):
                with pytest.raises(ProviderUnavailable):
                    await own(world)
        assert told.value.error == "invalid_scope"
        assert len(own_calls(world)) == 1
        assert [(entry["event"], entry["reason"]) for entry in logs] == [("client_token.failed", "invalid_scope")]
        assert "a secret of the shop" not in repr(logs)


@pytest.mark.requirement("R-080", "R-081")
@pytest.mark.parametrize(
    "edit",
    [without("expires_in"), having(expires_in=1e300), having(expires_in="soon"), having(expires_in=-1)],
    ids=["none", "huge", "a word", "negative"],
)
async def test_odd_lifetimes_do_no_harm(edit: object) -> None:
    """No `expires_in`, or an odd one: the token is handed out, and never asked for in a circle."""
    async with token_world() as world:
        world.corp.misbehave(token_answer=edit)
        assert await own(world)
        await world.settled()
        assert len(own_calls(world)) == 1
