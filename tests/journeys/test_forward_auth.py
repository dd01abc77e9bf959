"""Forward-auth: proxies ask on a listener of its own, and the same lines judge (issue 10)."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from support.asking_proxy import CALL, COOKIE, FORMS, PAGE, ask
from support.echo_upstream import Said
from support.gateway_world import ROUTES, SERVER, Clock, GatewayWorld, gateway_world
from support.http_client import http_client

ASKED: list[dict[str, Any]] = [
    {"path": "/asked", "provider": "corp"},
    {"path": "/pages/asked", "provider": "corp", "csrf": "origin"},
    {"path": "/live", "provider": "corp", "websocket": True},
    {"path": "/public", "token": "none"},
    {"path": "/dav", "provider": "corp", "methods": ["GET", "COPY"]},
    {"path": "/scripts", "provider": "corp", "bearer": "pass"},
    {
        "path": "/named",
        "provider": "corp",
        "request_headers": {"set": {"X-User": "{subject}", "X-Mail": "{claims.none}", "X-Tier": "gold"}},
    },
    {"path": "/ruled", "provider": "corp", "require": {"claims": {"sub": "bob"}}},
]


@pytest.fixture
async def world() -> AsyncIterator[GatewayWorld]:
    """A gateway that forwards some routes itself and is asked about others."""
    async with gateway_world(routes=[*ASKED, *ROUTES], forward_auth=True) as running:
        yield running


@pytest.mark.parametrize("form", FORMS)
async def test_a_signed_in_call_passes_with_its_token(world: GatewayWorld, form: str) -> None:
    """The answer has the user's token, and the cookies that are not ours; it sets none and may not be stored."""
    issued = world.record_tokens()
    browser = await world.signed_in()
    answer = await ask(world, "/asked/x?a=%2F", form=form, method="POST", browser=browser)
    assert answer.status_code == 200
    assert answer.headers["authorization"] == "Bearer " + dict(issued)["access_token"]
    assert answer.headers["cookie"] == "theme=dark"
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    assert answer.content == b""


@pytest.mark.parametrize("form", FORMS)
async def test_the_operators_fields_are_given(world: GatewayWorld, form: str) -> None:
    """`request_headers` of the route are in the answer; one that names what the user does not have is left out."""
    answer = await ask(world, "/named", form=form, browser=await world.signed_in())
    assert (answer.headers["x-user"], answer.headers["x-tier"]) == ("alice", "gold")
    assert "x-mail" not in answer.headers


@pytest.mark.parametrize("form", FORMS)
async def test_nothing_is_given_where_no_token_is(world: GatewayWorld, form: str) -> None:
    """A route with `token: none` passes without a field for the API but the other cookies."""
    browser = await world.signed_in()
    answer = await ask(world, "/public/x", form=form, fields={"authorization": "Bearer mine"}, browser=browser)
    assert answer.status_code == 200
    assert "authorization" not in answer.headers
    assert answer.headers["cookie"] == "theme=dark"


@pytest.mark.parametrize("form", FORMS)
async def test_no_cookie_is_given_where_the_browser_sends_none(world: GatewayWorld, form: str) -> None:
    """A request without `Cookie` reaches the API without that field: a proxy that copies the answer's fields adds no empty one."""
    answer = await ask(world, "/public/x", form=form)
    assert answer.status_code == 200
    assert "cookie" not in answer.headers


@pytest.mark.parametrize("form", FORMS)
async def test_files_pass_with_nothing(world: GatewayWorld, form: str) -> None:
    """The proxy may ask about the app's own files, too."""
    answer = await ask(world, "/assets/app.js", form=form, fields=PAGE)
    assert (answer.status_code, "authorization" in answer.headers) == (200, False)


@pytest.mark.parametrize("form", FORMS)
async def test_a_call_without_a_session_is_401(world: GatewayWorld, form: str) -> None:
    """It is the problem that the public listener answers with, and it leads nowhere."""
    answer = await ask(world, "/asked/x", form=form)
    assert (answer.status_code, answer.json()["type"]) == (401, "urn:bff:problem:login-required")
    assert answer.headers["www-authenticate"] == 'BFF login_url="/bff/login?provider=corp"'
    assert "location" not in answer.headers


