"""`allowed_origins`: pages of further origins of the site call with credentials, by exact CORS."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from support.echo_upstream import Said
from support.gateway_world import ROUTES, GatewayWorld, gateway_world
from support.strict_browser import Browser

UI = "https://ui.example.com"
FROM_UI = {"origin": UI, "sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
COOKIE = "__Host-Http-bff"
ELSEWHERE = ["https://evil.example", "null", "https://ui.example.com.evil.example", "http://ui.example.com", "*"]


@pytest.fixture
async def world() -> AsyncIterator[GatewayWorld]:
    """A gateway that one other origin may call."""
    async with gateway_world(routes=ROUTES, allowed_origins=[UI]) as running:
        yield running


async def call(
    world: GatewayWorld, browser: Browser, path: str, *, method: str = "GET", **fields: str | None
) -> httpx2.Response:
    """What a script of the other origin gets, with `credentials: "include"`."""
    own = {**FROM_UI, "x-csrf": "1", **{name.replace("_", "-"): value for name, value in fields.items()}}
    cookie = browser.cookie(COOKIE)
    sent = {**own, **({"cookie": f"{COOKIE}={cookie}"} if cookie else {})}
    headers = {name: value for name, value in sent.items() if value is not None}
    return await browser.http.request(method, world.url + path, headers=headers)


def allowed(answer: httpx2.Response) -> tuple[str | None, str | None]:
    """What the answer says of who may read it."""
    assert len(answer.headers.get_list("access-control-allow-origin")) <= 1
    return answer.headers.get("access-control-allow-origin"), answer.headers.get("access-control-allow-credentials")


@pytest.mark.requirement("R-015", "R-268")
@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/api/orders", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, QUERY"),
        ("/pages/x", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, QUERY"),
        ("/bff/user", "GET, HEAD"),
        ("/bff/logout", "POST"),
        ("/bff/sessions", "GET, HEAD, DELETE"),
        ("/bff/sessions/x", "GET, HEAD, DELETE"),
    ],
)
async def test_a_preflight_is_answered_here(world: GatewayWorld, path: str, methods: str) -> None:
    """Without a session, and without a word to the upstream."""
    asked = {"access-control-request-method": "PUT", "access-control-request-headers": "content-type,x-csrf"}
    browser = await world.browser()
    answer = await browser.http.options(world.url + path, headers={**FROM_UI, **asked})
    assert answer.status_code == 204
    assert allowed(answer) == (UI, "true")
    assert answer.headers["access-control-allow-methods"] == methods
    assert answer.headers["access-control-allow-headers"] == "content-type,x-csrf"
    assert answer.headers["access-control-max-age"] == "600"
    assert "Origin" in answer.headers["vary"]
    assert world.upstream.seen == []


@pytest.mark.requirement("R-015", "R-268")
@pytest.mark.parametrize("origin", ELSEWHERE)
@pytest.mark.parametrize("path", ["/api/orders", "/bff/user"])
async def test_a_preflight_from_elsewhere_gets_no_permission(world: GatewayWorld, path: str, origin: str) -> None:
    """No origin but those listed is named, and no upstream is asked."""
    asked = {"origin": origin, "access-control-request-method": "GET", "access-control-request-headers": "x-csrf"}
    answer = await (await world.browser()).http.options(world.url + path, headers=asked)
    assert answer.status_code in {403, 405}
    assert allowed(answer) == (None, None)
    assert world.upstream.seen == []


@pytest.mark.parametrize("path", ["/bff/login", "/bff/callback/corp", "/bff/nothing", "/", "/open/x"])
async def test_what_does_not_rest_on_the_cookie_is_not_opened(world: GatewayWorld, path: str) -> None:
    """Pages and files are no calls, and on `token: none` the upstream speaks for itself."""
    world.upstream.answer_next(Said(status=200, fields=[(b"access-control-allow-origin", b"*")]))
    answer = await call(world, await world.browser(), path)
    assert allowed(answer) == (("*", None) if path == "/open/x" else (None, None))


@pytest.mark.requirement("R-015")
async def test_a_signed_in_call_goes_through(world: GatewayWorld) -> None:
    """The API gets the token, and the page reads the answer with all of its fields."""
    browser = await world.signed_in()
    world.upstream.answer_next(Said(status=200, fields=[(b"x-total", b"7"), (b"etag", b'"1"')], body=b"fine"))
    answer = await call(world, browser, "/api/orders", method="POST")
    assert (answer.status_code, answer.content) == (200, b"fine")
    assert world.upstream.seen[0].bearer
    assert allowed(answer) == (UI, "true")
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert {"x-total", "etag", "x-request-id"} <= {*exposed}
    assert "set-cookie" not in exposed
    assert "Origin" in answer.headers.get_list("vary")


@pytest.mark.requirement("R-015")
@pytest.mark.parametrize("origin", [UI, None])
async def test_the_upstream_does_not_speak_cors_as_well(world: GatewayWorld, origin: str | None) -> None:
    """What it says of it is dropped, for our own pages too; the lane does the same."""
    browser = await world.signed_in()
    said: list[tuple[bytes, bytes]] = [
        (b"access-control-allow-origin", b"*"),
        (b"access-control-allow-credentials", b"false"),
        (b"access-control-expose-headers", b"x-secret"),
        (b"vary", b"Accept"),
    ]
    for _ in range(3):
        world.upstream.answer_next(Said(status=200, fields=said, body=b"fine"))
        site = None if origin is None else "same-site"
        answer = await call(world, browser, "/api/orders", origin=origin, sec_fetch_site=site)
        assert answer.status_code == 200
        assert allowed(answer) == ((UI, "true") if origin else (None, None))
        assert "x-secret" not in answer.headers.get("access-control-expose-headers", "")
        assert sorted(answer.headers.get_list("vary")) == ["Accept", "Origin"]


@pytest.mark.parametrize(("path", "status"), [("/api/orders", 401), ("/bff/sessions", 401), ("/api/../x", 400)])
async def test_a_refusal_can_be_read(world: GatewayWorld, path: str, status: int) -> None:
    """A page has to see that a sign-in is needed."""
    answer = await call(world, await world.browser(), path)
    if path != "/api/../x":  # the client normalises it
        assert answer.status_code == status
        assert allowed(answer) == (UI, "true")
        assert answer.json()["login_url"].startswith("/bff/login")


@pytest.mark.requirement("R-015")
@pytest.mark.parametrize(
    "fields",
    [{"x_csrf": None}, {"origin": "https://other.example.com"}, {"sec_fetch_site": "cross-site"}, {"origin": None}],
)
@pytest.mark.parametrize("path", ["/api/orders", "/bff/user", "/bff/sessions"])
async def test_the_csrf_defence_stays(world: GatewayWorld, path: str, fields: dict[str, str | None]) -> None:
    """The header is asked for, and no other origin of the site passes."""
    answer = await call(world, await world.signed_in(), path, **fields)
    assert answer.status_code == 403
    assert world.upstream.seen == []


async def test_the_user_and_the_sign_out(world: GatewayWorld) -> None:
    """A page there sees who is signed in, and can sign out."""
    browser = await world.signed_in()
    seen = await call(world, browser, "/bff/user")
    assert (seen.json()["authenticated"], allowed(seen)) == (True, (UI, "true"))
    assert len((await call(world, browser, "/bff/sessions")).json()["sessions"]) == 1
    ended = await call(world, browser, "/bff/logout", method="POST")
    assert (ended.status_code, allowed(ended)) == (200, (UI, "true"))
    assert (await call(world, browser, "/api/orders")).status_code == 401


@pytest.mark.requirement("R-015")
async def test_without_the_key_nothing_is_opened() -> None:
    """The upstream's own fields pass, and the other origin is refused, as before."""
    routes: list[dict[str, Any]] = ROUTES
    async with gateway_world(routes=routes) as world:
        browser = await world.signed_in()
        assert (await call(world, browser, "/api/orders")).status_code == 403
        world.upstream.answer_next(Said(status=200, fields=[(b"access-control-allow-origin", b"https://a.example")]))
        assert allowed(await browser.fetch("/api/orders")) == ("https://a.example", None)


