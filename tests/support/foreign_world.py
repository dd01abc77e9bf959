"""A gateway in a process of its own, two APIs and a browser, before a provider that nobody here wrote.

    async with foreign_world(valkey, provider=lambda gateway, api: {"issuer": ..., "client_id": ...}) as world:
        page = await world.browser.navigate("/bff/login", from_url=world.gateway.url + "/")

`provider` gets the gateway's and the API's origins, registers the client there, and returns the provider's part of our configuration.
`/api` leads to an API that verifies its tokens (or to `behind`; None: to the one of `/echo`), `/machine` to the same with the
gateway's own token, `/echo` to one that notes what it got.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bff.demo.api import SampleApi
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.server.process import serving
from support.echo_upstream import EchoUpstream
from support.free_ports import free_port
from support.served_gateway import ServedGateway
from support.strict_browser import Browser
from support.valkey_server import ValkeyServer

SESSION_KEY = "a session key that is long enough 0123456789"


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignWorld:
    """Everything a journey talks to."""

    gateway: ServedGateway
    browser: Browser
    echo: EchoUpstream
    api: Any

    async def begin(self, *, more: str = "") -> Any:
        """From a link of the app to the provider's first page."""
        return await self.browser.navigate(f"/bff/login?return_to=/{more}", from_url=self.gateway.url + "/")

    async def user(self) -> dict[str, Any]:
        """What the app reads about the user."""
        answer: dict[str, Any] = (await self.browser.fetch("/bff/user")).json()
        return answer

    async def claims(self, path: str = "/api/orders") -> dict[str, Any]:
        """What the API read in the access token of a call; it answers 200 only for a token that it could verify."""
        answer = await self.browser.fetch(path)
        assert answer.status_code == 200, f"{answer.status_code} {answer.text}"
        claims: dict[str, Any] = answer.json()["claims"]
        return claims

    async def call_until_renewed(self, *, times: int) -> None:
        """Call side by side until the access token was renewed so often; no call fails."""

        async def keep_calling() -> None:
            while len({seen.bearer for seen in self.echo.seen if seen.target == "/x"}) <= times:
                assert (await self.browser.fetch("/echo/x")).status_code == 200

        async with asyncio.timeout(120):
            await asyncio.gather(*(keep_calling() for _ in range(4)))

    async def sign_out(self) -> str:
        """End the session here; returns the provider's end-session URL, empty where there is none."""
        return str((await self.browser.fetch("/bff/logout", method="POST")).json().get("logout_url") or "")


@asynccontextmanager
async def foreign_world(
    valkey: ValkeyServer,
    *,
    provider: Callable[[str, str], dict[str, Any]],
    behind: Callable[[str, SampleApi], Any] = lambda url, api: api.app,
    issuer: str | None = None,
    files: dict[str, str] | None = None,
    api_route: dict[str, Any] | None = None,
    machine_route: dict[str, Any] | None = None,
) -> AsyncIterator[ForeignWorld]:
    """Start it all; `issuer` is whose tokens the API takes, the provider's own if it is not given."""
    port = free_port()
    url = f"http://localhost:{port}"
    api_sockets, echo_sockets = bind_loopback(), bind_loopback()
    api_url, echo_url = (f"http://127.0.0.1:{port_of(sockets)}" for sockets in (api_sockets, echo_sockets))
    corp = provider(url, api_url)
    public = corp.get("client_auth") == "none"  # such a client has no token of its own
    settings = {
        "public_url": url,
        "listen": f"127.0.0.1:{port}",
        "management": f"127.0.0.1:{free_port()}",
        "session": {"store": valkey.url, "keys": [{"file": "session-key"}]},
        "providers": {"corp": corp},
        "routes": [
            {"path": "/api", "upstream": api_url, **(api_route or {})},
            *(
                []
                if public
                else [{"path": "/machine", "upstream": api_url, "token": "client", **(machine_route or {})}]
            ),
            {"path": "/echo", "upstream": echo_url},
            {"path": "/", "upstream": echo_url, "token": "none"},
        ],
    }
    echo = EchoUpstream()
    api = behind(api_url, SampleApi(issuer=issuer or corp["issuer"], audience=api_url)) or echo
    with ServedGateway(settings, secrets={"session-key": SESSION_KEY, **(files or {})}) as gateway:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(serving(api, api_sockets))
            await stack.enter_async_context(serving(echo, echo_sockets))
            browser = await stack.enter_async_context(Browser(app=url))
            yield ForeignWorld(gateway=gateway, browser=browser, echo=echo, api=api)
