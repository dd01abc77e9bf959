"""The app of `docs/tutorial.md`, word for word, by Vite and without: signed in, calling, reloading, signed out in both tabs.

Vite is what `make browser` installs into `tests/browser/vite`; without Node those tests are skipped.
"""

import asyncio
import gzip
import os
import re
import shutil
import signal
import textwrap
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bff.demo.configuration import Addresses, Behind
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.demo.world import demo_world
from support.app_world import app_world
from support.documented import fenced, marked, page, section

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

VITE = Path(__file__).parent / "vite"
TUTORIAL = page("tutorial.md")
ANY_PORTS = Addresses(gateway_port=0, provider_port=0, api_port=0)
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]
with_vite = pytest.mark.skipif(
    not (VITE / "node_modules/vite").is_dir() or shutil.which("node") is None,
    reason="Vite is not installed: make browser, with Node",
)


@pytest.fixture
def written() -> Iterator[Path]:
    """The tutorial's two files in Vite's folder."""
    for name in ("src/main.tsx", "src/App.tsx"):
        (VITE / name).parent.mkdir(exist_ok=True)
        (VITE / name).write_text(marked(TUTORIAL, name), encoding="utf-8")
    yield VITE
    shutil.rmtree(VITE / "src")


async def vite(*words: str) -> asyncio.subprocess.Process:
    """Vite, in a process group of its own."""
    command = ("node", "node_modules/vite/bin/vite.js", *words)
    quiet = {"stdout": asyncio.subprocess.DEVNULL, "stderr": asyncio.subprocess.DEVNULL}
    return await asyncio.create_subprocess_exec(*command, cwd=VITE, start_new_session=True, **quiet)


@asynccontextmanager
async def dev_server() -> AsyncIterator[str]:
    """Vite's development server; its URL, once it answers."""
    (sock,) = bind_loopback()
    with sock:
        port = port_of([sock])
    process = await vite("--port", str(port), "--strictPort", "--host", "localhost")
    try:
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("localhost", port)
            except OSError:
                await asyncio.sleep(0.1)  # there is no event for a port that another process opens
                continue
            writer.close()
            break
        yield f"http://localhost:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        await process.wait()


async def in_and_out(window: "BrowserContext", url: str) -> "Page":
    """Two tabs: sign in at a deep link of one, see both; call; sign out, see both. The page that signed out."""
    from playwright.async_api import expect

    other, tab = await window.new_page(), await window.new_page()
    await other.goto(url)
    await expect(other.get_by_role("button", name="Sign in")).to_be_visible()
    await tab.goto(f"{url}/orders/7?open=1#line-3")
    await tab.get_by_role("button", name="Sign in").click()
    await tab.click("button[value=alice]")
    for each in (tab, other):
        await expect(each.get_by_text("Hello Alice Adams")).to_be_visible()
        await expect(each.locator("pre")).to_contain_text('"sub": "alice"')
    assert tab.url == f"{url}/orders/7?open=1#line-3"
    await tab.get_by_role("button", name="Sign out").click()
    for each in (other, tab):
        await expect(each.get_by_role("button", name="Sign in")).to_be_visible()
    return tab


@with_vite
@pytest.mark.usefixtures("written")
async def test_the_tutorials_app_is_developed_behind_the_demo(window: "BrowserContext") -> None:
    """`bff demo --app`: Vite's page and its hot reload pass the gateway; a changed file shows while the user stays signed in."""
    from playwright.async_api import expect

    async with dev_server() as url, demo_world(preferred=ANY_PORTS, behind=Behind(app=url)) as world:
        tab = await in_and_out(window, world.addresses.gateway)
        await tab.get_by_role("button", name="Sign in").click()
        await tab.click("button[value=bob]")
        await expect(tab.get_by_text("Hello Bob")).to_be_visible()
        await tab.evaluate("window.loaded = 'once'")
        app = VITE / "src/App.tsx"
        app.write_text(app.read_text(encoding="utf-8").replace("Hello", "Welcome"), encoding="utf-8")
        await expect(tab.get_by_text("Welcome Bob")).to_be_visible()
        assert await tab.evaluate("window.loaded") == "once"


@with_vite
@pytest.mark.usefixtures("written")
@pytest.mark.requirement("R-370")
async def test_the_tutorials_app_is_served_as_it_is_built(window: "BrowserContext", tmp_path: Path) -> None:
    """A real Vite build under the policy of `how-to/spa.md`: nothing is stopped, assets are immutable and compressed."""
    assert await (await vite("build", "--outDir", str(tmp_path / "dist"), "--logLevel", "error")).wait() == 0
    for asset in (tmp_path / "dist/assets").iterdir():
        asset.with_name(f"{asset.name}.gz").write_bytes(gzip.compress(asset.read_bytes()))
    (recipe,) = fenced(section(page("how-to/spa.md"), "A Content-Security-Policy"), "yaml")
    keys = textwrap.dedent(recipe.partition("    files: ./dist\n")[2])
    said: list[str] = []
    window.on("console", lambda message: said.append(message.text))
    answers: dict[str, dict[str, str]] = {}
    window.on("response", lambda answer: answers.update({answer.url: answer.headers}))
    async with app_world({}, folder=tmp_path / "dist", route=keys) as world:
        tab = await in_and_out(window, world.url)
        assert await tab.evaluate("document.querySelectorAll('script').length") > 0
    assert [text for text in said if "Policy" in text] == []
    assets = {url: fields for url, fields in answers.items() if "/assets/" in url}
    assert assets
    for fields in assets.values():
        assert fields["cache-control"] == "public, max-age=31536000, immutable"
        assert (fields["content-encoding"], fields["vary"]) == ("gzip", "accept-encoding")
    start = answers[f"{world.url}/"]
    assert start["cache-control"] == "no-cache"
    assert "script-src 'self'" in start["content-security-policy"]


async def test_the_tutorials_page_without_node(window: "BrowserContext") -> None:
    """The plain page: 401 before the sign-in, orders after it, and another tab that follows."""
    from playwright.async_api import expect

    files = {name: marked(TUTORIAL, f"page/{name}") for name in ("index.html", "app.js")}
    async with app_world(files) as world:
        tab, other = await window.new_page(), await window.new_page()
        for each in (tab, other):
            await each.goto(world.url)
            await expect(each.locator("#who")).to_have_text("Please sign in")
        await tab.click("#load")
        await expect(tab.locator("#orders")).to_have_text(re.compile("^401"))
        await tab.click("#sign-in")
        await tab.click("button[value=alice]")
        for each in (tab, other):
            await expect(each.locator("#who")).to_have_text("Hello Alice Adams")
        await tab.click("#load")
        await expect(tab.locator("#orders")).to_have_text(re.compile("^200"))
        await tab.click("#sign-out")
        for each in (tab, other):
            await expect(each.locator("#who")).to_have_text("Please sign in")
