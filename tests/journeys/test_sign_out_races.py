"""Sign-outs that come while a sign-in is under way, over real sockets: no session outlives them."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from support.fake_provider import oauth_error
from support.gateway_world import GatewayWorld, gateway_world
from support.strict_browser import Browser
from support.valkey_server import ValkeyServer

LOCALHOST = "localhost"


@pytest.fixture(params=["memory", "valkey"])
async def stored(request: pytest.FixtureRequest, valkey: ValkeyServer) -> AsyncIterator[GatewayWorld]:
    """A gateway with each kind of store."""
    async with gateway_world(store="memory://" if request.param == "memory" else valkey.url) as running:
        yield running


async def sent_back(world: GatewayWorld, browser: Browser, *, provider: str = "corp") -> str:
    """Begin a sign-in of alice; the URL at which the provider sends this browser back."""
    fake = {"corp": world.corp, "partner": world.partner}[provider]
    fake.sign_in_as = "alice"
    begun = await browser.open_once(f"/bff/login?provider={provider}", from_url=world.url + "/")
    answered = await browser.open_once(begun.headers["location"], from_url=world.url + "/")
    return str(answered.headers["location"])


async def code_sent(
    world: GatewayWorld, browser: Browser, *, provider: str = "corp"
) -> "asyncio.Task[httpx2.Response]":
    """A callback whose code is with the token endpoint, which thinks until it is released."""
    fake = {"corp": world.corp, "partner": world.partner}[provider]
    url = await sent_back(world, browser, provider=provider)
    fake.hold("/token")
    calls = len(fake.calls_to("/token"))
    under_way = asyncio.create_task(browser.open_once(url, from_url=fake.issuer))
    await fake.arrived("/token", count=calls + 1)
    world.clock.now += 1
    return under_way


async def is_signed_in(browser: Browser) -> bool:
    """Whether the app's page finds a user."""
    return bool((await browser.fetch("/bff/user")).json()["authenticated"])


async def tell_of_logout(world: GatewayWorld, browser: Browser, *, sid: str | None) -> int:
    """Post alice's logout token; the status."""
    told = world.corp.build_backchannel_logout("shop", subject="alice", sid=sid)
    answer = await browser.http.post(told.url, content=told.body, headers={"content-type": told.content_type})
    return answer.status_code


@pytest.mark.requirement("R-183", "R-213")
@pytest.mark.parametrize("by_sid", [True, False])
async def test_a_back_channel_logout_during_a_sign_in_leaves_no_session(stored: GatewayWorld, by_sid: bool) -> None:
    """The provider reports the sign-out while the code is on its way: the sign-in ends on a page, and its tokens are revoked."""
    browser = await stored.browser()
    under_way = await code_sent(stored, browser)
    sid = next(iter(stored.corp._sessions.values())).sid if by_sid else None
    assert await tell_of_logout(stored, browser, sid=sid) == 200
    stored.corp.release("/token")
    refused = await under_way
    assert refused.status_code == 400
    assert "You signed out meanwhile" in refused.text
    assert not await is_signed_in(browser)
    await stored.corp.arrived("/revoke")


@pytest.mark.requirement("R-213")
async def test_a_back_channel_logout_of_another_session_does_not_touch_a_sign_in(stored: GatewayWorld) -> None:
    """Another `sid` of the same user signs out meanwhile, and this user did before: both leave the sign-in alone."""
    browser = await stored.browser()
    assert await tell_of_logout(stored, browser, sid=None) == 200
    stored.clock.now += 1
    under_way = await code_sent(stored, browser)
    assert await tell_of_logout(stored, browser, sid="another") == 200
    stored.corp.release("/token")
    assert (await under_way).status_code == 303
    assert await is_signed_in(browser)


@pytest.mark.requirement("R-183", "R-201")
async def test_a_sign_out_in_another_tab_ends_the_sign_in_that_is_under_way(stored: GatewayWorld) -> None:
    """Signed in at corp, a tab's sign-in at partner is with the provider when the person signs out: nothing is left of either."""
    browser = await stored.signed_in()
    under_way = await code_sent(stored, browser, provider="partner")
    assert (await browser.fetch("/bff/logout", method="POST")).status_code == 200
    stored.partner.release("/token")
    assert (await under_way).status_code == 400
    assert not await is_signed_in(browser)
    await stored.sign_in(browser, provider="partner")
    assert await is_signed_in(browser)


