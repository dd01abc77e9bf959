"""A proxy's question about one request of a browser, in the form of each proxy that asks (`web/asked_request.py`)."""

from collections.abc import Mapping

import httpx2

from support.gateway_world import GatewayWorld
from support.http_client import http_client
from support.strict_browser import Browser

FORMS = ("nginx", "forwarded", "envoy")
COOKIE = "__Host-Http-bff"
PAGE = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "none", "accept": "text/html"}
CALL = {"sec-fetch-mode": "cors", "sec-fetch-dest": "empty", "sec-fetch-site": "same-origin", "x-csrf": "1"}


def cookie_of(browser: Browser | None) -> dict[str, str]:
    """The `Cookie` field that this browser sends, with one of the app's own."""
    value = None if browser is None else browser.cookie(COOKIE)
    return {} if value is None else {"cookie": f"theme=dark; {COOKIE}={value}"}


async def ask(
    world: GatewayWorld,
    uri: str = "/api/orders",
    *,
    form: str = "nginx",
    method: str = "GET",
    fields: Mapping[str, str] = CALL,
    browser: Browser | None = None,
    lines: list[tuple[str, str]] | None = None,
) -> httpx2.Response:
    """The gateway's answer to the proxy; `lines` take the place of what the proxy itself says of the request."""
    host = world.url.removeprefix("http://")
    said = {
        "nginx": [("host", host), ("x-original-uri", uri), ("x-original-method", method)],
        "forwarded": [("x-forwarded-uri", uri), ("x-forwarded-method", method), ("x-forwarded-host", host)],
        "envoy": [("host", host)],
    }[form]
    own = said if lines is None else lines
    target = f"/envoy{uri}" if form == "envoy" else "/authz"
    verb = method if form == "envoy" else "GET"
    async with http_client() as client:
        sent = [*own, *fields.items(), *cookie_of(browser).items()]
        raw = {"target": target.encode()}  # byte for byte: the client would normalise a path
        return await client.request(verb, f"{world.forward_auth_url}/", headers=sent, extensions=raw)
