"""A page of a test's own behind a gateway, with the demo's provider and API: for what is seen in a real browser only."""

import textwrap
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bff.config.load import load
from bff.demo.api import SampleApi
from bff.demo.configuration import Addresses
from bff.demo.eject import demo_client, gateway_files, write_files
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.demo.provider import DemoProvider
from bff.server.process import serving
from bff.web.app import App, create_app


@dataclass(frozen=True, slots=True, kw_only=True)
class AppWorld:
    """Where the page is, and what is behind it."""

    url: str
    app: App
    folder: Path
    provider_url: str


@asynccontextmanager
async def app_world(
    page: Mapping[str, str], *, session: str = "", route: str = "", folder: Path | None = None, top: str = ""
) -> AsyncIterator[AppWorld]:
    """Serve `page` (name to text), or `folder`; `session` and `route` are keys that are added to those sections, `top` to the file, a
    line each."""
    async with AsyncExitStack() as stack:
        gateway, provider, api = (bind_loopback(0, both_families=both) for both in (True, False, False))
        for sock in (*gateway, *provider, *api):
            stack.enter_context(sock)
        addresses = Addresses(gateway_port=port_of(gateway), provider_port=port_of(provider), api_port=port_of(api))
        home = Path(stack.enter_context(TemporaryDirectory()))
        texts = gateway_files(addresses, store="memory://")
        served = "page" if folder is None else str(folder)
        texts["bff.yaml"] = (
            texts["bff.yaml"]
            .replace("session:\n", f"session:\n{textwrap.indent(session, '  ')}\n")
            .replace("    files: page\n", f"    files: {served}\n{textwrap.indent(route, '    ')}\n")
        )
        texts["bff.yaml"] += top
        own = {f"page/{name}": text for name, text in page.items()}
        write_files(home, {**{n: t for n, t in texts.items() if not n.startswith("page/")}, **own})
        secret = (home / "secrets/client-secret").read_text(encoding="utf-8").strip()
        issuer = DemoProvider(
            issuer=addresses.provider, clients=[demo_client(addresses, secret=secret)], access_token_lifetime_seconds=60
        )
        sample = SampleApi(issuer=addresses.provider, audience=addresses.api)
        app = create_app(load(home / "bff.yaml"))
        await stack.enter_async_context(serving(issuer.app, provider))
        await stack.enter_async_context(serving(sample.app, api))
        await stack.enter_async_context(serving(app, gateway))
        stack.callback(sample.stop)
        yield AppWorld(url=addresses.gateway, app=app, folder=home, provider_url=addresses.provider)
