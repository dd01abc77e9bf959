"""What a sign-in under way rests on, `state` and the login cookie: nothing lies in the store, nothing forged, moved or old passes."""

import asyncio
from base64 import urlsafe_b64decode
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest

from support.gateway_world import GatewayWorld, gateway_world
from support.strict_browser import Browser, Cookie
from support.valkey_server import ValkeyServer

SESSION = "__Host-Http-bff"
LOGIN = "__Host-Http-bff-login"


async def begun(world: GatewayWorld, browser: Browser, *, provider: str = "corp", return_to: str = "/") -> str:
    """Begin a sign-in; returns where the provider sends this browser afterwards."""
    fake = {"corp": world.corp, "partner": world.partner}[provider]
    fake.sign_in_as = "alice"
    query = urlencode({"provider": provider, "return_to": return_to})
    answer = await browser.open_once(f"/bff/login?{query}", from_url=world.url + "/")
    assert answer.status_code == 303, answer.text
    answered = await browser.open_once(answer.headers["location"], from_url=world.url + "/")
    return str(answered.headers["location"])


async def ended(world: GatewayWorld, browser: Browser, url: str) -> Any:
    """The answer to a callback that comes from the provider."""
    return await browser.open_once(url, from_url=world.corp.issuer)


def state_of(url: str) -> str:
    """The state in a callback's URL."""
    return parse_qs(urlsplit(url).query)["state"][0]


async def logins(browser: Browser) -> dict[str, bool]:
    """Who is signed in where."""
    told = (await browser.fetch("/bff/user")).json().get("logins", {})
    return {name: login["authenticated"] for name, login in told.items()}


@pytest.mark.requirement("R-313")
async def test_only_callbacks_write_and_they_write_little(valkey: ValkeyServer) -> None:
    """A refused callback writes nothing, a used state leaves one small mark, and every mark has an end."""
    async with gateway_world(store=valkey.url) as world:
        browser = await world.browser()
        url = await begun(world, browser)
        assert marks(valkey) == []
        other = await world.browser()
        await begun(world, other)
        assert (await ended(world, other, url)).status_code == 400
        assert marks(valkey) == []
        assert (await ended(world, browser, url.replace("code=", "error=access_denied&x="))).status_code == 400
        assert len(marks(valkey)) == 1


def marks(valkey: ValkeyServer) -> list[bytes]:
    """What the store holds, but for the note of each secret's last use: one a secret and not one a sign-in."""
    return [key for key in valkey.ask("KEYS", "*") if not key.startswith(b"bff:u:")]


@pytest.mark.requirement("R-313")
@pytest.mark.parametrize("size", [1, 100, 191, 192, 193, 500, 1999])
async def test_state_and_cookie_stay_short(world: GatewayWorld, size: int) -> None:
    """Whatever the way back, `state` stays below 500 characters and the login cookie below 3.5 KB, and it is come back to whole."""
    browser = await world.browser()
    for return_to in ("/" + "p" * (size - 1), ("/p?q=" + "v" * 2000)[:size]):
        url = await begun(world, browser, return_to=return_to)
        assert len(state_of(url)) < 500
        assert len(browser.cookie(LOGIN) or "") < 3500
        assert (await ended(world, browser, url)).headers["location"] == return_to


@pytest.mark.requirement("R-313", "R-040", "R-309")
async def test_long_ways_back_make_room_for_each_other(world: GatewayWorld) -> None:
    """Of many tabs with long ways back the latest come back whole, the others to their path, and the cookie stays bounded."""
    browser = await world.browser()
    ways = [f"/page/{n}?" + f"{n}" * 900 for n in range(8)]
    urls = [await begun(world, browser, return_to=way) for way in ways]
    assert len(browser.cookie(LOGIN) or "") < 3500
    came_back = [(await ended(world, browser, url)).headers["location"] for url in urls]
    assert came_back == [f"/page/{n}" for n in range(6)] + ways[6:]


