"""A gateway that is configured by a recipe of docs/how-to/providers.md, before a fake of that provider."""

import re
import textwrap
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from bff.config.load import load
from bff.demo.grants import Client
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.server.process import serving
from bff.web.app import create_app
from support.documented import fenced, page, section
from support.echo_upstream import EchoUpstream, echo_upstream
from support.fake_provider import shop
from support.gateway_world import CLIENT_SECRET, SESSION_KEY, Clock, serving_gateway
from support.profiled_provider import Profile, ProfiledProvider
from support.strict_browser import Browser

PAGE = "how-to/providers.md"
_TEXT = """\
public_url: {url}
listen: 127.0.0.1:{port}
session: {{store: "memory://", keys: [{session_key}]}}
providers:
  {name}:
{recipe}
routes:
  - {{path: /api, upstream: "{upstream}", provider: {name}}}
  - {{path: /, files: dist}}
"""


def recipe_of(profile: Profile) -> str:
    """The first YAML block below the recipe's heading, as it stands in the page."""
    return fenced(section(page(PAGE), profile.recipe), "yaml")[0]


def without_key(recipe: str, key: str) -> str:
    """The recipe without one of its lines."""
    shorter = re.sub(rf"^{key}:.*\n", "", recipe, flags=re.MULTILINE)
    assert shorter != recipe, f"{key} is not in the recipe"
    return shorter


@dataclass(slots=True, kw_only=True)
class RecipeWorld:
    """Everything that a walk talks to."""

    url: str
    clock: Clock
    upstream: EchoUpstream
    provider: ProfiledProvider
    browsers: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def browser(self) -> Browser:
        """A fresh browser."""
        return await self.browsers.enter_async_context(Browser(app=self.url))


@asynccontextmanager
async def recipe_world(profile: Profile, recipe: str) -> AsyncIterator[RecipeWorld]:
    """Start the provider, and the gateway with the recipe: only hosts and the secret's place are others than in the page."""
    clock = Clock()
    async with AsyncExitStack() as stack:
        gateway, provider = bind_loopback(both_families=True), bind_loopback()
        for sock in (*gateway, *provider):
            stack.enter_context(sock)
        url, origin = f"http://localhost:{port_of(gateway)}", f"http://127.0.0.1:{port_of(provider)}"
        fake = ProfiledProvider(profile, origin=origin, client=_client(profile, recipe, url=url), clock=clock)
        upstream, upstream_url = await stack.enter_async_context(echo_upstream())
        folder = Path(stack.enter_context(TemporaryDirectory()))
        (folder / "dist").mkdir()
        (folder / "dist" / "index.html").write_text("<!doctype html><title>The app</title>")
        (folder / "secret").write_text(CLIENT_SECRET)
        text = _TEXT.format(
            url=url,
            port=port_of(gateway),
            session_key=SESSION_KEY,
            name=profile.name,
            recipe=textwrap.indent(_moved(profile, recipe, origin=origin, secret=folder / "secret"), "    "),
            upstream=upstream_url,
        )
        (folder / "bff.yaml").write_text(text)
        app = create_app(load(folder / "bff.yaml"), clock=clock)
        await stack.enter_async_context(serving(fake.app, provider))
        await stack.enter_async_context(serving_gateway(app, gateway))
        world = RecipeWorld(url=url, clock=clock, upstream=upstream, provider=fake)
        await stack.enter_async_context(world.browsers)
        yield world


def _client(profile: Profile, recipe: str, *, url: str) -> Client:
    found = re.search(r'^client_id: "?([^"\s]+)', recipe, flags=re.MULTILINE)
    assert found is not None
    return shop(url, provider=profile.name, client_id=found[1], scopes=profile.scopes, auth_method=profile.auth_method)


def _moved(profile: Profile, recipe: str, *, origin: str, secret: Path) -> str:
    for host in profile.hosts:
        recipe = recipe.replace(f"https://{host}", origin)
    return re.sub(r"(?<=^client_secret: )\{[^}]*\}", f"{{file: {secret}}}", recipe, flags=re.MULTILINE)
