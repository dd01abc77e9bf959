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


async def a_browser(world: GatewayWorld, *, as_chromium: bool) -> Browser:
    """A fresh browser of one kind or the other; alice signs in without a question."""
    world.corp.sign_in_as = "alice"
    return await world.browsers.enter_async_context(Browser(app=world.url, as_chromium=as_chromium))


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