@pytest.mark.requirement("R-309")
@pytest.mark.parametrize(
    ("given", "came_back_to"),
    [
        ("/search?q=%5C", "/search?q=%5C"),
        ("/search?q=a%0Ab%09c", "/search?q=a%0Ab%09c"),
        ("/search?q=\\", "/search?q=%5C"),
        ("/search?q=a\nb\tc d", "/search?q=a%0Ab%09c%20d"),
        ("/search?q=é&next=//evil/../x", "/search?q=%C3%A9&next=//evil/../x"),
        ("/page#/report/7", "/page#/report/7"),
        ("/page?x=1#/report/7?y=%5C", "/page?x=1#/report/7?y=%5C"),
        ("/page?" + "q" * 1994, "/page?" + "q" * 1994),
    ],
)
async def test_a_deep_link_survives_the_sign_in(world: GatewayWorld, given: str, came_back_to: str) -> None:
    """What follows the path of return_to may hold anything, and comes back so that it means the same."""
    browser = await world.browser()
    url = await begun(world, browser, return_to=given)
    assert (await ended(world, browser, url)).headers["location"] == came_back_to


@pytest.mark.requirement("R-309")
async def test_a_way_back_that_is_too_long_is_refused_with_its_reason(world: GatewayWorld) -> None:
    """/login given more than 2,000 bytes says so."""
    browser = await world.browser()
    refused = await browser.open_once("/bff/login?return_to=/page%3F" + "q" * 2000, from_url=world.url)
    assert refused.status_code == 400
    assert "2000 bytes" in refused.text


@pytest.mark.requirement("R-309")
async def test_a_page_with_a_query_that_is_too_long_comes_back_to_its_path() -> None:
    """A page load that needs a sign-in and whose URL is too long comes back to its path, never to the root."""
    guarded = {"path": "/", "upstream": "{upstream}", "provider": "corp", "csrf": "origin"}
    async with gateway_world(routes=[guarded]) as world:
        browser = await world.browser()
        for query, back in [("q" * 3000, "/deep/page"), ("q=%5C%0A", "/deep/page?q=%5C%0A")]:
            answer = await browser.open_once(f"/deep/page?{query}")
            assert answer.status_code == 303
            assert answer.headers["location"].endswith("&return_to=" + quote(back, safe="/"))


@pytest.mark.requirement("R-033", "R-050", "R-313")
async def test_every_changed_character_of_a_state_is_refused(world: GatewayWorld) -> None:
    """A state that is forged, cut, extended or spelt otherwise opens nothing; the provider is not asked."""
    browser = await world.browser()
    url = await begun(world, browser)
    state = state_of(url)
    forged = [state[:at] + ("A" if state[at] != "A" else "B") + state[at + 1 :] for at in range(0, len(state), 7)]
    for wrong in [*forged, state[:-1], state[1:], state + "A", state + "=", state + "~", state + "AAAA", state * 2]:
        refused = await ended(world, browser, url.replace(state, quote(wrong, safe="")))
        assert refused.status_code == 400, wrong
    assert world.token_calls("authorization_code") == []
    assert (await ended(world, browser, url)).status_code == 303


@pytest.mark.requirement("R-313")
async def test_state_and_cookie_do_not_pass_for_each_other(world: GatewayWorld) -> None:
    """A login cookie is no state, a state is no login cookie, a session cookie is neither."""
    browser = await world.signed_in()
    url = await begun(world, browser)
    state, login, session = state_of(url), browser.cookie(LOGIN), browser.cookie(SESSION)
    for wrong in (login, session):
        assert (await ended(world, browser, url.replace(state, quote(wrong or "", safe="")))).status_code == 400
    for wrong in (state, session):
        browser.jar["localhost", LOGIN] = Cookie(wrong or "", "Lax", {})
        assert (await ended(world, browser, url)).status_code == 400


@pytest.mark.requirement("R-313", "R-173")
async def test_a_state_is_opaque(world: GatewayWorld) -> None:
    """Neither the way back nor the browser's id can be read in what travels through the provider."""
    browser = await world.browser()
    state = state_of(await begun(world, browser, return_to="/secret-page"))
    with suppress(ValueError):
        assert b"secret" not in urlsafe_b64decode(state + "==")


@pytest.mark.requirement("R-313")
async def test_a_sign_in_has_its_time() -> None:
    """Up to `session.login_timeout` a sign-in ends well, from then on it is refused."""
    async with gateway_world(session={"login_timeout": "30s"}) as world:
        browser = await world.browser()
        in_time, late = await begun(world, browser), await begun(world, browser)
        world.clock.now += 29
        assert (await ended(world, browser, in_time)).status_code == 303
        world.clock.now += 1
        refused = await ended(world, browser, late)
        assert refused.status_code == 400
        assert "took too long" in refused.text


