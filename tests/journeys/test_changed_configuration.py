"""Sessions and sign-ins that were begun before the configuration changed: what one provider gave is never shown to another."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.proxy.fields import LOGIN_COOKIE, SESSION_COOKIE
from bff.web.app import App, create_app
from bff.web.backchannel_logout import _end_session
from support.gateway_world import GatewayWorld, gateway_world, serving_gateway
from support.session_samples import end_all
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
async def restarted(
    world: GatewayWorld, browser: Browser, *, namespace: str = "bff", **providers: Any
) -> AsyncIterator[Restarted]:
    """Serve the same store with these providers instead."""
    names = list(providers)
    routes = tuple(
        route if route.provider in {None, *names} else route.model_copy(update={"provider": names[0]})
        for route in world.config.routes
    )
    session = world.config.session.model_copy(update={"namespace": namespace})
    config = world.config.model_copy(update={"providers": providers, "routes": routes, "session": session})
    app = create_app(config, clock=world.clock)
    sockets = bind_loopback(both_families=True)
    async with serving_gateway(app, sockets):
        host = world.url.removeprefix("http://")
        yield Restarted(url=f"http://localhost:{port_of(sockets)}", host=host, app=app, browser=browser)


def of_another_issuer(world: GatewayWorld) -> dict[str, Any]:
    """`corp` is another provider now; under its own name, with the same client."""
    corp = world.config.providers["corp"]
    return {"corp": corp.model_copy(update={"issuer": world.partner.issuer})}


def of_another_client(world: GatewayWorld) -> dict[str, Any]:
    """The provider is the same, and we are another client there."""
    return {"corp": world.config.providers["corp"].model_copy(update={"client_id": "another-shop"})}


def of_another_namespace(world: GatewayWorld) -> dict[str, Any]:
    """Another gateway, with the same keys, store, provider and client."""
    return {"namespace": "another", "corp": world.config.providers["corp"]}


def renamed(world: GatewayWorld) -> dict[str, Any]:
    """The provider is the same, and has another name."""
    return {"head-office": world.config.providers["corp"]}


@pytest.mark.requirement("R-143", "R-194", "R-307")
@pytest.mark.parametrize("change", [of_another_issuer, of_another_client, of_another_namespace, renamed])
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


@pytest.mark.requirement("R-143", "R-201", "R-307")
@pytest.mark.parametrize("change", [of_another_issuer, of_another_client, renamed])
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


@pytest.mark.requirement("R-307")
@pytest.mark.parametrize("change", [of_another_client, of_another_namespace])
async def test_a_sign_in_does_not_end_at_another_gateway(valkey: ValkeyServer, change: Any) -> None:
    """State and login cookie of one gateway are nothing to another client or namespace, though the keys are the same."""
    async with gateway_world(store=valkey.url) as world:
        browser = await world.browser()
        world.corp.sign_in_as = "alice"
        begun = await browser.open_once("/bff/login?provider=corp", from_url=world.url + "/")
        answered = await browser.open_once(begun.headers["location"], from_url=world.url + "/")
        async with restarted(world, browser, **change(world)) as gateway:
            refused = await gateway.ask(answered.headers["location"].removeprefix(world.url))
        assert refused.status_code == 400
        assert world.token_calls("authorization_code") == []


@pytest.mark.requirement("R-307")
async def test_ending_all_sessions_ends_those_of_one_namespace(valkey: ValkeyServer) -> None:
    """`sessions end --all` of one gateway leaves another's sessions on the same store."""
    async with gateway_world(store=valkey.url) as world:
        browser = await world.signed_in("alice")
        async with restarted(world, browser, **of_another_namespace(world)) as gateway:
            assert await end_all(gateway.app.process.store, now=world.clock.now) == 0
            assert (await browser.fetch("/api/x")).status_code == 200
        assert await end_all(world.app.process.store, now=world.clock.now) == 1


@pytest.mark.requirement("R-307")
async def test_a_logout_token_for_another_client_ends_no_session_of_this_one(valkey: ValkeyServer) -> None:
    """A session that another client's gateway made on the same store outlives the back-channel logout at this one."""
    async with gateway_world(store=valkey.url) as world:
        browser = await world.signed_in("alice")
        async with restarted(world, browser, **of_another_client(world)) as gateway:
            store, issuer = gateway.app.process.store, world.corp.issuer
            (key,) = await store.find(issuer=issuer, subject="alice")
            assert not await _end_session(gateway.app.gateway, key, now=world.clock.now)
        assert (await browser.fetch("/api/x")).status_code == 200


@pytest.mark.requirement("R-306")
async def test_gateways_on_one_host_do_not_sign_each_other_out(valkey: ValkeyServer) -> None:
    """Two gateways on two ports of one host, each with a suffix and a namespace: signing in and out at one leaves the other alone."""
    shop = {"cookie_suffix": "shop", "namespace": "shop"}
    async with (
        gateway_world(store=valkey.url, session=shop) as first,
        gateway_world(store=valkey.url, session={"cookie_suffix": "desk", "namespace": "desk"}) as other,
    ):
        browser = await first.signed_in()
        names = {name for host, name in browser.jar if host == "localhost"}
        assert names == {"__Host-Http-bff-shop", "__Host-Http-bff-login-shop"}
        browser.app = other.url
        other.corp.sign_in_as = "bob"
        await browser.navigate("/bff/login?provider=corp", from_url=other.url + "/")
        assert (await browser.fetch("/bff/user")).json()["claims"]["sub"] == "bob"
        await browser.fetch("/bff/logout", method="POST")
        assert (await browser.fetch("/bff/user")).json()["authenticated"] is False
        browser.app = first.url
        assert (await browser.fetch("/bff/user")).json()["claims"]["sub"] == "alice"


@pytest.mark.requirement("R-306")
@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"base_path": "/desk"}, True),
        ({"base_path": "/desk", "session": {"cookie_suffix": "desk"}}, False),
        ({}, False),
    ],
)
async def test_another_base_path_without_a_suffix_warns(settings: dict[str, Any], warned: bool) -> None:
    """A gateway that is probably not alone on its host says at start that its cookies are everybody's."""
    with capture_logs() as logs:
        async with gateway_world(**settings):
            pass
    assert any(entry["event"] == "cookies.shared" for entry in logs) is warned
