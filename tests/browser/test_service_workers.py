"""Service workers between the page and the gateway, in a real browser: sign-in, deep links, guarded pages and sign-out all the same.

A worker repeats a page load with an empty destination, may keep what it got in a cache, and may make a new request of it. The
libraries are those of npm: `npm install --prefix tests/browser/workers`.
"""

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from support.gateway_world import GatewayWorld, gateway_world

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="session")]

MODULES = Path(__file__).parent / "workers" / "node_modules"
WORKBOX = ("core", "routing", "strategies", "navigation-preload")
ROUTES: list[dict[str, Any]] = [
    {"path": "/api", "upstream": "{upstream}", "provider": "corp"},
    {"path": "/pages", "upstream": "{upstream}/pages", "provider": "corp", "csrf": "origin"},
    {"path": "/", "files": "dist"},
]
START = """
self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", event => event.waitUntil(self.clients.claim()));
"""
PASS_ON = "self.addEventListener('fetch', event => event.respondWith(fetch(event.request)));"
NEW_REQUEST = """
self.addEventListener("fetch", event => {
    const asked = event.request;
    if (asked.mode === "navigate") event.respondWith(fetch(new Request(asked, {cache: "no-cache"})));
});
"""
PRELOAD = """
self.addEventListener("activate", event => event.waitUntil(self.registration.navigationPreload.enable()));
self.addEventListener("fetch", event => {
    if (event.request.mode !== "navigate") return;
    event.respondWith(event.preloadResponse.then(loaded => loaded || fetch(event.request)));
});
"""


def workbox(strategy: str, *, preload: bool = False) -> str:
    """A worker of Workbox that answers every page load by a strategy."""
    scripts = ", ".join(f"'/workbox-{part}.prod.js'" for part in WORKBOX)
    enabled = "workbox.navigationPreload.enable();" if preload else ""
    return f"""
importScripts({scripts});
workbox.core.clientsClaim();
{enabled}
workbox.routing.registerRoute(({{request}}) => request.mode === "navigate", new workbox.strategies.{strategy}());
"""


WORKERS = {
    "passes on": START + PASS_ON,
    "makes a new request": START + NEW_REQUEST,
    "preloads": START + PRELOAD,
    "Workbox NetworkFirst": START + workbox("NetworkFirst"),
    "Workbox NetworkFirst with preload": START + workbox("NetworkFirst", preload=True),
    "Workbox StaleWhileRevalidate": START + workbox("StaleWhileRevalidate"),
    "Angular performance": "importScripts('/ngsw-worker.js');",
    "Angular freshness": "importScripts('/ngsw-worker.js');",
}


def write_worker(name: str, folder: Path) -> None:
    """The worker and what it needs, beside the app."""
    (folder / "sw.js").write_text(WORKERS[name])
    if name.startswith("Workbox"):
        for part in WORKBOX:
            source = MODULES / f"workbox-{part}" / "build" / f"workbox-{part}.prod.js"
            (folder / source.name).write_text(source.read_text())
    if name.startswith("Angular"):
        (folder / "ngsw-worker.js").write_text((MODULES / "@angular" / "service-worker" / "ngsw-worker.js").read_text())
        (folder / "ngsw.json").write_text(json.dumps(angular_manifest(folder, strategy=name.partition(" ")[2])))


def angular_manifest(folder: Path, *, strategy: str) -> dict[str, Any]:
    """What `ngsw-config` makes of the default configuration, with `!/bff/**` and `!/pages/**` in `navigationUrls`."""
    index = hashlib.sha1((folder / "index.html").read_bytes(), usedforsecurity=False).hexdigest()
    return {
        "configVersion": 1,
        "timestamp": 1,
        "index": "/index.html",
        "assetGroups": [
            {
                "name": "app",
                "installMode": "prefetch",
                "updateMode": "prefetch",
                "cacheQueryOptions": {"ignoreVary": True},
                "urls": ["/index.html"],
                "patterns": [],
            }
        ],
        "dataGroups": [],
        "hashTable": {"/index.html": index},
        "navigationUrls": [
            {"positive": True, "regex": "^\\/.*$"},
            {"positive": False, "regex": "^\\/(?:.+\\/)?[^/]*\\.[^/]*$"},
            {"positive": False, "regex": "^\\/bff\\/.*$"},
            {"positive": False, "regex": "^\\/pages\\/.*$"},
        ],
        "navigationRequestStrategy": strategy,
    }