@pytest.mark.requirement("R-302", "R-309")
@pytest.mark.parametrize("return_to", ["/orders?tab=2", "/orders?q=" + "x" * 500])
async def test_a_sign_in_that_took_too_long_is_begun_again_where_it_was_to_lead(return_to: str) -> None:
    """The page's button has the old `return_to`, also one that is too long for `state`."""
    async with gateway_world(session={"login_timeout": "30s"}) as world:
        browser = await world.browser()
        late = await begun(world, browser, return_to=return_to)
        world.clock.now += 30
        refused = await ended(world, browser, late)
        assert f"/bff/login?provider=corp&amp;return_to={quote(return_to, safe='/')}" in refused.text


@pytest.mark.requirement("R-051", "R-303")
async def test_the_same_callback_again_leads_to_the_same_place(world: GatewayWorld) -> None:
    """A callback that comes again in its browser ends at its return_to; nothing is redeemed, and it stays signed in."""
    browser = await world.browser()
    url = await begun(world, browser, return_to="/orders?tab=2")
    for _ in range(3):
        answer = await ended(world, browser, url)
        assert (answer.status_code, answer.headers["location"]) == (303, "/orders?tab=2")
    assert len(world.token_calls("authorization_code")) == 1
    assert (await logins(browser))["corp"]


@pytest.mark.requirement("R-305")
async def test_two_tabs_that_begin_before_either_ends_keep_both_grants(world: GatewayWorld) -> None:
    """Sign-ins at two providers, begun side by side without a session, leave one session with both grants."""
    browser = await world.browser()
    corp, partner = await begun(world, browser), await begun(world, browser, provider="partner")
    assert (await ended(world, browser, corp)).status_code == 303
    assert (await ended(world, browser, partner)).status_code == 303
    assert await logins(browser) == {"corp": True, "partner": True}


@pytest.mark.requirement("R-305")
async def test_two_tabs_that_add_the_same_provider_keep_the_first(world: GatewayWorld) -> None:
    """Signed in at A, two tabs begin B: after both have ended, A and B are there."""
    browser = await world.signed_in()
    first, second = [await begun(world, browser, provider="partner") for _ in range(2)]
    assert (await ended(world, browser, first)).status_code == 303
    assert (await ended(world, browser, second)).status_code == 303
    assert await logins(browser) == {"corp": True, "partner": True}


@pytest.mark.requirement("R-305")
@pytest.mark.parametrize("signed_in_before", [True, False])
async def test_callbacks_at_the_same_time_keep_each_others_grants(valkey: ValkeyServer, signed_in_before: bool) -> None:
    """Two callbacks of one browser, delivered at once: the later session holds what both gave."""
    async with gateway_world(store=valkey.url) as world:
        browser = await world.signed_in() if signed_in_before else await world.browser()
        urls = [await begun(world, browser), await begun(world, browser, provider="partner")]
        answers = await asyncio.gather(*(ended(world, browser, url) for url in urls))
        assert [answer.status_code for answer in answers] == [303, 303]
        sessions = [name for name in valkey.dump() if name.startswith(b"bff:s:")]
        assert len(sessions) == 1
        for answer in answers:
            browser._take(world.url, answer)  # the cookies of one of them are of the session that is left
            if all((await logins(browser)).values()) and await logins(browser):
                break
        assert await logins(browser) == {"corp": True, "partner": True}


@pytest.mark.requirement("R-305", "R-040")
async def test_many_tabs_end_well_in_any_order(world: GatewayWorld) -> None:
    """Twelve tabs that were begun under one login cookie all end well, though each sign-in renews it."""
    browser = await world.browser()
    urls = [await begun(world, browser) for _ in range(12)]
    values = set()
    for url in [*urls[::2], *urls[1::2]]:
        assert (await ended(world, browser, url)).status_code == 303
        values.add(browser.cookie(LOGIN))
    assert len(values) == 12


@pytest.mark.requirement("R-305", "R-040")
async def test_tabs_that_begin_at_the_same_time_all_end_well(world: GatewayWorld) -> None:
    """Five tabs of a browser that has been here before begin at once, and all end well."""
    browser = await world.browser()
    await begun(world, browser)
    urls = await asyncio.gather(*(begun(world, browser) for _ in range(5)))
    for url in urls:
        assert (await ended(world, browser, url)).status_code == 303


@pytest.mark.requirement("R-311")
async def test_a_copied_login_cookie_signs_nobody_in_after_a_sign_in(world: GatewayWorld) -> None:
    """Who copied the login cookie of a shared machine cannot begin a sign-in that its next user's browser would complete."""
    machine, attacker = await world.browser(), await world.browser()
    await begun(world, machine)
    attacker.jar.update({key: cookie for key, cookie in machine.jar.items() if key[1] == LOGIN})
    await world.sign_in(machine, "alice")
    trap = await begun(world, attacker)
    assert (await ended(world, machine, trap)).status_code == 400
    assert (await machine.fetch("/bff/user")).json()["claims"]["sub"] == "alice"


