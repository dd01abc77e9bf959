"""APIs as their users write them, behind the gateway: redirects, uploads, event streams, WebSockets (`make apis`)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from support.api_servers import go, missing, node, python, run_node, serving, streamlit
from support.gateway_world import GatewayWorld, gateway_world
from support.strict_browser import Browser

pytestmark = pytest.mark.apis

SESSION = "__Host-Http-bff"


@asynccontextmanager
async def before(
    command: Callable[[int], list[str]], *, needs: str, path: str = "/api", base: str = "", **route: Any
) -> AsyncIterator[tuple[GatewayWorld, Browser]]:
    """A gateway before such an API, and a browser in which alice is signed in."""
    if (reason := missing(needs)) is not None:
        pytest.skip(reason)
    async with serving(command) as port:
        routes = [{"path": path, "upstream": f"http://127.0.0.1:{port}{base}", "provider": "corp", **route}]
        async with gateway_world(routes=[*routes, {"path": "/", "files": "dist"}]) as world:
            yield world, await world.signed_in()


@asynccontextmanager
async def websocket(
    world: GatewayWorld, browser: Browser, path: str, **options: Any
) -> AsyncIterator[ClientConnection]:
    """A page's WebSocket."""
    fields = {"cookie": f"{SESSION}={browser.cookie(SESSION)}"}
    url = world.url.replace("http://", "ws://") + path
    async with connect(url, additional_headers=fields, origin=world.url, proxy=None, **options) as socket:  # type: ignore[arg-type]
        yield socket


async def echoes(world: GatewayWorld, browser: Browser, path: str) -> bool:
    """Whether a message comes back; False if the API refused the handshake."""
    try:
        async with websocket(world, browser, path) as socket:
            await socket.send("hello")
            return bool(await socket.recv() == "hello")
    except InvalidStatus as refused:
        if refused.response.status_code == 403:
            return False
        raise


@pytest.mark.requirement("R-360")
async def test_fastapis_redirects_arrive_at_public_addresses() -> None:
    """Without the slash FastAPI redirects to an absolute inner URL: it becomes the public one, and the browser gets there."""
    async with before(python("fastapi_app.py"), needs="fastapi") as (world, browser):
        moved = await browser.fetch("/api/items")
        assert moved.headers["location"] == f"{world.url}/api/items/"
        assert (await browser.fetch("/api/items/")).json()["user"] == "Bearer "
        assert (await browser.fetch("/api/moved")).headers["location"] in {"/api/items/", f"{world.url}/api/items/"}
        made = await browser.fetch("/api/items/", method="POST")
        assert (made.status_code, made.headers["location"]) == (201, f"{world.url}/api/items/7")


@pytest.mark.requirement("R-361")
async def test_fastapi_builds_public_urls_itself_with_pass_host() -> None:
    """With the browser's Host and the forwarded scheme its own absolute URLs name the public origin."""
    async with before(python("fastapi_app.py"), needs="fastapi", pass_host=True) as (world, browser):
        assert (await browser.fetch("/api/items/")).json()["url"] == f"{world.url}/items/"
        assert (await browser.fetch("/api/items")).headers["location"] == f"{world.url}/api/items/"


async def test_fastapi_gets_uploads_and_sends_events() -> None:
    """A form with a file of 2 MB arrives whole; events come as they were sent; its WebSocket answers."""
    async with before(python("fastapi_app.py"), needs="fastapi", websocket=True, csrf="origin") as (world, browser):
        boundary = b"--frontier\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\n"
        content = boundary + b"x" * 2_000_000 + b"\r\n--frontier--\r\n"
        fields = {"content-type": "multipart/form-data; boundary=frontier"}
        answer = await browser.fetch("/api/upload", method="POST", headers=fields, content=content)
        assert answer.json() == {"size": 2_000_000}
        assert (await browser.fetch("/api/events")).text == "data: 0\n\ndata: 1\n\ndata: 2\n\n"
        assert await echoes(world, browser, "/api/ws")