async def test_the_client_is_for_pages_of_an_allowed_origin(world: GatewayWorld) -> None:
    """Its module may be imported there, and calls this gateway; for our own pages, and without a word for others, it is as it was."""
    browser = await world.browser()
    imported = {"origin": UI, "sec-fetch-site": "same-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "script"}
    theirs = await browser.http.get(f"{world.url}/bff/client.js", headers=imported)
    ours = await browser.http.get(f"{world.url}/bff/client.js")
    others = await browser.http.get(
        f"{world.url}/bff/client.js", headers={**imported, "origin": "https://evil.example"}
    )
    assert allowed(theirs)[0] == UI
    assert theirs.headers["cross-origin-resource-policy"] == "same-site"
    assert f'const ORIGIN = "{world.url}";' in theirs.text
    assert theirs.headers["etag"] != ours.headers["etag"]
    assert (others.text, others.headers["etag"], allowed(others)) == (ours.text, ours.headers["etag"], (None, None))
    assert 'const ORIGIN = "";' in ours.text
    assert ours.headers["cross-origin-resource-policy"] == "same-origin"
    for answer in (theirs, ours, others):
        assert "origin" in answer.headers["vary"].lower()
    again = await browser.http.get(
        f"{world.url}/bff/client.js", headers={**imported, "if-none-match": theirs.headers["etag"]}
    )
    assert (again.status_code, allowed(again)[0]) == (304, UI)
