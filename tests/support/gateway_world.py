"""A whole gateway for journeys: real sockets, two providers, one upstream, and a clock that a test moves.

The gateway is `localhost`, providers and upstream are `127.0.0.1`: two sites, so that SameSite counts.
"""

import asyncio
import json
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bff.config.load import load
from bff.config.model import Config
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.server.process import serving
from bff.web.app import App, create_app
from bff.web.gateway import running
from support.echo_upstream import EchoUpstream, echo_upstream
from support.fake_provider import FakeProvider, fake_provider, shop
from support.http_client import http_client
from support.strict_browser import Browser
from support.stripping_relay import stripping_relay
from support.tls_certificates import Authority

SERVER = os.environ.get("BFF_TEST_SERVER", "bff")  # or granian
TLS = os.environ.get("BFF_TEST_TLS", "off") == "on"  # every gateway speaks TLS itself
SESSION_KEY = "a session key that is long enough 0123456789"
CLIENT_SECRET = "a secret of the shop that is long enough"


@dataclass(slots=True)
class Clock:
    """Unix seconds that a test moves."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Now."""
        return self.now


@dataclass(slots=True, kw_only=True)
class GatewayWorld:
    """Everything a journey talks to."""

    url: str
    config: Config
    app: App
    clock: Clock
    upstream: EchoUpstream
    corp: FakeProvider
    partner: FakeProvider
    management_url: str
    upstream_url: str
    file: Path  # the configuration
    tls: ssl.SSLContext | None  # with which browsers connect; None: plain HTTP
    forward_auth_url: str | None = None
    browsers: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def browser(self) -> Browser:
        """A fresh browser."""
        trust = {} if self.tls is None else {"verify": self.tls}
        http = http_client(follow_redirects=False, timeout=60, **trust)
        return await self.browsers.enter_async_context(Browser(app=self.url, http=http))

    async def signed_in(self, user: str = "alice", *, provider: str = "corp") -> Browser:
        """A browser in which `user` has signed in."""
        browser = await self.browser()
        await self.sign_in(browser, user, provider=provider)
        return browser

    async def sign_in(
        self, browser: Browser, user: str = "alice", *, provider: str = "corp", return_to: str = "/"
    ) -> Any:
        """Sign in from a link of the app; returns the page that it ends on."""
        {"corp": self.corp, "partner": self.partner}[provider].sign_in_as = user
        return await browser.navigate(f"/bff/login?provider={provider}&return_to={return_to}", from_url=self.url + "/")

    def record_tokens(self) -> list[tuple[str, str]]:
        """Every token that the providers give from now on, by its member's name, while they give it."""
        issued: list[tuple[str, str]] = []

        def note(answer: dict[str, Any]) -> dict[str, Any]:
            issued.extend(
                (name, answer[name]) for name in ("access_token", "refresh_token", "id_token") if name in answer
            )
            return answer

        for fake in (self.corp, self.partner):
            fake.misbehave(token_answer=note)
        return issued

    def token_calls(self, grant_type: str, *, provider: str = "corp") -> list[Any]:
        """The calls that a provider's token endpoint got, of one kind."""
        calls = {"corp": self.corp, "partner": self.partner}[provider].calls
        return [call for call in calls if ("grant_type", grant_type) in call.form]


ROUTES: list[dict[str, Any]] = [
    {"path": "/api", "upstream": "{upstream}/v2", "provider": "corp"},
    {"path": "/partner", "upstream": "{upstream}", "provider": "partner"},
    {"path": "/pages", "upstream": "{upstream}/pages", "provider": "corp", "csrf": "origin"},
    {"path": "/machine", "upstream": "{upstream}", "provider": "corp", "token": "client", "scope": "rates:read"},
    {"path": "/open", "upstream": "{upstream}", "token": "none"},
    {"path": "/", "files": "dist"},
]


