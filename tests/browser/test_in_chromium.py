"""The demo in a real browser: what a person does there, and that no token ever comes near the page.

Everything that Chromium receives is kept: URLs, fields and bodies of every request and response, and what scripts can read.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from bff.demo.check import WatchedProvider
from bff.demo.configuration import Addresses
from bff.demo.world import World, demo_world
from support.recorded_provider import RecordedProvider

if TYPE_CHECKING:
    from playwright.async_api import Browser, BrowserContext, Page, Request

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

SESSION = "__Host-Http-bff"
LOGIN = "__Host-Http-bff-login"
ANY_PORTS = Addresses(gateway_port=0, provider_port=0, api_port=0)
SCRIPT_SEES = """() => JSON.stringify([
    document.cookie, {...localStorage}, {...sessionStorage}, location.href, document.documentElement.outerHTML,
    performance.getEntries().map(entry => entry.name), history.state, window.name,
])"""

LISTEN = """() => {
    const source = new EventSource("/api/events");
    let ticks = 0;
    source.addEventListener("tick", () => { document.body.dataset.ticks = String(ticks += 1); });
    source.addEventListener("error", () => {
        document.body.dataset.source = source.readyState === EventSource.CLOSED ? "closed" : "again";
    });
}"""


class WatchedAndRecorded(RecordedProvider, WatchedProvider):
    """A provider that remembers what it was asked and what it gave out."""


@asynccontextmanager
async def short_lived_demo(*, lifetime_seconds: int = 60) -> AsyncIterator[World]:
    """The demo on free ports, with a provider that remembers what it gave out."""
    async with demo_world(
        access_token_lifetime_seconds=lifetime_seconds, provider_class=WatchedAndRecorded, preferred=ANY_PORTS
    ) as world:
        yield world


class Received:
    """Every byte that a browser context sends and receives over HTTP, and that scripts in it can read."""

    def __init__(self, window: "BrowserContext") -> None:
        self.script: list[str] = []
        self.network: list[str] = []
        self.set_cookies: list[str] = []
        self._reading: list[asyncio.Task[None]] = []
        window.on("requestfinished", lambda request: self._reading.append(asyncio.ensure_future(self._read(request))))

    async def look(self, page: "Page") -> None:
        """Note what a script in this page could read now."""
        self.script.append(str(await page.evaluate(SCRIPT_SEES)))

    async def everything(self) -> tuple[str, str]:
        """All that scripts could read, and all that went over the wire; HttpOnly cookies only in `set_cookies`."""
        await asyncio.gather(*self._reading)
        return "\n".join(self.script), "\n".join(self.network)

    async def _read(self, request: "Request") -> None:
        from playwright.async_api import Error

        response = await request.response()
        assert response is not None
        fields = await response.headers_array()
        self.set_cookies += [field["value"] for field in fields if field["name"].lower() == "set-cookie"]
        rest = [field for field in fields if field["name"].lower() != "set-cookie"]
        try:
            body = await response.text()
        except Error:
            body = ""  # a redirect has none
        sent = {name: value for name, value in (await request.all_headers()).items() if name != "cookie"}
        self.network.append(f"{request.url} {sent} {request.post_data} {response.status} {rest} {body}")


async def sign_in(page: "Page", world: World, *, user: str = "alice") -> None:
    """By clicking: the page's button, then the name at the provider."""
    from playwright.async_api import expect

    await page.goto(world.addresses.gateway)
    await page.click("#login")
    await page.click(f"button[value={user}]")
    await expect(page.locator("#who")).to_have_text(re.compile("Signed in as"))


async def cookies_of(window: "BrowserContext", world: World) -> dict[str, Any]:
    """What Chromium keeps for the gateway, by name."""
    return {cookie["name"]: cookie for cookie in await window.cookies(world.addresses.gateway)}


@pytest.mark.requirement("R-003", "R-006", "R-130", "R-200")
async def test_a_person_walks_through_the_demo(window: "BrowserContext") -> None:
    """Sign in, call, be refused without the header, see a refresh, reload, sign out; and nowhere is a token or a cookie to be read."""
    from playwright.async_api import expect

    async with short_lived_demo(lifetime_seconds=6) as world:
        assert isinstance(world.provider, WatchedProvider)
        received = Received(window)
        page = await window.new_page()
        await sign_in(page, world)
        await expect(page.locator("#who")).to_have_text("Signed in as Alice Adams")
        assert page.url == world.addresses.gateway + "/"
        kept = await cookies_of(window, world)

        await page.click("#call-api")
        await expect(page.locator("#api-result")).to_contain_text('"sub": "alice"')
        await page.click("#no-csrf")
        await expect(page.locator("#no-csrf-result")).to_contain_text("csrf-refused")
        assert await page.get_attribute("#no-csrf-result", "data-status") == "403"
        await page.click("#call-rates")
        await expect(page.locator("#rates-result")).to_contain_text("EUR/USD")
        await expect(page.locator("#countdown")).to_have_text(re.compile(r"[1-6] s"))
        await expect(page.locator("#refreshes")).not_to_have_text("0", timeout=20_000)
        await page.click("#call-api")
        await expect(page.locator("#api-result")).to_have_attribute("data-status", "200")
        await received.look(page)

        asked = len(world.provider.calls_to("/authorize"))
        await page.reload()
        await expect(page.locator("#who")).to_have_text("Signed in as Alice Adams")
        assert len(world.provider.calls_to("/authorize")) == asked
        await received.look(page)

        async with page.expect_event("load"):  # of the page that the provider's end-session endpoint leads back to
            await page.click("#logout")
        await expect(page.locator("#who")).to_have_text("No user is signed in")
        assert page.url == world.addresses.gateway + "/"
        assert SESSION not in await cookies_of(window, world)
        await received.look(page)

        script, network = await received.everything()
        values = [cookie["value"] for cookie in kept.values()]
        tokens = world.provider.secret_tokens | world.provider.id_tokens
        assert len(world.provider.secret_tokens) >= 5  # sign-in, refresh, and the gateway's own
        assert {SESSION, LOGIN} <= kept.keys()
        assert [token for token in tokens if token in script] == []
        assert [value for value in values if value in script or value in network] == []
        assert [token for token in world.provider.secret_tokens if token in network] == []
        hints = re.findall(r"id_token_hint=([^&\s\"']+)", network)
        assert set(hints) <= world.provider.id_tokens
        assert hints
        without_hints = re.sub(r"id_token_hint=[^&\s\"']+", "", network)
        assert [token for token in world.provider.id_tokens if token in without_hints] == []
        assert [line for line in received.set_cookies if "bff" in line and "httponly" not in line.lower()] == []


