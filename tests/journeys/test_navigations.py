"""Opening a guarded page (`csrf: origin`) from anywhere: always on the page in the end, signed in at most once, never in circles.

Browsers differ in whether a Strict cookie survives redirects over other sites, so each journey is made in both ways.
"""

from typing import Any

import pytest

from support.gateway_world import GatewayWorld, gateway_world
from support.strict_browser import Browser

pytestmark = pytest.mark.parametrize("as_chromium", [False, True], ids=["by the book", "as Chromium"])

FROM = ["https://mail.example/inbox", "http://localhost:1/", None]
FROM_NAMES = ["foreign", "sibling", "typed"]


async def a_browser(world: GatewayWorld, *, as_chromium: bool, clicks: bool = True) -> Browser:
    """A fresh browser of one kind or the other; alice signs in without a question."""
    world.corp.sign_in_as = "alice"
    return await world.browsers.enter_async_context(Browser(app=world.url, as_chromium=as_chromium, clicks=clicks))


def pages(world: GatewayWorld) -> list[Any]:
    """The bearers with which the upstream was asked for the page."""
    return [seen.bearer for seen in world.upstream.seen if seen.target.startswith("/pages/report")]


@pytest.mark.requirement("R-007")
@pytest.mark.parametrize("from_url", FROM, ids=FROM_NAMES)
async def test_a_link_to_a_page_arrives(world: GatewayWorld, as_chromium: bool, from_url: str | None) -> None:
    """The first time by one sign-in, the second time by none."""
    browser = await a_browser(world, as_chromium=as_chromium)
    for visit in (1, 2):
        page = await browser.navigate("/pages/report?id=1", from_url=from_url)
        assert page.status_code == 200, page.text
        assert page.json()["target"] == "/pages/report?id=1"
        assert len(world.token_calls("authorization_code")) == 1
        assert len(pages(world)) == visit


@pytest.mark.requirement("R-007")
async def test_a_sign_in_from_our_own_page_ends_on_the_page(world: GatewayWorld, as_chromium: bool) -> None:
    """The app's own link to sign in comes back over the provider's site to a guarded page, and that is shown."""
    browser = await a_browser(world, as_chromium=as_chromium)
    page = await world.sign_in(browser, return_to="/pages/report")
    assert page.status_code == 200, page.text
    assert len(pages(world)) == 1


@pytest.mark.requirement("R-007")
async def test_a_provider_on_our_own_site_signs_in_too(world: GatewayWorld, as_chromium: bool) -> None:
    """login.example.com beside app.example.com: the way back is same-site with the cookie, and ends on the page."""
    at_our_site = world.corp.issuer.replace("127.0.0.1", "localhost") + "/authorize"
    world.corp.misbehave(metadata=lambda known: {**known, "authorization_endpoint": at_our_site})
    browser = await a_browser(world, as_chromium=as_chromium)
    page = await browser.navigate("/pages/report", from_url=world.url + "/")
    assert page.status_code == 200, page.text
    assert len(pages(world)) == 1


@pytest.mark.parametrize("from_url", FROM, ids=FROM_NAMES)
async def test_a_page_for_everybody_knows_who_is_signed_in(as_chromium: bool, from_url: str | None) -> None:
    """A link from anywhere to a `user_or_none` page arrives: with the user's token if there is one, else without."""
    route = {
        "path": "/pages",
        "upstream": "{upstream}/pages",
        "provider": "corp",
        "csrf": "origin",
        "token": "user_or_none",
    }
    async with gateway_world(routes=[route, {"path": "/", "files": "dist"}]) as world:
        browser = await a_browser(world, as_chromium=as_chromium)
        assert (await browser.navigate("/pages/report", from_url=from_url)).status_code == 200
        assert pages(world) == [None]
        await world.sign_in(browser)
        assert (await browser.navigate("/pages/report", from_url=from_url)).status_code == 200
        assert pages(world)[1] is not None


@pytest.mark.requirement("R-014", "R-271")
@pytest.mark.parametrize("from_url", FROM[:2], ids=FROM_NAMES[:2])
async def test_only_opening_a_page_is_repeated(world: GatewayWorld, as_chromium: bool, from_url: str) -> None:
    """A form post, a fetch and a frame from elsewhere are refused as before, with the session's cookie or without."""
    browser = await a_browser(world, as_chromium=as_chromium)
    await world.sign_in(browser)
    posted = await browser.navigate("/pages/report", method="POST", form={"a": "b"}, from_url=from_url)
    fetched = await browser.fetch("/pages/report", csrf=False, from_url=from_url)
    framed = await browser.open_once("/pages/report", from_url=from_url, headers={"sec-fetch-dest": "iframe"})
    assert [answer.status_code for answer in (posted, fetched, framed)] == [403, 403, 403]
    assert pages(world) == []


