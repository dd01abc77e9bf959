"""Forwarders in tests: a table of routes, a forwarder over it, and requests as a server would hand them over."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bff.config.model import Config, Network, RouteConfig, SessionConfig
from bff.config.values.secrets import LiteralSecret
from bff.proxy.forward import Forwarder, is_trusted, owner_of
from bff.proxy.pools import UpstreamPools
from bff.proxy.response import UpstreamResponse
from bff.proxy.routes import RouteTable
from bff.request_head import RequestHead, field_block, head_of_scope
from support.asgi_browser import AsgiBrowser
from support.pool_usage import usage
from support.watching import Watching

Field = tuple[bytes, bytes]


def a_config(*routes: RouteConfig, trusted_proxies: tuple[Network, ...] = ()) -> Config:
    """A whole configuration round these routes."""
    return Config(
        public_url="https://app.example.com",
        session=SessionConfig(keys=(LiteralSecret(value="k" * 43),)),
        providers={},
        routes=routes,
        trusted_proxies=trusted_proxies,
    )


class Forwarding:
    """A forwarder with its table."""

    def __init__(self, config: Config) -> None:
        self.table = RouteTable(config.routes, max_body=config.limits.max_body, public_origin=config.public_url.raw)
        self.watching = Watching()
        self.pools = UpstreamPools(self.watching)
        self._trusted = config.trusted_proxies
        self.forwarder = Forwarder(
            self.table.routes, pools=self.pools, public_scheme=b"https", public_host=config.public_url.authority
        )

    async def send(
        self,
        path: str = "/api",
        *fields: Field,
        method: str = "GET",
        query: bytes = b"",
        bearer: str | None = "user-token",
        browser: AsgiBrowser | None = None,
        client: tuple[str, int] | None = ("192.0.2.1", 4711),
        http_version: str = "1.1",
    ) -> UpstreamResponse:
        """The response to one request."""
        browser = browser or AsgiBrowser()
        scope: dict[str, Any] = {
            "type": "http",
            "http_version": http_version,
            "method": method,
            "raw_path": path.encode(),
            "query_string": query,
            "headers": [(b"host", b"app.example.com"), *fields],
            "client": client,
        }
        match = self.table.match(path.encode(), method.encode())
        head = self.head(scope)
        owner = owner_of(head, session_key=None)
        credentials = field_block([] if bearer is None else [(b"authorization", b"Bearer " + bearer.encode())])
        return await self.forwarder.send(match, head, browser.receive, credentials=credentials, owner=owner)

    def head(self, scope: dict[str, Any]) -> RequestHead:
        """The head of an ASGI request."""
        return head_of_scope(scope, trusts=lambda host: is_trusted(host, networks=self._trusted))

    async def fetch(self, path: str = "/api", *fields: Field, **request: Any) -> AsgiBrowser:
        """The browser that saw the whole response."""
        browser = request.setdefault("browser", AsgiBrowser())
        assert isinstance(browser, AsgiBrowser)
        answer = await self.send(path, *fields, **request)
        await answer.relay(browser.send)
        return browser


@asynccontextmanager
async def forwarding(*routes: RouteConfig, trusted_proxies: tuple[Network, ...] = ()) -> AsyncIterator[Forwarding]:
    """A forwarder that must have nothing under way when the test is over."""
    room = Forwarding(a_config(*routes, trusted_proxies=trusted_proxies))
    try:
        yield room
        assert [usage(pool).active for pool in room.pools] == [0] * len(list(room.pools))
    finally:
        await room.pools.aclose()