@pytest.mark.parametrize("form", FORMS)
async def test_a_page_load_without_a_session_is_sent_to_sign_in(world: GatewayWorld, form: str) -> None:
    """The place has our origin in it and leads back to the page; nginx gets it with 401, the status that it knows."""
    answer = await ask(world, "/pages/asked/x?a=b", form=form, fields=PAGE)
    assert answer.status_code == (401 if form == "nginx" else 303)
    assert answer.headers["location"] == f"{world.url}/bff/login?provider=corp&return_to=/pages/asked/x%3Fa%3Db"
    assert ("www-authenticate" in answer.headers) == (form == "nginx")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("uri", "method", "fields", "status", "kind"),
    [
        ("/asked/x", "POST", {**CALL, "x-csrf": ""}, 403, "csrf-refused"),
        ("/asked/x", "GET", {**CALL, "sec-fetch-site": "cross-site"}, 403, "csrf-refused"),
        ("/asked/x", "GET", {**CALL, "origin": "https://evil.example"}, 403, "csrf-refused"),
        ("/asked/x", "GET", PAGE, 403, "not-a-page"),
        ("/ruled/x", "GET", CALL, 403, "not-permitted"),
        ("/asked/../api/x", "GET", CALL, 400, "malformed-request"),
        ("/asked/%2e%2e/api", "GET", CALL, 400, "malformed-request"),
        ("/asked//%2e%2e/api", "GET", CALL, 400, "malformed-request"),
        ("/%61sked/x", "GET", CALL, 400, "malformed-request"),
        ("//asked/x", "GET", CALL, 400, "malformed-request"),
        ("/public/..;/asked", "GET", CALL, 400, "malformed-request"),
        ("/public/%5c..%5casked", "GET", CALL, 400, "malformed-request"),
        ("/asked/x", "TRACE", CALL, 405, "method-not-allowed"),
        ("/asked/x", "PROPFIND", CALL, 405, "method-not-allowed"),
        ("/bff/user", "GET", CALL, 404, "no-route"),
        ("/bff/login?provider=corp", "GET", PAGE, 404, "no-route"),
        ("/dav/x", "COPY", {**CALL, "destination": "/asked/x"}, 400, "malformed-request"),
    ],
)
async def test_what_the_gateway_refuses_is_refused(
    world: GatewayWorld, *, form: str, uri: str, method: str, fields: dict[str, str], status: int, kind: str
) -> None:
    """With the status and the problem of the public listener; nginx knows no refusal but 403."""
    answer = await ask(world, uri, form=form, method=method, fields=fields, browser=await world.signed_in())
    assert answer.status_code == (403 if form == "nginx" else status)
    shown = answer.text if fields is PAGE else answer.json()["type"]
    assert fields is PAGE or shown == f"urn:bff:problem:{kind}"
    assert "authorization" not in answer.headers


@pytest.mark.parametrize("form", FORMS)
async def test_a_page_load_from_another_site_does_not_pass(world: GatewayWorld, form: str) -> None:
    """The page that leads on is no 200, which would let it pass; nginx, which shows no page, leads by way of the sign-in."""
    fields = {**PAGE, "sec-fetch-site": "cross-site"}
    answer = await ask(world, "/pages/asked/x", form=form, fields=fields, browser=await world.signed_in())
    assert "authorization" not in answer.headers
    if form == "nginx":
        assert answer.status_code == 401
        assert answer.headers["location"] == f"{world.url}/bff/login?provider=corp&return_to=/pages/asked/x"
    else:
        assert answer.status_code == 403
        assert 'id="go"' in answer.text


@pytest.mark.parametrize("form", FORMS)
async def test_a_page_load_of_a_signed_in_user_passes(world: GatewayWorld, form: str) -> None:
    """On a route for pages, with the user's token."""
    answer = await ask(world, "/pages/asked/x", form=form, fields=PAGE, browser=await world.signed_in())
    assert (answer.status_code, answer.headers["authorization"][:7]) == (200, "Bearer ")


