"""`bearer: pass`: callers that bring a bearer token of their own, and no session cookie."""

from typing import Any

import httpx2
import pytest

from support.echo_upstream import Said
from support.gateway_world import GatewayWorld, gateway_world
from support.http_client import http_client

ROUTES: list[dict[str, Any]] = [
    {"path": "/api", "upstream": "{upstream}", "provider": "corp", "bearer": "pass"},
    {"path": "/dropping", "upstream": "{upstream}", "provider": "corp"},
    {"path": "/open", "upstream": "{upstream}", "token": "none", "bearer": "pass"},
    {"path": "/", "files": "dist"},
]


async def call(
    world: GatewayWorld, path: str, *authorization: str, method: str = "POST", **fields: str
) -> httpx2.Response:
    """A call from no browser."""
    lines = [("authorization", value) for value in authorization]
    async with http_client() as client:
        return await client.request(method, world.url + path, headers=[*lines, *fields.items()])


@pytest.mark.parametrize("path", ["/api/orders", "/open/orders"])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
async def test_a_token_that_is_brought_goes_upstream(path: str, scheme: str) -> None:
    """A script's own bearer token reaches the API, without a CSRF header and without a session."""
    async with gateway_world(routes=ROUTES) as world:
        answer = await call(world, path, f"{scheme} a.b-c_d~e+f/g==")
        assert answer.status_code == 200
        assert world.upstream.seen[0].values("authorization") == ["Bearer a.b-c_d~e+f/g=="]


async def test_what_it_gets_is_the_upstreams_answer() -> None:
    """A 401 of the API is passed as it is: there is no other token, and no sign-in would help a script."""
    async with gateway_world(routes=ROUTES) as world:
        challenge = b'Bearer error="insufficient_user_authentication", acr_values="gold"'
        world.upstream.answer_next(Said(status=401, fields=[(b"www-authenticate", challenge)], body=b"no"))
        answer = await call(world, "/api/orders", "Bearer mine")
        assert (answer.status_code, answer.content) == (401, b"no")
        assert answer.headers.get_list("www-authenticate") == [challenge.decode()]
        assert len(world.upstream.seen) == 1


async def test_a_session_cookie_wins() -> None:
    """With a session cookie the session's token goes upstream, and the CSRF header is asked for as ever."""
    async with gateway_world(routes=ROUTES) as world:
        browser = await world.signed_in()
        answer = await browser.fetch("/api/orders", headers={"authorization": "Bearer attackers"})
        assert answer.status_code == 200
        assert world.upstream.seen[0].bearer not in {None, "attackers"}
        refused = await browser.fetch(
            "/api/orders", headers={"authorization": "Bearer attackers"}, csrf=False, method="POST"
        )
        assert refused.status_code == 403


@pytest.mark.parametrize(
    "values",
    [
        ["Bearer"],
        ["Bearer a b"],
        ["Bearer a,b"],
        ['Bearer "a"'],
        ["Bearer a", "Bearer b"],
        ["Bearer a", "Basic YQ=="],
    ],
)
async def test_what_is_not_one_bearer_token_is_not_passed(values: list[str]) -> None:
    """A field that is no bearer token, or several of them, never reaches the API."""
    async with gateway_world(routes=ROUTES) as world:
        answer = await call(world, "/api/orders", *values)
        assert answer.status_code in {400, 401, 403}
        assert world.upstream.seen == []


async def test_other_schemes_and_other_routes_drop_it() -> None:
    """Basic credentials are dropped, and so is every Authorization on a route that does not pass it."""
    async with gateway_world(routes=ROUTES) as world:
        assert (await call(world, "/api/orders", "Basic YTpi", **{"x-csrf": "1"})).status_code == 401
        assert (await call(world, "/dropping/orders", "Bearer mine", **{"x-csrf": "1"})).status_code == 401
        assert (await call(world, "/open/orders", "Basic YTpi")).status_code == 200
        assert [seen.values("authorization") for seen in world.upstream.seen] == [[]]