@pytest.mark.requirement("R-311")
async def test_signing_out_removes_the_login_cookie(world: GatewayWorld) -> None:
    """After sign-out the login cookie is gone, and a copy of it is of no use against the next user."""
    machine, attacker = await world.signed_in(), await world.browser()
    attacker.jar.update({key: cookie for key, cookie in machine.jar.items() if key[1] == LOGIN})
    await machine.fetch("/bff/logout", method="POST")
    assert machine.cookie(LOGIN) is None
    trap = await begun(world, attacker)
    assert (await ended(world, machine, trap)).status_code == 400
    await world.sign_in(machine, "bob")
    assert (await ended(world, machine, trap)).status_code == 400


@pytest.mark.requirement("R-033", "R-313")
async def test_swapped_states_of_two_browsers_are_refused(world: GatewayWorld) -> None:
    """Two browsers that exchange their callbacks are both refused, and both may still end their own sign-in."""
    one, other = await world.browser(), await world.browser()
    url_of_one, url_of_other = await begun(world, one), await begun(world, other)
    assert (await ended(world, one, url_of_other)).status_code == 400
    assert (await ended(world, other, url_of_one)).status_code == 400
    assert (await ended(world, one, url_of_one)).status_code == 303
    assert (await ended(world, other, url_of_other)).status_code == 303


@pytest.mark.requirement("R-038", "R-313")
async def test_a_state_of_one_provider_is_refused_at_another(world: GatewayWorld) -> None:
    """A state that was moved to another provider's callback is refused, and nobody's token endpoint is asked."""
    browser = await world.browser()
    url = await begun(world, browser)
    assert (await ended(world, browser, url.replace("/callback/corp", "/callback/partner"))).status_code == 400
    assert world.token_calls("authorization_code") == world.token_calls("authorization_code", provider="partner") == []


@pytest.mark.requirement("R-312")
async def test_a_cookie_with_junk_is_no_session(world: GatewayWorld) -> None:
    """Characters appended to the session cookie make it nobody's, also while a copy of the session is at hand."""
    browser = await world.signed_in()
    value = browser.cookie(SESSION)
    assert (await browser.fetch("/api/x")).status_code == 200
    for junk in ("~", "!", "=", "A", "."):
        browser.jar["localhost", SESSION] = Cookie(f"{value}{junk}", "Strict", {})
        assert (await browser.fetch("/api/x")).status_code == 401


@pytest.mark.requirement("R-303", "R-059")
async def test_a_second_click_just_after_the_first_signs_in(world: GatewayWorld) -> None:
    """The first callback has been answered, but the browser gave it up and has none of its cookies: the second one sets them."""
    browser = await world.browser()
    url = await begun(world, browser, return_to="/orders")
    before = dict(browser.jar)
    await ended(world, browser, url)
    browser.jar = before
    answer = await ended(world, browser, url)
    assert (answer.status_code, answer.headers["location"]) == (303, "/orders")
    assert len(world.token_calls("authorization_code")) == 1
    assert (await logins(browser))["corp"]


@pytest.mark.requirement("R-303", "R-059")
async def test_a_second_click_while_the_first_is_under_way_signs_in(world: GatewayWorld) -> None:
    """The browser gives up the first callback for the second while the token endpoint thinks: it is signed in, by one token call."""
    browser = await world.browser()
    url = await begun(world, browser, return_to="/orders")
    gate = world.corp.hold("/token")
    first = asyncio.create_task(ended(world, browser, url))
    await world.corp.arrived("/token")
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    second = asyncio.create_task(ended(world, browser, url))
    third = asyncio.create_task(ended(world, browser, url))
    gate.set()
    for answer in (await second, await third):
        assert (answer.status_code, answer.headers["location"]) == (303, "/orders")
    assert len(world.token_calls("authorization_code")) == 1
    assert (await logins(browser))["corp"]


