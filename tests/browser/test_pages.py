"""Pages for people in a real browser: each has a way out that works by keyboard, fits a small phone, and pleases axe (R-302).

axe is npm's `axe-core`: `npm install --prefix tests/browser/workers`.
"""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from bff.web.page_template import render
from bff.web.pages import Look, question_page
from bff.web.problems import TABLE, Shown, SignInFailed, problem_of
from support.gateway_world import GatewayWorld, gateway_world
from support.request_heads import a_head
from support.sample_errors import sample_error

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

AXE = Path(__file__).parent / "workers" / "node_modules" / "axe-core" / "axe.min.js"
PAGES = {"title": "Northwind Orders", "support_url": "mailto:help@example.com"}
ROUTES: list[dict[str, Any]] = [
    {"path": "/api", "upstream": "{upstream}", "provider": "corp"},
    {"path": "/pages", "upstream": "{upstream}/pages", "provider": "corp", "csrf": "origin"},
    {"path": "/gone", "upstream": "http://127.0.0.1:9", "token": "none"},
    {"path": "/", "files": "dist"},
]


@pytest_asyncio.fixture(loop_scope="session")
async def world() -> AsyncIterator[GatewayWorld]:
    """A gateway with a title, and an API that is away."""
    async with gateway_world(routes=ROUTES, pages=PAGES) as running:
        yield running


async def findings(page: "Page") -> list[str]:
    """What axe has to say."""
    if not AXE.exists():
        pytest.skip("the npm packages are not there: npm install --prefix tests/browser/workers")
    await page.evaluate(AXE.read_text())
    found = await page.evaluate("() => axe.run()")
    return [f"{rule['id']}: {node['html']}" for rule in found["violations"] for node in rule["nodes"]]


def every_page() -> dict[str, bytes]:
    """The page of every problem, and the question before another site's link is followed."""
    look = Look(site="Northwind Orders", origin="https://orders.example.com", support_url="https://help.example.com")
    shown = Shown(look=look, sign_in_error=None)
    head = a_head({b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": b"document"}, path=b"/orders/" + b"long" * 40)
    facts = {
        "provider": "corp",
        "reason": "access_denied",
        "seen": "inner" * 12 + ":8080",
        "wanted": "orders.example.com",
        "challenges": (),
    }
    found = {"question": render(question_page("/orders/" + "long" * 40, look))}
    for kind, row in TABLE.items():
        error = sample_error(kind, facts, otherwise="x")
        shown_as = SignInFailed(error, provider="corp", return_to="/orders") if "callback" in row.type else error
        found[row.type] = problem_of(shown_as, head, base_path="/bff", https=True, shown=shown).body
    return found


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_axe_finds_nothing_and_a_small_phone_shows_all(chromium: "Browser", scheme: Any) -> None:
    """Every page, light and dark, at 320 px: no finding, and nothing to scroll sideways for."""
    context = await chromium.new_context(viewport={"width": 320, "height": 600}, color_scheme=scheme)
    page = await context.new_page()
    for name, body in every_page().items():
        await page.set_content(body.decode())
        assert await findings(page) == [], name
        assert await page.evaluate("() => document.documentElement.scrollWidth") <= 320, name
    await context.close()


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize(
    ("path", "status", "heading"),
    [
        ("/bff/nowhere", 404, "There is no such page"),
        ("/bff/logout", 405, "This cannot be opened as a page"),
        ("/bff/callback/corp?state=x&code=y", 400, "This sign-in did not begin here"),
        ("/bff/login?return_to=//evil.example", 400, "This address does not work"),
        ("/api/orders", 403, "This is not a page"),
        ("/gone/x", 502, "The app does not answer"),
    ],
)
async def test_a_person_gets_out_of_every_error_by_keyboard(
    chromium: "Browser", world: GatewayWorld, path: str, status: int, heading: str
) -> None:
    """Tab, Enter: the first button is reached, can be seen to have the focus, and leads away from the error."""
    context = await chromium.new_context()
    page = await context.new_page()
    world.corp.sign_in_as = "alice"
    answer = await page.goto(world.url + path)
    assert answer is not None
    assert answer.status == status
    assert await page.inner_text("h1") == heading
    assert await findings(page) == []
    await page.keyboard.press("Tab")
    outline = await page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    async with page.expect_navigation():
        await page.keyboard.press("Enter")
    if status < 500:
        assert page.url == world.url + "/"
        assert await page.title() == "The app"
    await context.close()


@pytest.mark.requirement("R-302")
async def test_who_cancels_at_the_provider_can_sign_in_again(chromium: "Browser", world: GatewayWorld) -> None:
    """The provider's refusal is a page; its button starts anew, and ends where the first sign-in was to lead."""
    context = await chromium.new_context()
    page = await context.new_page()
    world.corp.sign_in_as = None
    await page.goto(world.url + "/pages/report?id=1")
    asked = dict(world.corp.calls_to("/authorize")[-1].query)
    await page.goto(f"{asked['redirect_uri']}?error=access_denied&state={asked['state']}&iss={world.corp.issuer}")
    assert await page.inner_text("h1") == "You were not signed in"
    world.corp.sign_in_as = "alice"
    await page.get_by_role("link", name="Sign in again").click()
    await page.get_by_text('"target"').wait_for()
    assert page.url == world.url + "/pages/report?id=1"
    await context.close()
