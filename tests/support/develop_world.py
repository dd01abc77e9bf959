"""A provider and a gateway for a developer's machine: public_url may be that of another server, which stands in front."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bff.config.load import load
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.web.app import create_app
from support.fake_provider import FakeProvider, fake_provider, shop
from support.gateway_world import CLIENT_SECRET, SESSION_KEY, serving_gateway
from support.strict_browser import Browser


@dataclass(slots=True, kw_only=True)
class DevelopWorld:
    """`url` is what the browser's address bar shows."""

    url: str
    gateway: str
    provider: FakeProvider
    browser: Browser

    async def sign_in(self) -> int:
        """As alice; the status of the page that it ends on."""
        answer = await self.browser.navigate("/bff/login?return_to=/done", from_url=self.url + "/")
        return int(answer.status_code)


@asynccontextmanager
async def develop_world(
    *,
    provider: FakeProvider | None = None,
    gateway_port: int = 0,
    public_url: str | None = None,
    routes: list[dict[str, Any]],
    **settings: Any,
) -> AsyncIterator[DevelopWorld]:
    """Start both; without `public_url` it is the gateway's own address."""
    async with AsyncExitStack() as stack:
        sockets = bind_loopback(gateway_port, both_families=True)
        for sock in sockets:
            stack.enter_context(sock)
        gateway = f"http://localhost:{port_of(sockets)}"
        url = public_url or gateway
        if provider is None:
            provider = await stack.enter_async_context(fake_provider(clients=[]))
        provider.clients["shop"] = shop(url, provider="corp")
        provider.sign_in_as = "alice"
        folder = Path(stack.enter_context(TemporaryDirectory()))
        corp = {"issuer": provider.issuer, "client_id": "shop", "client_secret": CLIENT_SECRET}
        text = {
            "public_url": url,
            "session": {"store": "memory://", "keys": [SESSION_KEY]},
            "providers": {"corp": {**corp, "scope": "openid profile email offline_access"}},
            "routes": routes,
            **settings,
        }
        (folder / "bff.yaml").write_text(json.dumps(text))
        await stack.enter_async_context(serving_gateway(create_app(load(folder / "bff.yaml")), sockets))
        browser = await stack.enter_async_context(Browser(app=url))
        yield DevelopWorld(url=url, gateway=gateway, provider=provider, browser=browser)
