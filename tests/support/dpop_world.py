"""A gateway whose provider binds tokens to keys (RFC 9449), and an API that takes no others, for journeys."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.server.process import serving
from support.dpop_api import DpopApi
from support.echo_upstream import EchoUpstream
from support.gateway_world import GatewayWorld, gateway_world

ROUTES = [
    {"path": "/api", "upstream": "{api}/v2", "provider": "corp"},
    {"path": "/machine", "upstream": "{api}/machine", "token": "client", "provider": "corp", "scope": "rates:read"},
    {"path": "/open", "upstream": "{upstream}", "token": "none"},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DpopWorld:
    """A gateway whose provider binds tokens, and an API that takes no others."""

    gateway: GatewayWorld
    api: DpopApi
    behind: EchoUpstream


@asynccontextmanager
async def dpop_world(*, routes: list[dict[str, Any]] = ROUTES, **corp: Any) -> AsyncIterator[DpopWorld]:
    """Start it all."""
    sockets = bind_loopback()
    url = f"http://127.0.0.1:{port_of(sockets)}"
    behind = EchoUpstream()
    api = DpopApi(url=url, behind=behind)
    named = json.loads(json.dumps(routes).replace("{api}", url))
    settings = {"dpop": "on", **corp}
    async with serving(api, sockets), gateway_world(routes=named, corp=settings) as gateway:
        yield DpopWorld(gateway=gateway, api=api, behind=behind)