async def test_a_person_sees_and_ends_sessions_in_other_browsers(window: "BrowserContext", chromium: "Browser") -> None:
    """The page lists the user's sessions; one of another browser is ended, then all others, then this one; each at once."""
    from playwright.async_api import expect

    async with short_lived_demo() as world:
        page = await window.new_page()
        await sign_in(page, world)
        lines = page.locator("#sessions li")
        await expect(lines).to_have_count(1)
        await expect(lines).to_contain_text("This browser")
        await expect(page.locator("#end-others")).to_be_hidden()
        elsewhere = [await chromium.new_context() for _ in range(3)]
        others = [await one.new_page() for one in elsewhere]
        for other in others:
            await sign_in(other, world)
        await page.reload()
        await expect(lines).to_have_count(4)

        await lines.filter(has_text="Chrome").first.get_by_role("button").click()
        await expect(lines).to_have_count(3)
        await page.click("#end-others")
        await expect(lines).to_have_count(1)
        for other in others:
            await other.click("#call-api")
            await expect(other.locator("#who")).to_have_text("No user is signed in")
            await expect(other.locator("#your-sessions")).to_be_hidden()

        await lines.get_by_role("button").click()
        await expect(page.locator("#who")).to_have_text("No user is signed in")
        assert SESSION not in await cookies_of(window, world)
        for one in elsewhere:
            await one.close()


@pytest.mark.requirement("R-005", "R-006", "R-007", "R-008", "R-010")
async def test_chromium_keeps_our_cookies_over_http_on_loopback(window: "BrowserContext") -> None:
    """`__Host-Http-` cookies are stored, Secure, HttpOnly, for this host, with their SameSite; no script reads or sets them."""
    async with short_lived_demo() as world:
        page = await window.new_page()
        await sign_in(page, world)
        kept = await cookies_of(window, world)
        for name, same_site in ((SESSION, "Strict"), (LOGIN, "Lax")):
            cookie = kept[name]
            assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, same_site)
            assert (cookie["domain"], cookie["path"], cookie["expires"]) == ("localhost", "/", -1)
        assert await page.evaluate("document.cookie") == ""
        await page.evaluate(f"document.cookie = '{SESSION}=evil; Path=/; Secure'")
        assert (await cookies_of(window, world))[SESSION]["value"] == kept[SESSION]["value"]


@pytest.mark.requirement("R-183")
async def test_an_event_stream_ends_with_the_session(window: "BrowserContext") -> None:
    """EventSource, which sends no header, works on a route with `csrf: origin`; a sign-out in another tab closes it for good."""
    from playwright.async_api import expect

    async with short_lived_demo() as world:
        page, other_tab = await window.new_page(), await window.new_page()
        await sign_in(page, world)
        await page.evaluate(LISTEN)
        await expect(page.locator("body")).to_have_attribute("data-ticks", re.compile("[2-9]"))
        await other_tab.goto(world.addresses.gateway)
        await other_tab.click("#logout")
        await expect(other_tab.locator("#who")).to_have_text("No user is signed in")
        await expect(page.locator("body")).to_have_attribute("data-source", "closed")


async def test_two_people_do_not_see_each_other(chromium: Any) -> None:
    """Two profiles, alice and bob: each API call is made as whoever is signed in there."""
    from playwright.async_api import expect

    async with short_lived_demo() as world:
        for user in ("alice", "bob"):
            window = await chromium.new_context()
            page = await window.new_page()
            await sign_in(page, world, user=user)
            await page.click("#call-api")
            await expect(page.locator("#api-result")).to_contain_text(f'"sub": "{user}"')
            await window.close()


async def test_a_cancelled_sign_in_is_explained(window: "BrowserContext") -> None:
    """Who cancels at the provider gets the problem and is nobody afterwards."""
    from playwright.async_api import expect

    async with short_lived_demo() as world:
        page = await window.new_page()
        await page.goto(world.addresses.gateway)
        await page.click("#login")
        async with page.expect_response(lambda response: "/bff/callback/" in response.url) as answered:
            await page.click("button.quiet")
        assert (await answered.value).status == 400
        await page.goto(world.addresses.gateway)
        await expect(page.locator("#who")).to_have_text("No user is signed in")