@pytest.mark.parametrize("form", FORMS)
async def test_right_after_a_sign_out_no_page_load_passes(world: GatewayWorld, form: str) -> None:
    """The page that says so is no 200 either."""
    signed_out = {**PAGE, "cookie": f"{COOKIE}-out=1"}
    answer = await ask(world, "/pages/asked/x", form=form, fields=signed_out)
    assert answer.status_code == (401 if form == "nginx" else 403)
    assert form == "nginx" or "You are signed out" in answer.text


@pytest.mark.parametrize("form", FORMS)
async def test_after_the_sign_out_the_session_opens_nothing(world: GatewayWorld, form: str) -> None:
    """The next question about a request with the old cookie is answered with 401."""
    browser = await world.signed_in()
    kept = {**CALL, "cookie": f"{COOKIE}={browser.cookie(COOKIE)}"}
    assert (await ask(world, "/asked", form=form, fields=kept)).status_code == 200
    await browser.fetch("/bff/logout", method="POST")
    assert (await ask(world, "/asked", form=form, fields=kept)).status_code == 401


@pytest.mark.parametrize("form", FORMS)
async def test_an_expired_token_is_renewed_first(form: str) -> None:
    """The question waits for the refresh, as a call that is forwarded does."""
    clock = Clock()
    async with gateway_world(routes=[*ASKED, *ROUTES], forward_auth=True, clock=clock) as world:
        browser = await world.signed_in()
        first = await ask(world, "/asked", form=form, browser=browser)
        clock.now += 601
        second = await ask(world, "/asked", form=form, browser=browser)
        assert second.status_code == 200
        assert first.headers["authorization"] != second.headers["authorization"]
        assert len(world.token_calls("refresh_token")) == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("origin", "path", "status"), [(True, "/live", 200), (False, "/live", 403), (True, "/asked", 404)]
)
async def test_a_websocket_is_judged_by_its_origin(
    world: GatewayWorld, *, form: str, origin: bool, path: str, status: int
) -> None:
    """A handshake needs our Origin and a route that takes WebSockets; no page can send X-CSRF with it."""
    if form == "nginx" and SERVER != "bff":
        pytest.skip("another server takes a question that repeats `Upgrade` for a handshake with itself")
    handshake = {
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-version": "13",
        "origin": world.url if origin else "https://evil.example",
        **({"upgrade": "websocket", "connection": "upgrade"} if form == "nginx" else {}),
    }
    answer = await ask(world, path, form=form, fields=handshake, browser=await world.signed_in())
    assert answer.status_code == (403 if form == "nginx" and status > 400 else status)
    assert ("authorization" in answer.headers) == (status == 200)
    if form == "nginx":
        assert answer.headers["connection"] == "close"  # Envoy, which repeats `Upgrade` too, reads a refusal to the end


async def test_a_token_of_the_requests_own_passes(world: GatewayWorld) -> None:
    """On a route with `bearer: pass`, without a session cookie; elsewhere it is not given back."""
    own = {"authorization": "Bearer mine"}
    passed = await ask(world, "/scripts/x", fields=own)
    assert (passed.status_code, passed.headers["authorization"]) == (200, "Bearer mine")
    assert (await ask(world, "/asked/x", fields=own)).status_code == 403


async def test_a_copy_within_its_route_passes(world: GatewayWorld) -> None:
    """Its Destination is judged, and stays for the API."""
    fields = {**CALL, "destination": "/dav/y"}
    answer = await ask(world, "/dav/x", form="envoy", method="COPY", fields=fields, browser=await world.signed_in())
    assert answer.status_code == 200
    assert "destination" not in answer.headers["x-envoy-auth-headers-to-remove"].split(",")