@pytest.mark.requirement("R-303", "R-033")
async def test_another_browser_gets_nothing_of_a_callback_under_way(world: GatewayWorld) -> None:
    """While a callback is under way the same URL in another browser is refused, and gets no cookie."""
    browser, other = await world.browser(), await world.browser()
    url = await begun(world, browser)
    await begun(world, other)
    gate = world.corp.hold("/token")
    first = asyncio.create_task(ended(world, browser, url))
    await world.corp.arrived("/token")
    assert (await ended(world, other, url)).status_code == 400
    assert other.cookie(SESSION) is None
    gate.set()
    assert (await first).status_code == 303


def refused_with(url: str, error: str) -> str:
    """The callback with an error instead of its code."""
    parts = urlsplit(url)
    kept = {name: value[0] for name, value in parse_qs(parts.query).items() if name != "code"}
    return parts._replace(query=urlencode({**kept, "error": error})).geturl()


@pytest.mark.requirement("R-304")
@pytest.mark.parametrize("error", ["temporarily_unavailable", "authentication_expired", "login_required"])
async def test_a_sign_in_begins_again_once_where_the_provider_wants_it(world: GatewayWorld, error: str) -> None:
    """The browser is sent to the provider once more with a new state, and comes back to its place; the second time it is a page."""
    browser = await world.browser()
    place = "/orders?" + "q" * 400
    url = await begun(world, browser, return_to=place)
    again = await ended(world, browser, refused_with(url, error))
    assert again.status_code == 303
    assert again.headers["location"].startswith(f"{world.corp.issuer}/authorize?")
    answered = await browser.open_once(again.headers["location"], from_url=world.url + "/")
    assert state_of(answered.headers["location"]) != state_of(url)
    refused = await ended(world, browser, refused_with(answered.headers["location"], error))
    assert refused.status_code == 400
    second = await begun(world, browser, return_to=place)
    again = await ended(world, browser, refused_with(second, error))
    answered = await browser.open_once(again.headers["location"], from_url=world.url + "/")
    assert (await ended(world, browser, answered.headers["location"])).headers["location"] == place
    assert (await logins(browser))["corp"]


@pytest.mark.requirement("R-304", "R-055")
async def test_nothing_else_begins_again(world: GatewayWorld) -> None:
    """Another error, another issuer's error, another browser's state, a used state: no new request to the provider."""
    browser, other = await world.browser(), await world.browser()
    url = refused_with(await begun(world, browser), "login_required")
    await begun(world, other)
    assert (await ended(world, other, url)).status_code == 400
    assert (await ended(world, browser, url.replace("iss=", "iss=x"))).status_code == 400
    assert (await ended(world, browser, url)).headers["location"] == "/"
    declined = refused_with(await begun(world, browser), "access_denied")
    assert (await ended(world, browser, declined)).status_code == 400


@pytest.mark.requirement("R-305", "R-040")
async def test_tabs_of_a_new_browser_that_begin_at_the_same_time_all_end_well(world: GatewayWorld) -> None:
    """Eight tabs of a browser without any cookie begin at once, and all end well; one login cookie is left."""
    browser = await world.browser()
    urls = await asyncio.gather(*(begun(world, browser, return_to=f"/tab/{n}") for n in range(8)))
    for n, url in enumerate(urls):
        answer = await ended(world, browser, url)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/tab/{n}")
    assert {name for host, name in browser.jar if host == "localhost"} == {SESSION, LOGIN}


@pytest.mark.requirement("R-040")
async def test_login_cookies_of_tabs_are_bounded_and_end(world: GatewayWorld) -> None:
    """The second cookie of a new browser ends with its sign-in's time, a later start joins it, and sign-out removes it."""
    browser = await world.browser()
    await begun(world, browser)
    (own,) = [line for line in browser.set_cookies if line.startswith(f"{LOGIN}.")]
    assert "Max-Age=600" in own
    await begun(world, browser)
    assert [name for host, name in browser.jar if host == "localhost"] == [LOGIN]
    new = await world.browser()
    await begun(world, new)
    await new.fetch("/bff/logout", method="POST")
    assert [name for host, name in new.jar if host == "localhost" and name.startswith(LOGIN)] == []


@pytest.mark.requirement("R-305", "R-311")
async def test_a_forged_cookie_of_a_tab_is_passed_over(world: GatewayWorld) -> None:
    """A login cookie of a tab that we did not seal changes nothing, and is removed."""
    browser = await world.browser()
    await begun(world, browser)
    forged = Cookie("AAAA", "Lax", {})
    browser.jar["localhost", f"{LOGIN}.0badbad0"] = forged
    url = await begun(world, browser)
    assert (await ended(world, browser, url)).status_code == 303
    assert ("localhost", f"{LOGIN}.0badbad0") not in browser.jar
