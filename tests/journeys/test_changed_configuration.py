"""Sessions and sign-ins that were begun before the configuration changed: what one provider gave is never shown to another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.proxy.fields import LOGIN_COOKIE, SESSION_COOKIE
from bff.web.app import App, create_app
from support.gateway_world import GatewayWorld, gateway_world, serving_gateway
from support.strict_browser import Browser
from support.valkey_server import ValkeyServer


@dataclass(frozen=True, slots=True, kw_only=True)
class Restarted:
    """The same gateway with a changed configuration, as the same browser meets it."""

    url: str
    host: str
    app: App
    browser: Browser

    async def ask(self, path: str, *, method: str = "GET") -> httpx2.Response:
        """A call of the page, with the cookies that the browser has from before."""
        cookies = [(name, self.browser.cookie(name)) for name in (SESSION_COOKIE, LOGIN_COOKIE)]
        headers = {
            "host": self.host,
            "x-csrf": "1",
            "cookie": "; ".join(f"{name}={value}" for name, value in cookies if value is not None),
        }
        return await self.browser.http.request(method, self.url + path, headers=headers)


@asynccontextmanager
async def restarted(world: GatewayWorld, browser: Browser, **providers: Any) -> AsyncIterator[Restarted]:
    """Serve the same store with these providers instead."""
    names = list(providers)
    routes = tuple(
        route if route.provider in {None, *names} else route.model_copy(update={"provider": names[0]})
        for route in world.config.routes
    )
    config = world.config.model_copy(update={"providers": providers, "routes": routes})
    app = create_app(config, clock=world.clock)
    sockets = bind_loopback(both_families=True)
    async with serving_gateway(app, sockets):
        host = world.url.removeprefix("http://")
        yield Restarted(url=f"http://localhost:{port_of(sockets)}", host=host, app=app, browser=browser)


def of_another_issuer(world: GatewayWorld) -> dict[str, Any]:
    """`corp` is another provider now; under its own name, with the same client."""
    corp = world.config.providers["corp"]
    return {"corp": corp.model_copy(update={"issuer": world.partner.issuer})}


def renamed(world: GatewayWorld) -> dict[str, Any]:
    """The provider is the same, and has another name."""
    return {"head-office": world.config.providers["corp"]}


@pytest.mark.requirement("R-143", "R-194")
@pytest.mark.parametrize("change", [of_another_issuer, renamed])
async def test_what_another_provider_granted_is_not_used(valkey: ValkeyServer, change: Any) -> None:
    """Where the name means another issuer now, or nothing, nobody is signed in, and no token goes anywhere."""
    async with gateway_world(store=valkey.url) as world:
        browser = await world.signed_in("alice")
        for later_seconds in (0, 700):  # the access token is fresh; it has expired
            world.clock.now += later_seconds
            async with restarted(world, browser, **change(world)) as gateway:
                assert (await gateway.ask("/api/x")).status_code == 401
                assert (await gateway.ask("/machine/x")).status_code == 401
                assert (await gateway.ask("/bff/user")).json()["authenticated"] is False
        assert [call.path for call in world.partner.calls if call.path == "/token"] == []
        assert world.upstream.seen == []


@pytest.mark.requirement("R-143", "R-201")
@pytest.mark.parametrize("change", [of_another_issuer, renamed])
async def test_signing_out_tells_another_provider_nothing(valkey: ValkeyServer, change: Any) -> None:
    """Signing out ends the session here; neither its ID token nor its tokens are handed to who did not give them."""
    async with gateway_world(store=valkey.url) as world:
        browser = await world.signed_in("alice")
        async with restarted(world, browser, **change(world)) as gateway:
            answer = await gateway.ask("/bff/logout", method="POST")
            await gateway.app.process.tasks.close(grace_seconds=10)
        assert answer.status_code == 200
        assert answer.json() == {"logout_url": "/"}
        assert [call.path for call in world.partner.calls if call.path == "/revoke"] == []
        assert (await browser.fetch("/api/x")).status_code == 401


@pytest.mark.requirement("R-038", "R-143")
async def test_a_code_goes_to_the_provider_that_was_asked_for_it(valkey: ValkeyServer) -> None:
    """A sign-in that began at another issuer cannot be completed at the one that the name means now."""
    async with gateway_world(store=valkey.url) as world:
        browser = await world.browser()
        world.corp.sign_in_as = "alice"
        begun = await browser.open_once("/bff/login?provider=corp", from_url=world.url + "/")
        answered = await browser.open_once(begun.headers["location"], from_url=world.url + "/")
        async with restarted(world, browser, **of_another_issuer(world)) as gateway:
            refused = await gateway.ask(answered.headers["location"].removeprefix(world.url))
        assert refused.status_code == 400
        assert [call.path for call in world.partner.calls if call.path == "/token"] == []
