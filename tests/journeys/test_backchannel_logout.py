"""Being signed out by the provider (Back-Channel Logout 1.0): whom a logout token ends, once, and whom it leaves alone."""

import asyncio
from typing import Any

import httpx2
import pytest

from support.fake_provider import having, shop
from support.gateway_world import GatewayWorld, gateway_world
from support.http_client import http_client
from support.valkey_server import ValkeyServer


async def deliver(world: GatewayWorld, token: str, *, to: str = "corp", **more: str) -> httpx2.Response:
    """The provider's call: from a server, without cookie or header of ours."""
    async with http_client(timeout=20) as provider:
        return await provider.post(f"{world.url}/bff/backchannel-logout/{to}", data={"logout_token": token, **more})


@pytest.mark.requirement("R-205", "R-213", "R-214")
async def test_a_provider_signs_its_user_out(world: GatewayWorld) -> None:
    """A logout token by `sub` ends all sessions of that user and nobody else's; without cookie or header; 200 and no-store."""
    alices = [await world.signed_in("alice") for _ in range(3)]
    bob = await world.signed_in("bob")
    subject = (await alices[0].fetch("/bff/user")).json()["claims"]["sub"]
    token = world.corp.logout_token(shop(), subject=subject, sid=None)
    stranger = await world.browser()
    answer = await deliver(world, token, x="y")
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    for alice in alices:
        assert (await alice.fetch("/api/x")).status_code == 401
    assert (await bob.fetch("/api/x")).status_code == 200
    assert (await deliver(world, token)).status_code == 200
    assert (await stranger.http.get(f"{world.url}/bff/backchannel-logout/corp")).status_code == 405


@pytest.mark.requirement("R-215")
@pytest.mark.parametrize(("scope", "revoked"), [("openid", True), ("openid offline_access", False)])
async def test_what_was_granted_for_the_session_is_revoked_with_it(scope: str, revoked: bool) -> None:
    """Refresh tokens end with the session unless they were asked for to outlive it (Back-Channel Logout section 2.7)."""
    async with gateway_world(corp={"scope": scope}) as world:
        world.corp.misbehave(token_answer=having(refresh_token="bobs"))
        bob = await world.signed_in("bob")
        world.corp.misbehave(token_answer=having(refresh_token="alices"))
        alice = await world.signed_in("alice")
        token = world.corp.logout_token(shop(), subject="alice", sid=None)
        assert (await deliver(world, token)).status_code == 200
        await world.app.process.tasks.close(grace_seconds=10)
        told = [dict(call.form)["token"] for call in world.corp.calls if call.path == "/revoke"]
        assert ("alices" in told) is revoked
        assert "bobs" not in told
        assert (await alice.fetch("/api/x")).status_code == 401
        assert (await bob.fetch("/api/x")).status_code == 200


@pytest.mark.requirement("R-206", "R-210", "R-214")
@pytest.mark.parametrize(
    "claims",
    [
        lambda claims: {**claims, "nonce": "x"},
        lambda claims: {**claims, "aud": "other"},
        lambda claims: {**claims, "events": {}},
        lambda claims: {name: value for name, value in claims.items() if name != "iat"},
    ],
)
async def test_a_bad_logout_token_signs_nobody_out(world: GatewayWorld, claims: Any) -> None:
    """A logout token that fails a check is 400 and ends nothing."""
    browser = await world.signed_in("alice")
    subject = (await browser.fetch("/bff/user")).json()["claims"]["sub"]
    world.corp.misbehave(logout_token_claims=claims)
    token = world.corp.logout_token(shop(), subject=subject, sid=None)
    assert (await deliver(world, token)).status_code == 400
    assert (await browser.fetch("/api/x")).status_code == 200


@pytest.mark.requirement("R-212")
@pytest.mark.parametrize("store", ["memory", "valkey"])
async def test_a_logout_token_delivered_again_leaves_the_next_session_alone(store: str, valkey: ValkeyServer) -> None:
    """A replay after a new sign-in is a success that does nothing; the next token of the same user ends the new session."""
    async with gateway_world(store=valkey.url if store == "valkey" else "memory://") as world:
        browser = await world.signed_in("alice")
        token = world.corp.logout_token(shop(), subject="alice", sid=None)
        assert (await deliver(world, token)).status_code == 200
        assert (await browser.fetch("/api/x")).status_code == 401
        await world.sign_in(browser, "alice")
        replayed = await asyncio.gather(*(deliver(world, token) for _ in range(5)))
        assert {answer.status_code for answer in replayed} == {200}
        assert (await browser.fetch("/api/x")).status_code == 200
        assert (await deliver(world, world.corp.logout_token(shop(), subject="alice", sid=None))).status_code == 200
        assert (await browser.fetch("/api/x")).status_code == 401


@pytest.mark.requirement("R-212", "R-214")
async def test_deliveries_at_once_all_succeed(valkey: ValkeyServer) -> None:
    """However often a logout token comes at the same time, everybody is told that it is done, and it is."""
    async with gateway_world(store=valkey.url) as world:
        alices = [await world.signed_in("alice") for _ in range(3)]
        token = world.corp.logout_token(shop(), subject="alice", sid=None)
        answers = await asyncio.gather(*(deliver(world, token) for _ in range(10)))
        assert {answer.status_code for answer in answers} == {200}
        assert {(await alice.fetch("/api/x")).status_code for alice in alices} == {401}


@pytest.mark.requirement("R-212", "R-214")
async def test_a_delivery_that_failed_can_be_repeated(valkey: ValkeyServer) -> None:
    """While the store does not answer it is 400 and nothing is remembered: the same token works later."""
    async with gateway_world(store=valkey.url, session={"local_copy": "off"}) as world:
        browser = await world.signed_in("alice")
        token = world.corp.logout_token(shop(), subject="alice", sid=None)
        valkey.pause()
        try:
            refused = await deliver(world, token)
            assert refused.status_code == 400
            assert refused.headers["cache-control"] == "no-store"
        finally:
            valkey.go_on()
        assert (await browser.fetch("/api/x")).status_code == 200
        assert (await deliver(world, token)).status_code == 200
        assert (await browser.fetch("/api/x")).status_code == 401


@pytest.mark.requirement("R-212")
async def test_two_providers_may_count_alike(world: GatewayWorld) -> None:
    """A `jti` that another provider used before is still new at this one."""
    world.corp.misbehave(logout_token_claims=having(jti="1"))
    world.partner.misbehave(logout_token_claims=having(jti="1"))
    browser = await world.signed_in("alice")
    partners = world.partner.logout_token(shop(), subject="alice", sid=None)
    assert (await deliver(world, partners, to="partner")).status_code == 200
    assert (await browser.fetch("/api/x")).status_code == 200
    assert (await deliver(world, world.corp.logout_token(shop(), subject="alice", sid=None))).status_code == 200
    assert (await browser.fetch("/api/x")).status_code == 401
