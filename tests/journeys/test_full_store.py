"""A store that takes no more (`maxmemory` with `noeviction`): each of the gateway's writes, one after the other."""

from collections.abc import AsyncIterator

import pytest

from support.fake_provider import shop
from support.gateway_world import GatewayWorld, gateway_world
from support.http_client import http_client
from support.valkey_server import ValkeyServer


@pytest.fixture
async def store() -> AsyncIterator[ValkeyServer]:
    """A server of its own."""
    with ValkeyServer("--maxmemory-policy", "noeviction") as server:
        yield server


@pytest.fixture
async def world(store: ValkeyServer) -> AsyncIterator[GatewayWorld]:
    """A gateway on it."""
    async with gateway_world(store=store.url) as world:
        yield world


def fill(store: ValkeyServer) -> None:
    """It takes nothing from now on."""
    store.ask("CONFIG", "SET", "maxmemory", "1mb")


def make_room(store: ValkeyServer) -> None:
    """It takes everything again."""
    store.ask("CONFIG", "SET", "maxmemory", "0")


@pytest.mark.requirement("R-340", "R-190")
async def test_who_is_signed_in_is_served_and_refreshes_wait(store: ValkeyServer, world: GatewayWorld) -> None:
    """A token that serves is used. One that has expired is 503, no refresh token is sent, and with room the session goes on."""
    browser = await world.signed_in("alice")
    fill(store)
    assert (await browser.fetch("/api/x")).status_code == 200
    world.clock.now += 601
    before = len(world.token_calls("refresh_token"))
    assert (await browser.fetch("/api/x")).status_code == 503
    assert len(world.token_calls("refresh_token")) == before
    make_room(store)
    world.clock.now += 10
    assert (await browser.fetch("/api/x")).status_code == 200


@pytest.mark.requirement("R-190")
async def test_who_signs_in_is_told_and_may_try_again(store: ValkeyServer, world: GatewayWorld) -> None:
    """The callback is a 503; with room the same browser signs in."""
    browser = await world.browser()
    fill(store)
    answer = await world.sign_in(browser, "alice")
    assert answer.status_code == 503
    make_room(store)
    assert (await world.sign_in(browser, "alice")).status_code == 200
    assert (await browser.fetch("/api/x")).status_code == 200


@pytest.mark.requirement("R-190", "R-205")
@pytest.mark.parametrize("how", ["logout", "sessions", "back channel"])
async def test_sign_outs_are_done(store: ValkeyServer, world: GatewayWorld, how: str) -> None:
    """To end a session takes no room: its user, another browser of that user, and the provider can."""
    browser, other = await world.signed_in("alice"), await world.signed_in("alice")
    fill(store)
    if how == "logout":
        assert (await browser.fetch("/bff/logout", method="POST")).status_code == 200
    elif how == "sessions":
        assert (await other.fetch("/bff/sessions", method="DELETE")).status_code == 204
    else:
        token = world.corp.logout_token(shop(), subject="alice", sid=None)
        async with http_client(timeout=20) as provider:
            told = await provider.post(f"{world.url}/bff/backchannel-logout/corp", data={"logout_token": token})
        assert told.status_code == 200
    make_room(store)
    assert (await browser.fetch("/api/x")).status_code == 401