async def test_envoy_is_told_what_to_take_out(world: GatewayWorld) -> None:
    """Every field that the gateway itself would drop, in every spelling, but for those that the answer sets."""
    sent = {
        **CALL,
        "authorization": "Bearer mine",
        "remote-user": "root",
        "x_user": "root",
        "x-user": "root",
        "x-auth-request-email": "root@example.com",
        "x-forwarded-for": "192.0.2.1",
        "x-forwarded-user": "root",
        "x-envoy-expected-rq-timeout-ms": "15000",
        "x-request-id": "1",
        "accept": "*/*",
    }
    answer = await ask(world, "/named", form="envoy", fields=sent, browser=await world.signed_in())
    removed = set(answer.headers["x-envoy-auth-headers-to-remove"].split(","))
    assert {"remote-user", "x_user", "x-auth-request-email", "x-userinfo", "proxy", "x-mail"} <= removed
    assert not removed & {"authorization", "cookie", "x-user", "x-tier", "accept", "x-request-id", "x-csrf", "host"}
    assert {"x-forwarded-user", "x-forwarded-email"} <= removed
    assert not removed & {"x-forwarded-for", "x-envoy-expected-rq-timeout-ms"}
    without = await ask(world, "/public", form="envoy", fields={**sent, "cookie": f"{COOKIE}=x"})
    assert {"authorization", "cookie"} <= set(without.headers["x-envoy-auth-headers-to-remove"].split(","))


HOST = "{host}"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        ([], 400),
        ([("host", HOST)], 400),
        ([("host", HOST), ("x-forwarded-host", HOST)], 400),
        ([("host", HOST), ("x-forwarded-uri", "/asked")], 400),
        ([("host", HOST), ("x-forwarded-method", "GET")], 400),
        ([("host", HOST), ("x-original-method", "GET")], 400),
        ([("host", HOST), ("x-original-uri", "/asked")], 403),
        ([("host", HOST), ("x-original-uri", "/asked"), ("x-forwarded-method", "GET")], 403),
        (
            [("host", HOST), ("x-original-uri", "/asked"), ("x-original-uri", "/asked"), ("x-original-method", "GET")],
            403,
        ),
        (
            [("host", HOST), ("x-original-uri", "/asked"), ("x-original-method", "GET"), ("x-original-method", "GET")],
            403,
        ),
        (
            [
                *[("host", HOST), ("x-original-uri", "/asked"), ("x-original-method", "GET")],
                *[("x-forwarded-uri", "/public"), ("x-forwarded-method", "GET")],
            ],
            403,
        ),
        (
            [
                *[("host", HOST), ("x-original-uri", "/asked"), ("x-original-method", "GET")],
                *[("x-forwarded-uri", "/asked"), ("x-forwarded-method", "POST")],
            ],
            403,
        ),
        (
            [
                *[("host", HOST), ("x-original-uri", "/asked"), ("x-original-method", "GET")],
                *[("x-forwarded-uri", "/asked"), ("x-forwarded-method", "GET")],
            ],
            200,
        ),
        ([("host", "evil.example"), ("x-original-uri", "/asked"), ("x-original-method", "GET")], 403),
        (
            [
                *[("host", HOST), ("x-forwarded-host", "evil.example")],
                *[("x-forwarded-uri", "/asked"), ("x-forwarded-method", "GET")],
            ],
            421,
        ),
        (
            [
                *[("x-forwarded-host", HOST), ("x-forwarded-host", HOST)],
                *[("x-forwarded-uri", "/asked"), ("x-forwarded-method", "GET")],
            ],
            400,
        ),
        ([("host", HOST), ("x-original-uri", "http://evil/asked"), ("x-original-method", "GET")], 403),
        ([("host", HOST), ("x-original-uri", "/asked#/public"), ("x-original-method", "GET")], 403),
        ([("host", HOST), ("x-original-uri", "/asked x"), ("x-original-method", "GET")], 403),
        ([("host", HOST), ("x-original-uri", ""), ("x-original-method", "GET")], 403),
        ([("host", HOST), ("x-original-uri", "/asked"), ("x-original-method", "get")], 403),
    ],
)
async def test_a_question_names_one_request(world: GatewayWorld, lines: list[tuple[str, str]], status: int) -> None:
    """A browser could have sent what the proxy leaves out, so no, half a, or a second different request is refused."""
    host = world.url.removeprefix("http://")
    own = [(name, host if value == HOST else value) for name, value in lines]
    answer = await ask(world, form="forwarded", lines=own, browser=await world.signed_in())
    assert answer.status_code == status


