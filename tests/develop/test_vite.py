"""docs/how-to/develop.md with a real Vite: behind the gateway, in front of it, and in the trap of `changeOrigin`."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from support.dev_servers import dev_server, missing
from support.develop_world import DevelopWorld, develop_world
from support.documented import marked, page
from support.echo_upstream import EchoUpstream, echo_upstream
from support.free_ports import free_port

pytestmark = [pytest.mark.develop, pytest.mark.skipif(missing("vite") is not None, reason=str(missing("vite")))]

PAGE = page("how-to/develop.md")
FILES = {
    "index.html": "<!doctype html><title>Ours</title><script type=module src=/main.js></script>",
    "main.js": "export {}",
}


@asynccontextmanager
async def vite_in_front(config: str, folder: Path) -> AsyncIterator[tuple[DevelopWorld, EchoUpstream]]:
    """Vite with this configuration, the gateway behind it, an API behind the gateway; only the ports are others than in the page."""
    front, back = free_port(), free_port()
    config = config.replace("5173", str(front)).replace("8080", str(back))
    async with echo_upstream() as (api, api_url):
        routes = [{"path": "/api", "upstream": api_url}]
        world = develop_world(gateway_port=back, public_url=f"http://localhost:{front}", routes=routes)
        async with (
            dev_server("vite", port=front, files={**FILES, "vite.config.js": config}, folder=folder),
            world as it,
        ):
            yield it, api


async def test_vite_in_front_hands_on_as_the_page_says(tmp_path: Path) -> None:
    """Through Vite's proxy a user signs in and calls the API with the token; cookies and redirects are of Vite's address."""
    async with vite_in_front(marked(PAGE, "vite.config.js"), tmp_path) as (world, api):
        assert "<title>Ours</title>" in (await world.browser.navigate("/")).text
        assert await world.sign_in() == 200
        assert world.browser.visited[-1] == f"{world.url}/done"
        assert (await world.browser.fetch("/api/orders")).status_code == 200
        assert api.seen[-1].bearer is not None


@pytest.mark.parametrize(
    ("long", "trap"),
    [
        ('{ target: "http://localhost:8080" }', '"http://localhost:8080"'),
        ('{ target: "http://localhost:8080" }', '{ target: "http://localhost:8080", changeOrigin: true }'),
    ],
)
async def test_the_trap_is_one(long: str, trap: str, tmp_path: Path) -> None:
    """With the short form, or `changeOrigin`, the gateway sees its own address as Host, and answers 421."""
    config = marked(PAGE, "vite.config.js")
    assert long in config
    async with vite_in_front(config.replace(long, trap), tmp_path) as (world, _):
        assert await world.sign_in() == 421


async def test_vite_behind_the_gateway_serves_and_reloads(tmp_path: Path) -> None:
    """The page, its modules and the socket for reloading come through the gateway's address."""
    port = free_port()
    routes = [{"path": "/", "upstream": f"http://localhost:{port}", "token": "none", "websocket": True}]
    flags = ("--port", str(port), "--strictPort")
    async with (
        dev_server("vite", *flags, port=port, files=FILES, folder=tmp_path),
        develop_world(routes=routes) as world,
    ):
        shown = await world.browser.navigate("/")
        assert "/@vite/client" in shown.text
        client = (await world.browser.fetch("/@vite/client")).text
        token = client.partition('const wsToken = "')[2].partition('"')[0]
        socket = f"{world.url.replace('http', 'ws')}/?token={token}"
        async with connect(socket, subprotocols=["vite-hmr"], origin=world.url, proxy=None) as reloading:  # type: ignore[arg-type,list-item]
            assert "connected" in str(await reloading.recv())
