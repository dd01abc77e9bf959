"""Routes that require something of the user's sign-in, and a user with claims."""

from typing import Any

from support.fake_provider import having
from support.gateway_world import GatewayWorld
from support.strict_browser import Browser


def guarded(**require: object) -> list[dict[str, Any]]:
    """A route that requires something, one that does not, and pages."""
    upstream: dict[str, Any] = {"upstream": "{upstream}", "provider": "corp"}
    return [
        {"path": "/api", **upstream, "require": require},
        {"path": "/pages", **upstream, "require": require, "csrf": "origin"},
        {"path": "/plain", **upstream},
        {"path": "/", "files": "dist"},
    ]


async def signed_in(world: GatewayWorld, **claims: object) -> Browser:
    """A browser whose user has these claims."""
    world.corp.misbehave(id_token_claims=having(**claims))
    return await world.signed_in()