@pytest.mark.parametrize(
    "path", ["/", "/asked", "/authz/", "/authzz", "/envoy", "/envoyx/asked", "/bff/user", "/readyz"]
)
async def test_the_listener_answers_nothing_else(world: GatewayWorld, path: str) -> None:
    """No endpoint, no route and no management at it."""
    browser = await world.signed_in()
    cookie = {"cookie": f"{COOKIE}={browser.cookie(COOKIE)}"}
    async with http_client() as client:
        answer = await client.get(f"{world.forward_auth_url}{path}", headers={**CALL, **cookie})
    assert answer.status_code == 404


@pytest.mark.parametrize("path", ["/authz", "/envoy/asked", "/asked", "/asked/x", "/live"])
async def test_the_other_listeners_give_no_token(world: GatewayWorld, path: str) -> None:
    """Public and management listener do not answer as the one for proxies, and a route without upstream is 404 there."""
    browser = await world.signed_in()
    named = {"x-original-uri": "/asked", "x-original-method": "GET"}
    public = await browser.fetch(path, headers=named)
    inner = await browser.http.get(world.management_url + path, headers=named)
    assert {public.status_code, inner.status_code} == {404}
    assert "authorization" not in {*public.headers, *inner.headers}
    assert world.upstream.seen == []


@pytest.mark.parametrize("form", FORMS)
async def test_a_bound_token_cannot_be_handed_over(form: str) -> None:
    """A DPoP token is of use only with a proof for each request, which a proxy cannot make: 501 says so."""
    async with gateway_world(forward_auth=True, corp={"dpop": "on"}) as world:
        answer = await ask(world, "/api/orders", form=form, browser=await world.signed_in())
        assert (answer.status_code, answer.json()["type"]) == (501, "urn:bff:problem:not-implemented")
        assert "DPoP" in answer.json()["detail"]
        assert "authorization" not in answer.headers


@pytest.mark.parametrize("form", FORMS)
async def test_a_store_that_is_away_is_503(world: GatewayWorld, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is no "not signed in": the proxy shows an error."""
    from bff.errors import StoreUnavailable

    browser = await world.signed_in()

    async def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(world.app.process.store, "read", away)
    assert (await ask(world, "/asked", form=form, browser=browser)).status_code == 503


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("signed_in", [True, False])
async def test_it_agrees_with_the_public_listener(world: GatewayWorld, *, form: str, signed_in: bool) -> None:
    """For each kind of request to a route that is forwarded here, both say the same, and the same token goes to the API."""
    browser = await (world.signed_in() if signed_in else world.browser())
    for uri in ("/api/x", "/partner", "/pages/x", "/machine", "/open/a?b=c", "/api/%2e%2e/x", "/api//x"):
        for method in ("GET", "POST", "PROPFIND"):
            for fields in (CALL, {**CALL, "x-csrf": "2"}, {**CALL, "origin": "null"}, PAGE):
                world.upstream.seen.clear()
                world.upstream.answer_next(Said(status=200, body=b"reached"))
                asked = await ask(world, uri, form=form, method=method, fields=fields, browser=browser)
                url = world.url + uri
                cookie = browser.cookie(COOKIE)
                sent = {**fields, **({"cookie": f"{COOKIE}={cookie}"} if cookie else {})}
                public = await browser.http.request(method, url, headers=sent)
                wanted = 200 if world.upstream.seen or public.status_code == 200 else public.status_code
                if form == "nginx":
                    wanted = {200: 200, 303: 401, 401: 401}.get(wanted, 403)
                assert asked.status_code == wanted, (uri, method, fields)
                if world.upstream.seen:
                    bearer = world.upstream.seen[0].values("authorization")
                    assert asked.headers.get_list("authorization") == bearer