@pytest.mark.requirement("R-316")
@pytest.mark.parametrize("from_url", FROM[:2], ids=FROM_NAMES[:2])
@pytest.mark.parametrize("target", ["/pages/delete?id=1", "/bff/login?return_to=/pages/delete%3Fid%3D1"])
@pytest.mark.parametrize("signed_in", [True, False])
async def test_another_site_alone_reaches_no_page(
    world: GatewayWorld, as_chromium: bool, from_url: str, target: str, signed_in: bool
) -> None:
    """Without a click nothing that another site starts reaches the upstream, not by way of a sign-in either; with one it does."""
    browser = await a_browser(world, as_chromium=as_chromium, clicks=False)
    if signed_in:
        await world.sign_in(browser)
    asked = await browser.navigate(target, from_url=from_url)
    assert asked.status_code == 200
    assert "Continue to" in asked.text
    assert world.upstream.seen == []
    browser.clicks = True
    page = await browser.navigate(target, from_url=from_url)
    assert page.json()["target"] == "/pages/delete?id=1"


@pytest.mark.requirement("R-316", "R-007")
@pytest.mark.parametrize("from_url", FROM, ids=FROM_NAMES)
async def test_pages_that_other_sites_may_lead_to(as_chromium: bool, from_url: str | None) -> None:
    """With `cross_site_pages` a link from anywhere arrives without a click, with one sign-in."""
    route = {
        "path": "/pages",
        "upstream": "{upstream}/pages",
        "provider": "corp",
        "csrf": "origin",
        "cross_site_pages": True,
    }
    async with gateway_world(routes=[route, {"path": "/", "files": "dist"}]) as world:
        browser = await a_browser(world, as_chromium=as_chromium, clicks=False)
        for visit in (1, 2):
            assert (await browser.navigate("/pages/report", from_url=from_url)).status_code == 200
            assert len(pages(world)) == visit
        assert len(world.token_calls("authorization_code")) == 1


@pytest.mark.requirement("R-301")
@pytest.mark.parametrize("from_url", FROM, ids=FROM_NAMES)
@pytest.mark.parametrize("cross_site_pages", [True, False])
async def test_a_browser_without_fetch_metadata_arrives(
    as_chromium: bool, from_url: str | None, cross_site_pages: bool
) -> None:
    """Without `Sec-Fetch-*` the way back from the provider brings the Strict cookie: one sign-in, then the page."""
    route = {"path": "/pages", "upstream": "{upstream}/pages", "provider": "corp", "csrf": "origin"}
    routes = [{**route, "cross_site_pages": cross_site_pages}, {"path": "/", "files": "dist"}]
    async with gateway_world(routes=routes) as world:
        browser = await a_browser(world, as_chromium=as_chromium)
        browser.sends_fetch_metadata = False
        page = await browser.navigate("/pages/report?id=1", from_url=from_url)
        assert page.json()["target"] == "/pages/report?id=1"
        assert len(world.token_calls("authorization_code")) == 1
        assert (await browser.navigate("/pages/report", from_url=world.url + "/")).status_code == 200
        assert len(world.token_calls("authorization_code")) == 1


@pytest.mark.requirement("R-301")
@pytest.mark.parametrize("sends_fetch_metadata", [True, False])
async def test_a_browser_that_loses_the_session_goes_round_twice(
    world: GatewayWorld, as_chromium: bool, sends_fetch_metadata: bool
) -> None:
    """A browser that keeps no session cookie is signed in twice, then gets a page; a minute later it may try again."""
    browser = await a_browser(world, as_chromium=as_chromium)
    browser.sends_fetch_metadata = sends_fetch_metadata
    browser.loses = {"__Host-Http-bff"}
    page = await browser.navigate("/pages/report")
    assert page.status_code == 400
    assert "Signing in does not help" in page.text
    assert len(world.token_calls("authorization_code")) == 2
    world.clock.now += 61
    assert (await browser.navigate("/pages/report")).status_code == 400
    assert len(world.token_calls("authorization_code")) == 4
    assert pages(world) == []