@pytest.mark.requirement("R-360")
async def test_expresss_redirects_arrive_at_public_addresses() -> None:
    """Paths, absolute inner URLs and folders become public; another site's URL stays; a relative one means the same."""
    async with before(node("express_app.mjs"), needs="express") as (world, browser):
        where = {
            path: (await browser.fetch(f"/api{path}")).headers["location"]
            for path in ("/login", "/absolute", "/elsewhere", "/up", "/static/docs")
        }
        assert where == {
            "/login": "/api/home",
            "/absolute": f"{world.url}/api/home?a=1",
            "/elsewhere": "https://other.example/home",
            "/up": "../home",
            "/static/docs": "/api/static/docs/",
        }
        made = await browser.fetch("/api/things", method="POST")
        assert (made.status_code, made.headers["location"]) == (201, "/api/things/7")
        assert (await browser.fetch("/api/home")).json()["prefix"] == "/api"


@pytest.mark.requirement("R-373")
@pytest.mark.parametrize(
    ("command", "needs"), [(node("express_app.mjs"), "express"), (python("tornado_app.py"), "tornado")]
)
async def test_an_etag_saves_the_body(command: Callable[[int], list[str]], needs: str) -> None:
    """What a framework tags is kept by the browser and asked for again: 304, and never by a shared cache."""
    async with before(command, needs=needs) as (_, browser):
        first = await browser.fetch("/api/same")
        assert first.headers["cache-control"] == "private, no-cache"
        again = await browser.fetch("/api/same", headers={"if-none-match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


@pytest.mark.requirement("R-360")
async def test_gos_redirects_arrive_below_the_routes_path() -> None:
    """Behind a base path and httputil.ReverseProxy: the mux's added slash, and a relative redirect that net/http makes absolute."""
    async with before(go, needs="go", base="/v2") as (_, browser):
        assert (await browser.fetch("/api/tree")).headers["location"] == "/api/tree/"
        assert (await browser.fetch("/api/found")).headers["location"] == "/api/tree/"


@pytest.mark.requirement("R-361")
@pytest.mark.parametrize(
    ("command", "needs", "base", "path"),
    [
        (go, "go", "/v2", "/api/gorilla"),
        (go, "go", "/v2", "/api/coder"),
        (python("tornado_app.py"), "tornado", "", "/api/ws"),
    ],
    ids=["gorilla", "coder", "tornado"],
)
async def test_websocket_servers_that_compare_origins_accept_with_pass_host(
    command: Callable[[int], list[str]], needs: str, base: str, path: str
) -> None:
    """They compare `Origin` with `Host`: 403 with the upstream's own name, an echo with the browser's."""
    async with before(command, needs=needs, base=base, websocket=True, csrf="origin") as (world, browser):
        assert not await echoes(world, browser, path)
    async with before(command, needs=needs, base=base, websocket=True, csrf="origin", pass_host=True) as (
        world,
        browser,
    ):
        assert await echoes(world, browser, path)


@pytest.mark.requirement("R-361")
async def test_streamlits_page_and_websocket_work() -> None:
    """Its page loads, and its WebSocket, which compares origins, is accepted with the browser's Host."""
    settings = {"path": "/board", "base": "/board", "csrf": "origin", "websocket": True, "pass_host": True}
    async with before(streamlit, needs="streamlit", **settings) as (world, browser):
        page = await browser.navigate("/board/", from_url=world.url + "/")
        assert "Streamlit" in page.text
        async with websocket(world, browser, "/board/_stcore/stream", subprotocols=["streamlit"]) as socket:
            assert socket.subprotocol == "streamlit"


@pytest.mark.requirement("R-360")
async def test_an_upload_by_tus_goes_on_at_the_public_address() -> None:
    """tus-js-client creates the upload, follows its `Location`, and sends 3 MB in three pieces."""
    async with before(node("tus_app.mjs"), needs="tus-js-client", path="/files", base="/files") as (world, browser):
        cookie = f"{SESSION}={browser.cookie(SESSION)}"
        (url,) = await run_node("tus_client.mjs", f"{world.url}/files", cookie)
        assert url.startswith(f"{world.url}/files/")
        length = await browser.fetch(url.removeprefix(world.url), method="HEAD", headers={"tus-resumable": "1.0.0"})
        assert length.headers["upload-offset"] == "3000000"


async def test_socket_io_polls_and_changes_to_a_websocket() -> None:
    """Its client begins with long polling and goes on by WebSocket, in one session of its own."""
    async with before(
        node("socketio_app.mjs"), needs="socket.io", path="/socket.io", base="/socket.io", websocket=True
    ) as (world, browser):
        cookie = f"{SESSION}={browser.cookie(SESSION)}"
        assert await run_node("socketio_client.mjs", world.url, "/socket.io/", cookie) == ["polling", "websocket:hello"]
