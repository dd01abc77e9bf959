"""`docs/how-to/beside-a-proxy.md`, pages of another origin: with the real proxy, which speaks CORS for the APIs."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import yaml

from support.asking_fronts import FRONTS, PAGE, Ports
from support.documented import marked
from support.echo_upstream import Said
from support.free_ports import free_port
from support.gateway_world import ROUTES, GatewayWorld, gateway_world

pytestmark = pytest.mark.proxies

UI = "https://ui.example.com"
COOKIE = "__Host-Http-bff"
FIELDS = {"origin": UI, "sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}


def nginx(text: str) -> str:
    """The recipe with the page's lines in their three places."""
    location = marked(PAGE, "nginx cors location")
    text = text.replace("    auth_request /_ask;\n", location + "    auth_request /_ask;\n")
    text = text.replace(
        "  location @sign_in {", "  location @sign_in {\n" + location.partition("\n")[2].partition("    proxy_hide")[0]
    )
    return marked(PAGE, "nginx cors http") + text


def envoy(text: str) -> str:
    """The recipe with the filter, and with its policy on the route of `/api`."""
    asking = "          - name: envoy.filters.http.ext_authz\n"
    route = "              - match: {path_separated_prefix: /api}\n                route: {cluster: apis}\n"
    assert asking in text
    assert route in text
    text = text.replace(asking, marked(PAGE, "envoy cors filter") + asking)
    return text.replace(route, route + marked(PAGE, "envoy cors route"))


@pytest.fixture(params=[("nginx", nginx), ("envoy", envoy)], ids=["nginx", "envoy"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[GatewayWorld]:
    """A gateway that the proxy asks, with one allowed origin."""
    name, edit = request.param
    front = FRONTS[name]
    if front.path() is None:
        pytest.skip(f"no `{name}` here")
    port = free_port()
    routes: list[dict[str, Any]] = yaml.safe_load(marked(PAGE, "routes"))
    own = [{**route, "provider": "corp"} for route in routes]
    files = next(route for route in ROUTES if route["path"] == "/")
    async with gateway_world(routes=[*own, files], forward_auth=True, front=port, allowed_origins=[UI]) as world:
        asked = world.config.forward_auth
        assert asked is not None
        api = int(str(world.upstream_url).rpartition(":")[2])
        ports = Ports(front=port, gateway=world.config.listen.port, asked=asked.listen.port, api=api)
        with front.serving(ports, edit=edit):
            yield world


async def fetch(world: GatewayWorld, path: str, method: str = "GET", **fields: str) -> httpx2.Response:
    """A request with these fields and no others of a browser's."""
    async with httpx2.AsyncClient(trust_env=False) as client:
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        return await client.request(method, world.url + path, headers=named)


def permission(answer: httpx2.Response) -> tuple[list[str], list[str]]:
    """Who may read the answer, and with credentials?"""
    told = answer.headers
    return told.get_list("access-control-allow-origin"), told.get_list("access-control-allow-credentials")


async def test_a_preflight_is_answered_by_the_proxy(world: GatewayWorld) -> None:
    """Without a cookie, and without a word to the API; one from elsewhere gets no permission."""
    wanted = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,x-csrf"}
    answer = await fetch(world, "/api/orders", "OPTIONS", **FIELDS, **wanted)
    assert answer.status_code in {200, 204}
    assert permission(answer) == ([UI], ["true"])
    assert "POST" in answer.headers["access-control-allow-methods"]
    assert "x-csrf" in answer.headers["access-control-allow-headers"]
    other = await fetch(world, "/api/orders", "OPTIONS", **{**FIELDS, "origin": "https://evil.example"}, **wanted)
    assert permission(other) == ([], [])
    assert world.upstream.seen == []


async def test_calls_and_refusals_can_be_read(world: GatewayWorld) -> None:
    """A call with the session has its bearer at the API, whose own CORS is gone; a page can read a refusal."""
    browser = await world.signed_in()
    cookie = {"cookie": f"{COOKIE}={browser.cookie(COOKIE)}"}
    world.upstream.answer_next(Said(fields=[(b"access-control-allow-origin", b"*")]))
    answer = await fetch(world, "/api/orders", "POST", **FIELDS, **cookie, x_csrf="1")
    assert (answer.status_code, permission(answer)) == (200, ([UI], ["true"]))
    assert world.upstream.seen[-1].bearer
    for fields, status in (({"x_csrf": "1"}, 401), (cookie, 403)):
        refused = await fetch(world, "/api/orders", "POST", **FIELDS, **fields)
        assert (refused.status_code, permission(refused)) == (status, ([UI], ["true"]))
    evil = await fetch(
        world, "/api/orders", "POST", **{**FIELDS, "origin": "https://evil.example"}, **cookie, x_csrf="1"
    )
    assert (evil.status_code, permission(evil)) == (403, ([], []))


async def test_the_gateways_own_endpoints_speak_for_themselves(world: GatewayWorld) -> None:
    """One permission, and not the proxy's besides."""
    answer = await fetch(world, "/bff/user", **FIELDS, x_csrf="1")
    assert (answer.status_code, permission(answer)) == (200, ([UI], ["true"]))