@pytest.mark.requirement("R-183", "R-201")
async def test_a_sign_out_ends_the_session_whose_cookie_is_on_its_way(stored: GatewayWorld) -> None:
    """The person signs out with the former cookie, just after a sign-in in another tab has put a new session in its place."""
    browser = await stored.signed_in()
    url = await sent_back(stored, browser, provider="partner")
    before = dict(browser.jar)
    assert (await browser.open_once(url, from_url=stored.partner.issuer)).status_code == 303
    late = {key: cookie for key, cookie in browser.jar.items() if key[0] == LOCALHOST}
    browser.jar = before
    stored.clock.now += 1
    signed_out = await browser.fetch("/bff/logout", method="POST")
    assert signed_out.json()["logout_url"].startswith(stored.partner.issuer)
    browser.jar.update(late)
    assert not await is_signed_in(browser)


@pytest.mark.requirement("R-183", "R-201")
async def test_a_sign_out_ends_the_session_of_a_sign_in_under_an_earlier_id(stored: GatewayWorld) -> None:
    """Two tabs end their sign-ins; the person signs out with the cookies of the first, those of the second are on their way."""
    browser = await stored.signed_in()
    first, second = await sent_back(stored, browser), await sent_back(stored, browser, provider="partner")
    begun = dict(browser.jar)
    assert (await browser.open_once(first, from_url=stored.corp.issuer)).status_code == 303
    after_first, browser.jar = dict(browser.jar), begun
    assert (await browser.open_once(second, from_url=stored.partner.issuer)).status_code == 303
    late, browser.jar = {key: cookie for key, cookie in browser.jar.items() if key[0] == LOCALHOST}, after_first
    stored.clock.now += 1
    assert (await browser.fetch("/bff/logout", method="POST")).status_code == 200
    browser.jar.update(late)
    assert not await is_signed_in(browser)


@pytest.mark.requirement("R-183", "R-201")
async def test_a_sign_out_that_finds_no_session_ends_the_sign_in_under_way(stored: GatewayWorld) -> None:
    """The session of its cookie is gone, as it is while a sign-in puts another one in its place."""
    browser, other = await stored.signed_in(), await stored.signed_in()
    under_way = await code_sent(stored, browser, provider="partner")
    assert (await other.fetch("/bff/sessions", method="DELETE")).status_code == 204
    signed_out = await browser.fetch("/bff/logout", method="POST")
    assert signed_out.json() == {"logout_url": "/"}
    stored.partner.release("/token")
    assert (await under_way).status_code == 400
    assert not await is_signed_in(browser)


@pytest.mark.requirement("R-195")
async def test_ending_the_current_session_in_the_list_is_a_sign_out(stored: GatewayWorld) -> None:
    """A sign-in of this browser that is under way then leaves no session."""
    browser = await stored.signed_in()
    under_way = await code_sent(stored, browser, provider="partner")
    (listed,) = (await browser.fetch("/bff/sessions")).json()["sessions"]
    assert (await browser.fetch(f"/bff/sessions/{listed['id']}", method="DELETE")).status_code == 204
    stored.partner.release("/token")
    assert (await under_way).status_code == 400
    assert not await is_signed_in(browser)


@pytest.mark.requirement("R-213")
@pytest.mark.parametrize("by_sid", [True, False])
async def test_a_back_channel_logout_ends_the_session_that_a_refresh_was_refused_for(
    stored: GatewayWorld, by_sid: bool
) -> None:
    """A provider ends a sign-in, and a refresh finds out before its word arrives: then the session ends, not that grant alone."""
    browser = await stored.signed_in()
    sid = next(iter(stored.corp._sessions.values())).sid if by_sid else None
    await stored.sign_in(browser, provider="partner")
    stored.clock.now += 601
    stored.corp.answer_next("/token", oauth_error("invalid_grant"))
    assert (await browser.fetch("/api/x")).status_code == 401
    assert (await browser.fetch("/partner/x")).status_code == 200
    assert await tell_of_logout(stored, browser, sid=sid) == 200
    assert (await browser.fetch("/partner/x")).status_code == 401


@pytest.mark.requirement("R-313")
async def test_a_sign_out_without_a_session_writes_nothing(valkey: ValkeyServer) -> None:
    """Anonymous calls of /login and /logout leave nothing in the store."""
    async with gateway_world(store=valkey.url) as world:
        browser = await world.browser()
        await sent_back(world, browser)
        before = set(valkey.dump())
        assert (await browser.fetch("/bff/logout", method="POST")).status_code == 200
        assert set(valkey.dump()) == before