@asynccontextmanager
async def app_with_worker(
    name: str, window: "BrowserContext", *, strips_fetch_metadata: bool = False
) -> AsyncIterator[tuple[GatewayWorld, "Page"]]:
    """The gateway, and a page that the worker controls."""
    if not MODULES.exists():
        pytest.skip("the npm packages are not there: npm install --prefix tests/browser/workers")
    async with gateway_world(routes=ROUTES, strips_fetch_metadata=strips_fetch_metadata) as world:
        folder = world.config.routes[-1].files
        assert folder is not None
        write_worker(name, folder)
        page = await window.new_page()
        await page.goto(world.url + "/")
        await page.evaluate(
            """async () => {
                await navigator.serviceWorker.register("/sw.js");
                await navigator.serviceWorker.ready;
                if (navigator.serviceWorker.controller) return;
                await new Promise(resolve => navigator.serviceWorker.addEventListener("controllerchange", resolve));
            }"""
        )
        yield world, page


async def is_signed_in(page: "Page") -> bool:
    """What the gateway tells the app."""
    told = await page.evaluate("() => fetch('/bff/user', {headers: {'X-CSRF': '1'}}).then(answer => answer.json())")
    return bool(told["authenticated"])


async def sign_out(page: "Page") -> None:
    """As the app does it."""
    await page.evaluate("() => fetch('/bff/logout', {method: 'POST', headers: {'X-CSRF': '1'}})")


@pytest.mark.requirement("R-300")
@pytest.mark.parametrize("name", WORKERS)
@pytest.mark.parametrize("strips_fetch_metadata", [False, True], ids=["", "stripped"])
async def test_an_app_works_behind_a_service_worker(
    window: "BrowserContext", name: str, strips_fetch_metadata: bool
) -> None:
    """Sign-in, deep link, guarded page, sign-out, and all of it once more, with what the worker has kept by then."""
    async with app_with_worker(name, window, strips_fetch_metadata=strips_fetch_metadata) as (world, page):
        world.corp.sign_in_as = "alice"
        for visit in (1, 2):
            await page.goto(world.url + "/bff/login?return_to=/orders/5")
            assert page.url == world.url + "/orders/5"
            assert await page.title() == "The app"
            assert await is_signed_in(page)
            await page.goto(world.url + "/orders/6")
            assert await page.title() == "The app"
            await page.goto(world.url + "/pages/report?id=1")
            assert json.loads(await page.inner_text("body"))["target"] == "/pages/report?id=1"
            assert len(world.token_calls("authorization_code")) == 2 * visit - 1
            await window.clear_cookies()  # as if the session was over: signing out would clear the worker too
            await page.goto(f"{world.url}/pages/letter?visit={visit}")
            assert json.loads(await page.inner_text("body"))["target"] == f"/pages/letter?visit={visit}"
            assert len(world.token_calls("authorization_code")) == 2 * visit
        await page.goto(world.url + "/")
        await sign_out(page)
        assert not await is_signed_in(page)


@pytest.mark.requirement("R-300")
@pytest.mark.parametrize("name", [name for name in WORKERS if name.startswith("Workbox")])
async def test_no_worker_keeps_a_sign_in(window: "BrowserContext", name: str) -> None:
    """Each sign-in begins anew: a redirect to the provider that a worker kept would lead back with a state that is over."""
    async with app_with_worker(name, window) as (world, page):
        world.corp.sign_in_as = "alice"
        for _ in range(3):
            await page.goto(world.url + "/bff/login?return_to=/")
            await page.goto(world.url + "/nowhere/else")
        states = [dict(call.query)["state"] for call in world.corp.calls_to("/authorize")]
        assert len(set(states)) == 3
        assert len(world.token_calls("authorization_code")) == 3


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize("name", [name for name in WORKERS if name.startswith("Workbox")])
async def test_no_worker_keeps_a_page_of_ours(window: "BrowserContext", name: str) -> None:
    """A page that tells a problem is gone when the problem is."""
    async with app_with_worker(name, window) as (world, page):
        await page.goto(world.url + "/bff/callback/corp?state=x&code=y")
        await page.goto(world.url + "/api/x")
        assert "not a page" in await page.inner_text("h1")
        kept = await page.evaluate(
            """async () => {
                const caught = [];
                for (const name of await caches.keys()) {
                    const cache = await caches.open(name);
                    for (const request of await cache.keys()) if (await cache.match(request)) caught.push(request.url);
                }
                return caught;
            }"""
        )
        assert [url for url in kept if "/bff/" in url or "/api/" in url] == []
