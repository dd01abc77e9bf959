"""docs/how-to/develop.md with a real Next: behind the gateway, and in front of it with rewrites."""

from pathlib import Path

import pytest
import yaml

from support.dev_servers import dev_server, missing
from support.develop_world import develop_world
from support.documented import marked, page
from support.echo_upstream import echo_upstream
from support.free_ports import free_port

pytestmark = [pytest.mark.develop, pytest.mark.skipif(missing("next") is not None, reason=str(missing("next")))]

PAGE = page("how-to/develop.md")
FILES = {
    "package.json": "{}",
    "app/layout.js": "export default ({ children }) => <html><body>{children}</body></html>;",
    "app/page.js": "export default () => <p>Ours</p>;",
    "app/done/page.js": "export default () => <p>Done</p>;",
}


async def test_next_in_front_hands_on_as_the_page_says(tmp_path: Path) -> None:
    """Through Next's rewrites a user signs in and calls the API with the token; its X-Forwarded-Host is believed."""
    front, back = free_port(), free_port()
    config = marked(PAGE, "next.config.mjs").replace("8080", str(back))
    settings = yaml.safe_load(marked(PAGE, "bff.yaml: Next in front"))
    flags = ("dev", "--webpack", "--port", str(front), "--hostname", "localhost")
    files = {**FILES, "next.config.mjs": config}
    async with (
        echo_upstream() as (api, url),
        dev_server("next", *flags, port=front, files=files, folder=tmp_path, pages=("/", "/done")),
        develop_world(
            gateway_port=back,
            public_url=f"http://localhost:{front}",
            routes=[{"path": "/api", "upstream": url}],
            trusted_proxies=settings["trusted_proxies"],
        ) as world,
    ):
        assert await world.sign_in() == 200
        assert world.browser.visited[-1] == f"{world.url}/done"
        assert (await world.browser.fetch("/api/orders")).status_code == 200
        assert api.seen[-1].bearer is not None


async def test_next_behind_the_gateway_serves(tmp_path: Path) -> None:
    """Its page comes through the gateway's address."""
    port = free_port()
    flags = ("dev", "--webpack", "--port", str(port), "--hostname", "localhost")
    routes = [{"path": "/", "upstream": f"http://localhost:{port}", "token": "none", "websocket": True}]
    async with (
        dev_server("next", *flags, port=port, files=FILES, folder=tmp_path, pages=("/",)),
        develop_world(routes=routes) as world,
    ):
        shown = await world.browser.navigate("/")
        assert shown.status_code == 200
        assert "Ours" in shown.text