@asynccontextmanager
async def gateway_world(
    *,
    store: str = "memory://",
    routes: list[dict[str, Any]] | None = None,
    session: dict[str, Any] | None = None,
    corp: dict[str, Any] | None = None,
    partner: dict[str, Any] | None = None,
    lifetime_seconds: int = 600,
    clock: Clock | None = None,
    strips_fetch_metadata: bool = False,
    forward_auth: bool = False,
    front: int | None = None,
    tls: bool = TLS,
    **settings: Any,
) -> AsyncIterator[GatewayWorld]:
    """Start it all; keyword arguments are added to the configuration. `front`: the port of a proxy that browsers go to."""
    clock = clock or Clock()
    async with AsyncExitStack() as stack:
        sockets = bind_loopback(both_families=True)
        management = bind_loopback()
        asked_at = bind_loopback() if forward_auth else []
        url = f"{'https' if tls else 'http'}://localhost:{front or port_of(sockets)}"
        upstream, upstream_url = await stack.enter_async_context(echo_upstream())
        fakes = await _fakes(stack, url, lifetime_seconds=lifetime_seconds, clock=clock)
        folder = Path(stack.enter_context(TemporaryDirectory()))
        _write_app(folder / "dist")
        pair, browsers_tls = _certificate(folder) if tls else ({}, None)
        names = {"{upstream}": upstream_url, "{self}": url}
        asked = {"forward_auth": {"listen": _address(asked_at)}} if forward_auth else {}
        text = {
            "public_url": url,
            "listen": _address(sockets),
            "management": _address(management),
            "session": {"store": store, "keys": [SESSION_KEY], **(session or {})},
            "providers": _providers(fakes, corp=corp or {}, partner=partner or {}),
            "routes": _named(ROUTES if routes is None else routes, names),
            **pair,
            **settings,
            **asked,
        }
        file = folder / "bff.yaml"
        file.write_text(json.dumps(text))  # YAML 1.2 contains JSON
        config = load(file)
        app = create_app(config, clock=clock)
        if strips_fetch_metadata:
            inner = bind_loopback()
            await stack.enter_async_context(stripping_relay(sockets, port=port_of(inner)))
            sockets = inner
        await stack.enter_async_context(serving_gateway(app, [*sockets, *management, *asked_at]))
        world = GatewayWorld(
            url=url,
            config=config,
            app=app,
            clock=clock,
            upstream=upstream,
            corp=fakes["corp"],
            partner=fakes["partner"],
            upstream_url=upstream_url,
            management_url=f"http://{_address(management)}",
            forward_auth_url=f"http://{_address(asked_at)}" if forward_auth else None,
            file=file,
            tls=browsers_tls,
        )
        await stack.enter_async_context(world.browsers)
        yield world


def _address(sockets: list[Any]) -> str:
    return f"127.0.0.1:{port_of(sockets)}"


async def _fakes(stack: AsyncExitStack, url: str, *, lifetime_seconds: int, clock: Clock) -> dict[str, FakeProvider]:
    """The two providers, each with the gateway as its client."""
    return {
        name: await stack.enter_async_context(
            fake_provider(
                clients=[shop(url, provider=name)], access_token_lifetime_seconds=lifetime_seconds, clock=clock
            )
        )
        for name in ("corp", "partner")
    }


def _certificate(folder: Path) -> tuple[dict[str, Any], ssl.SSLContext]:
    """The section `tls`, and with what browsers trust it."""
    authority = Authority(folder)
    pair = str(authority.server_file("localhost", "127.0.0.1"))
    return {"tls": {"certificate": pair, "key": pair}}, ssl.create_default_context(cafile=authority.file)


def _providers(fakes: dict[str, FakeProvider], **settings: dict[str, Any]) -> dict[str, Any]:
    """The section `providers`; in the settings `{fake}` stands for the provider's own issuer."""
    return {name: _provider(fake, _named(settings[name], {"{fake}": fake.issuer})) for name, fake in fakes.items()}


def _provider(fake: FakeProvider, settings: dict[str, Any]) -> dict[str, Any]:
    """The provider's section: the usual keys and these; None takes a usual one away."""
    section = {
        "issuer": fake.issuer,
        "client_id": "shop",
        "client_secrets": [CLIENT_SECRET],
        "scope": "openid profile email offline_access",
        "authorization_params": {"prompt": "consent"},
        **settings,
    }
    return {name: value for name, value in section.items() if value is not None}


def _named(settings: Any, names: dict[str, str]) -> Any:
    text = json.dumps(settings)
    for name, url in names.items():
        text = text.replace(name, url)
    return json.loads(text)


def _write_app(folder: Path) -> None:
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>The app</title><script src=/assets/app.js></script>")
    (folder / "assets" / "app.js").write_text("export const app = 1;\n")


def serving_gateway(app: App, sockets: list[Any]) -> AbstractAsyncContextManager[None]:
    """Serve the gateway on the running loop, by the server that `BFF_TEST_SERVER` names."""
    return {"bff": _serving_by_bff, "granian": _serving_by_granian}[SERVER](app, sockets)


@asynccontextmanager
async def _serving_by_granian(app: App, sockets: list[Any]) -> AsyncIterator[None]:
    """granian's embedded server, one for each socket; the lifespan is run here, round all of them."""
    async with running(lambda: app.gateway, app.process), AsyncExitStack() as stack:
        for sock in sockets:
            await stack.enter_async_context(_granian(app, sock))
        yield


@asynccontextmanager
async def _granian(app: App, sock: Any) -> AsyncIterator[None]:
    from granian.constants import HTTPModes, Interfaces
    from granian.http import HTTP1Settings
    from granian.net import SocketHolder
    from granian.server.embed import Server

    class Bound(Server):  # type: ignore[misc]  # granian ships no types for it
        """On a socket that is bound already: the configuration names its port before anything is served."""

        def _init_shared_socket(self) -> None:
            self._shd = SocketHolder(os.dup(sock.fileno()), False, 128)

    limits = app.gateway.config.limits
    server = Bound(
        app,
        interface=Interfaces.ASGINL,
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=int(limits.head_timeout * 1000)),
        log_enabled=False,
    )
    serving = asyncio.create_task(server.serve())
    try:
        yield
    finally:
        server.stop()
        await serving
        sock.close()


@asynccontextmanager
async def _serving_by_bff(app: App, sockets: list[Any]) -> AsyncIterator[None]:
    """As `bff serve` does."""
    async with serving(app, sockets):
        yield
