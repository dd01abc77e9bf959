"""Calling an API through the gateway: who is let through, what the upstream sees, and what the browser never does."""

import asyncio
import base64
import json
from typing import Any

import pytest

from support.echo_upstream import Said
from support.fake_provider import Answer, having, without
from support.gateway_world import GatewayWorld, gateway_world
from support.strict_browser import Browser
from support.valkey_server import ValkeyServer

SESSION = "__Host-Http-bff"


@pytest.mark.requirement("R-004", "R-150", "R-003")
async def test_a_call_goes_out_with_the_bearer_and_without_our_cookies(world: GatewayWorld) -> None:
    """The upstream gets the user's token in Authorization and nowhere else, other cookies, and none of ours."""
    browser = await world.signed_in()
    browser.jar["localhost", "theme"] = browser.jar["localhost", SESSION].__class__("dark", "Lax", {})
    answer = await browser.fetch("/api/orders/5?x=%2F", headers={"x-plain": "kept"})
    assert answer.status_code == 200
    seen = world.upstream.seen[-1]
    assert seen.target == "/v2/orders/5?x=%2F"
    assert seen.bearer
    assert seen.values("cookie") == ["theme=dark"]
    assert seen.values("x-plain") == ["kept"]
    assert seen.bearer not in seen.target


@pytest.mark.requirement("R-003", "R-037")
async def test_no_token_is_in_any_byte_that_the_browser_received(world: GatewayWorld) -> None:
    """Sign-in, calls, user, errors, sign-out: no token but the id_token_hint ever came to the browser, and no secret."""
    issued = world.record_tokens()
    browser = await world.signed_in()
    await browser.fetch("/api/x")
    await browser.fetch("/machine/x")
    await browser.fetch("/bff/user")
    await browser.fetch("/nothing/here", headers={"x-csrf": ""})
    before_sign_out = b"".join(browser.received)
    signed_out = await browser.fetch("/bff/logout", method="POST")
    assert {name for name, _ in issued} == {"access_token", "refresh_token", "id_token"}
    for name, token in issued:
        assert token.encode() not in before_sign_out
        assert (token.encode() in signed_out.content) == (name == "id_token")
    received = b"".join(browser.received)
    assert b"a secret of the shop" not in received


@pytest.mark.requirement("R-020", "R-003")
async def test_user_tells_who_is_signed_in_and_no_token(world: GatewayWorld) -> None:
    """/user has claims, deadlines and logins; nobody signed in is a clean answer with a login_url."""
    browser = await world.browser()
    nobody = await browser.fetch("/bff/user")
    assert nobody.status_code == 200
    assert nobody.json() == {"authenticated": False, "login_url": "/bff/login?provider=corp"}
    await world.sign_in(browser, "alice")
    told = (await browser.fetch("/bff/user")).json()
    assert told["authenticated"] is True
    assert told["provider"] == "corp"
    assert told["claims"]["sub"]
    assert told["claims"]["iss"] == world.corp.issuer
    assert told["session"] == {"idle_expires_in": 1800, "absolute_expires_in": 43200}
    assert told["logins"]["corp"]["authenticated"] is True
    assert told["logins"]["partner"] == {"authenticated": False, "login_url": "/bff/login?provider=partner"}


@pytest.mark.requirement("R-021", "R-267")
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "none"}, 303),
        ({"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "same-origin"}, 303),
        ({"sec-fetch-mode": "navigate", "sec-fetch-dest": "empty", "sec-fetch-site": "same-origin"}, 303),
        ({"sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe", "sec-fetch-site": "same-origin"}, 401),
        ({"sec-fetch-mode": "cors", "sec-fetch-site": "same-origin", "x-csrf": "1"}, 401),
        ({"sec-fetch-mode": "cors", "sec-fetch-site": "same-origin", "x-csrf": "1", "accept": "text/html"}, 401),
        ({"accept": "text/html"}, 303),
        ({"accept": "application/json", "x-csrf": "1"}, 401),
        ({"accept": "text/html", "x-csrf": "1"}, 401),
        ({}, 401),
    ],
)
async def test_only_a_navigation_is_redirected(world: GatewayWorld, headers: dict[str, str], expected: int) -> None:
    """Without a session a navigation is sent to sign in, a fetch gets a 401 problem with a challenge of our own scheme."""
    browser = await world.browser()
    sent = {"host": f"localhost:{world.url.rsplit(':', 1)[1]}", "accept": "*/*", **headers}
    answer = await browser.http.get(f"{world.url}/pages/orders?a=1", headers=sent)
    assert answer.status_code == expected
    if expected == 303:
        assert answer.headers["location"] == "/bff/login?provider=corp&return_to=/pages/orders%3Fa%3D1"
    if expected == 401 and headers.get("sec-fetch-dest") != "iframe":
        assert answer.json()["login_url"] == "/bff/login?provider=corp"
    if expected == 401:
        assert answer.headers["www-authenticate"].startswith("BFF ")
    assert world.upstream.seen == []


@pytest.mark.requirement("R-317", "R-302")
@pytest.mark.parametrize("signed_in", [False, True])
@pytest.mark.parametrize("from_url", [None, "https://mail.example/inbox", "http://localhost:1/"])
async def test_an_api_is_no_page(world: GatewayWorld, signed_in: bool, from_url: str | None) -> None:
    """Opening an API's address says so, and starts no sign-in that would end in a refusal."""
    browser = await world.signed_in() if signed_in else await world.browser()
    before = len(world.corp.calls_to("/authorize"))
    page = await browser.navigate("/api/orders", from_url=from_url)
    assert page.status_code == 403
    assert "This is not a page" in page.text
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert len(world.corp.calls_to("/authorize")) == before
    assert world.upstream.seen == []


@pytest.mark.requirement("R-012", "R-013", "R-014", "R-015", "R-271", "R-272")
@pytest.mark.parametrize(
    "headers",
    [
        {"x-csrf": ""},
        {"x-csrf": "0"},
        {"x-csrf": "1, 1"},
        {"origin": "https://evil.example", "x-csrf": "1"},
        {"origin": "null", "x-csrf": "1"},
        {"origin": "http://evil.localhost", "x-csrf": "1"},
        {"sec-fetch-site": "cross-site", "x-csrf": "1"},
        {"sec-fetch-site": "same-site", "x-csrf": "1"},
        {"content-type": "text/plain"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_call_that_may_come_from_elsewhere_is_refused(
    world: GatewayWorld, headers: dict[str, str], method: str
) -> None:
    """Without the header, or with a foreign Origin or Sec-Fetch-Site, nothing reaches the upstream, reads included."""
    browser = await world.signed_in()
    before = len(world.upstream.seen)
    answer = await browser.fetch(
        "/api/x", method=method, csrf=False, headers=headers, content=b"{}" if method == "POST" else None
    )
    assert answer.status_code == 403
    assert answer.headers["content-type"] == "application/problem+json"
    assert "access-control-allow-origin" not in answer.headers
    assert len(world.upstream.seen) == before
    assert (await browser.fetch("/bff/user", csrf=False, headers=headers)).status_code == 403


@pytest.mark.requirement("R-268", "R-015")
async def test_a_preflight_is_never_granted_and_never_forwarded_with_a_token(world: GatewayWorld) -> None:
    """An OPTIONS preflight from another origin is refused here, without CORS fields."""
    browser = await world.signed_in()
    answer = await browser.http.request(
        "OPTIONS",
        world.url + "/api/x",
        headers={
            "origin": "https://evil.example",
            "access-control-request-method": "POST",
            "access-control-request-headers": "x-csrf",
        },
    )
    assert answer.status_code == 403
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert world.upstream.seen == []


async def test_a_route_with_csrf_origin_takes_navigations_and_no_header(world: GatewayWorld) -> None:
    """`csrf: origin` lets same-origin navigations and event sources through, and nothing from elsewhere."""
    browser = await world.signed_in()
    page = await browser.navigate("/pages/report", from_url=world.url + "/")
    assert page.status_code == 200
    assert (await browser.fetch("/pages/report", csrf=False)).status_code == 200
    foreign = await browser.fetch("/pages/report", csrf=False, headers={"sec-fetch-site": "same-site"})
    assert foreign.status_code == 403


@pytest.mark.requirement("R-007")
async def test_a_link_in_a_mail_reaches_a_guarded_page_through_the_bounce(world: GatewayWorld) -> None:
    """A cross-site navigation comes without the Strict cookie, is repeated from our own site, and then passes: no sign-in."""
    browser = await world.signed_in()
    browser.clicks = True
    logins = len(world.token_calls("authorization_code"))
    page = await browser.navigate("/pages/report?id=%22%3E%3Cscript%3E", from_url="https://mail.example/inbox")
    assert page.status_code == 200
    assert world.upstream.seen[-1].target == "/pages/report?id=%22%3E%3Cscript%3E"
    assert len(world.token_calls("authorization_code")) == logins


@pytest.mark.requirement("R-007")
async def test_a_link_in_a_mail_without_a_session_signs_in_and_arrives(world: GatewayWorld) -> None:
    """Without a session the same link goes by the bounce page, the provider and back, once, and ends on the page."""
    browser = await world.browser()
    browser.clicks = True
    world.corp.sign_in_as = "alice"
    page = await browser.navigate("/pages/report", from_url="https://mail.example/inbox")
    assert page.status_code == 200
    assert world.upstream.seen[-1].target == "/pages/report"
    assert len(world.token_calls("authorization_code")) == 1


async def test_a_navigation_that_can_never_be_served_does_not_run_in_circles(world: GatewayWorld) -> None:
    """A provider whose tokens are dead on arrival ends in an error page, not in a redirect loop."""
    world.corp.misbehave(token_answer=lambda answer: {**without("refresh_token")(answer), "expires_in": -1})
    browser = await world.browser()
    browser.clicks = True
    world.corp.sign_in_as = "alice"
    page = await browser.navigate("/pages/report", from_url="https://mail.example/inbox")
    assert page.status_code in {401, 502}
    assert len(world.token_calls("authorization_code")) <= 2


@pytest.mark.requirement("R-194")
@pytest.mark.parametrize("later_seconds", [0, 60])
async def test_a_page_of_another_provider_leads_to_sign_in_there(later_seconds: float) -> None:
    """Who is signed in at one provider, even since a moment ago, and opens a page of the other is sent to sign in there."""
    routes = [
        {"path": "/pages", "upstream": "{upstream}/pages", "provider": "partner", "csrf": "origin"},
        {"path": "/", "files": "dist"},
    ]
    async with gateway_world(routes=routes) as world:
        browser = await world.signed_in("alice", provider="corp")
        world.partner.sign_in_as = "alice"
        world.clock.now += later_seconds
        page = await browser.navigate("/pages/report", from_url=world.url + "/")
        assert page.status_code == 200
        assert world.upstream.seen[-1].target == "/pages/report"
        assert (await browser.fetch("/bff/user")).json()["logins"]["corp"]["authenticated"] is True


async def test_a_sign_in_that_does_not_last_is_not_repeated_at_once(world: GatewayWorld) -> None:
    """Where a refresh token dies a moment after the sign-in, the page is a 401 that a person can read; later it is a sign-in."""
    world.corp.misbehave(token_answer=having(refresh_expires_in=1))
    browser = await world.signed_in()
    world.clock.now += 2
    assert (await browser.open_once("/pages/report", from_url=world.url + "/")).status_code == 401
    world.clock.now += 10
    assert (await browser.open_once("/pages/report", from_url=world.url + "/")).status_code == 303


async def test_files_that_are_hidden_are_not_served(world: GatewayWorld) -> None:
    """What begins with a dot lies there by mistake, whoever asks for it."""
    browser = await world.browser()
    folder = world.config.routes[-1].files
    assert folder is not None
    (folder / ".env").write_text("SECRET=canary")
    for path in ("/.env", "/assets/.git/config", "/%2eenv"):
        answer = await browser.fetch(path, csrf=False)
        assert answer.status_code in {400, 404}
        assert b"canary" not in answer.content


@pytest.mark.requirement("R-151")
async def test_a_bearer_sent_by_the_browser_is_no_sign_in_and_is_replaced(world: GatewayWorld) -> None:
    """Authorization from the browser neither opens a route nor reaches an upstream."""
    stranger = await world.browser()
    assert (await stranger.fetch("/api/x", headers={"authorization": "Bearer stolen"})).status_code == 401
    browser = await world.signed_in()
    await browser.fetch("/api/x", headers={"authorization": "Bearer stolen"})
    assert world.upstream.seen[-1].bearer not in {None, "stolen"}
    await browser.fetch("/open/x", headers={"authorization": "Bearer stolen"})
    assert world.upstream.seen[-1].bearer is None


@pytest.mark.requirement("R-018", "R-019")
async def test_what_is_not_configured_is_not_forwarded() -> None:
    """No route is 404, another method 405 with Allow; the upstream hears neither."""
    routes = [{"path": "/api", "upstream": "{upstream}", "provider": "corp", "methods": ["GET"]}]
    async with gateway_world(routes=routes) as world:
        browser = await world.signed_in()
        assert (await browser.fetch("/apix")).status_code == 404
        refused = await browser.fetch("/api/x", method="DELETE")
        assert refused.status_code == 405
        assert "GET" in refused.headers["allow"]
        assert world.upstream.seen == []


@pytest.mark.requirement("R-152", "R-143")
@pytest.mark.parametrize("store", ["memory", "valkey"])
async def test_two_providers_in_one_session(store: str, valkey: ValkeyServer) -> None:
    """Each route gets its own provider's token, though the Strict cookie is absent at the second callback; one missing is 401."""
    async with gateway_world(store=valkey.url if store == "valkey" else "memory://") as world:
        browser = await world.signed_in("alice", provider="corp")
        first = browser.cookie(SESSION)
        refused = await browser.fetch("/partner/x")
        assert refused.status_code == 401
        assert refused.json()["login_url"] == "/bff/login?provider=partner"
        await world.sign_in(browser, "alice", provider="partner")
        assert browser.cookie(SESSION) != first
        await browser.fetch("/api/x")
        corp = world.upstream.seen[-1].bearer
        await browser.fetch("/partner/x")
        partner = world.upstream.seen[-1].bearer
        assert corp != partner
        assert corp
        assert partner
        assert issuer_of(corp) == world.corp.issuer
        assert issuer_of(partner) == world.partner.issuer


def issuer_of(access_token: str) -> Any:
    """Who made an access token of the fake provider: tests may look into it, the gateway may not."""
    return claims_of(access_token)["iss"]


def claims_of(access_token: str) -> dict[str, Any]:
    """What is in an access token of the fake provider."""
    payload = access_token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return claims


@pytest.mark.requirement("R-126")
async def test_the_same_subject_at_two_providers_is_two_users(world: GatewayWorld) -> None:
    """The user is (iss, sub): signing in at a second provider with the same sub replaces nothing of the first."""
    browser = await world.signed_in("alice", provider="corp")
    await world.sign_in(browser, "alice", provider="partner")
    logins = (await browser.fetch("/bff/user")).json()["logins"]
    assert logins["corp"]["claims"]["iss"] == world.corp.issuer
    assert logins["partner"]["claims"]["iss"] == world.partner.issuer


@pytest.mark.requirement("R-165", "R-166", "R-167")
async def test_a_client_route_uses_our_own_token_behind_a_session(world: GatewayWorld) -> None:
    """A `token: client` route wants a session and the CSRF header, and sends a token that is not the user's, fetched once."""
    stranger = await world.browser()
    assert (await stranger.fetch("/machine/x")).status_code == 401
    browser = await world.signed_in()
    assert (await browser.fetch("/machine/x", csrf=False)).status_code == 403
    answers = await asyncio.gather(*(browser.fetch("/machine/x") for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(world.token_calls("client_credentials")) == 1
    machine = world.upstream.seen[-1].bearer
    await browser.fetch("/api/x")
    assert world.upstream.seen[-1].bearer != machine


@pytest.mark.requirement("R-168")
async def test_a_client_token_that_the_upstream_rejects_is_fetched_once_more(world: GatewayWorld) -> None:
    """An upstream's 401 on our own token drops it, and the call goes out again with a new one."""
    browser = await world.signed_in()
    await browser.fetch("/machine/x")
    world.upstream.rejected.add(world.upstream.seen[-1].bearer or "")
    assert (await browser.fetch("/machine/x")).status_code == 200
    assert len(world.token_calls("client_credentials")) == 2


@pytest.mark.requirement("R-080", "R-154")
async def test_a_token_without_expiry_is_refreshed_when_the_upstream_says_401(world: GatewayWorld) -> None:
    """A missing expires_in is fine; once the upstream rejects the token, the call is repeated with a refreshed one."""
    world.corp.misbehave(token_answer=without("expires_in"))
    browser = await world.signed_in()
    assert (await browser.fetch("/api/x")).status_code == 200
    world.upstream.rejected.add(world.upstream.seen[-1].bearer or "")
    assert (await browser.fetch("/api/x")).status_code == 200
    assert len(world.token_calls("refresh_token")) == 1


@pytest.mark.requirement("R-154")
async def test_a_post_with_content_is_not_sent_twice(world: GatewayWorld) -> None:
    """The upstream's 401 to a POST passes to the page; the token is renewed for the next call."""
    browser = await world.signed_in()
    await browser.fetch("/api/x")
    world.upstream.rejected.add(world.upstream.seen[-1].bearer or "")
    before = len(world.upstream.seen)
    answer = await browser.fetch("/api/x", method="POST", content=b"pay 5")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    assert len(world.upstream.seen) == before + 1
    assert (await browser.fetch("/api/x")).status_code == 200


@pytest.mark.requirement("R-153")
async def test_a_redirect_of_the_upstream_is_passed_not_followed(world: GatewayWorld) -> None:
    """A 302 to elsewhere reaches the browser as it is, and nothing is requested by us."""
    browser = await world.signed_in()
    world.upstream.answer_next(
        Said(status=302, fields=[(b"location", b"https://evil.example/"), (b"content-length", b"0")])
    )
    answer = await browser.fetch("/api/x")
    assert answer.status_code == 302
    assert answer.headers["location"] == "https://evil.example/"


@pytest.mark.requirement("R-156")
async def test_an_upstream_cannot_touch_our_cookies(world: GatewayWorld) -> None:
    """Set-Cookie for our names is removed, for others kept, line by line."""
    browser = await world.signed_in()
    before = browser.cookie(SESSION)
    fields = [
        (b"set-cookie", b"__Host-Http-bff=evil; Path=/; Secure; HttpOnly"),
        (b"set-cookie", b"a=1"),
        (b"set-cookie", b"b=2"),
        (b"content-length", b"0"),
    ]
    world.upstream.answer_next(Said(fields=fields))
    answer = await browser.fetch("/api/x")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert browser.cookie(SESSION) == before


@pytest.mark.requirement("R-265", "R-273")
async def test_an_upstream_that_is_away_is_told_without_its_name() -> None:
    """502 is a generic problem with a request id; host and port of the upstream are nobody's business."""
    routes = [{"path": "/api", "upstream": "http://127.0.0.1:9/secret-base", "provider": "corp"}]
    async with gateway_world(routes=routes) as world:
        browser = await world.signed_in()
        answer = await browser.fetch("/api/x?token=abc")
        assert answer.status_code == 502
        assert answer.json()["request_id"]
        assert b"127.0.0.1" not in answer.content
        assert b"secret-base" not in answer.content
        assert b"abc" not in answer.content


@pytest.mark.requirement("R-123")
async def test_a_provider_that_is_away_fails_only_its_own_sign_in(world: GatewayWorld) -> None:
    """While one provider answers 503, sign-in there is 503 with Retry-After, and the other provider's routes go on."""
    world.partner.misbehave(answers={"/.well-known/openid-configuration": Answer(status=503)})
    browser = await world.signed_in("alice", provider="corp")
    refused = await browser.open_once("/bff/login?provider=partner", from_url=world.url)
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    assert (await browser.fetch("/api/x")).status_code == 200
    world.partner.behave()
    world.clock.now += 60
    assert (await browser.open_once("/bff/login?provider=partner", from_url=world.url)).status_code == 303


async def test_a_route_may_take_the_users_token_or_ours() -> None:
    """user_or_client sends the user's token when somebody is signed in, else ours; user_or_none sends the user's or nothing."""
    routes = [
        {"path": "/either", "upstream": "{upstream}", "provider": "corp", "token": "user_or_client"},
        {"path": "/maybe", "upstream": "{upstream}", "provider": "corp", "token": "user_or_none"},
    ]
    async with gateway_world(routes=routes) as world:
        stranger = await world.browser()
        assert (await stranger.fetch("/either/x")).status_code == 200
        ours = world.upstream.seen[-1].bearer
        assert ours
        assert (await stranger.fetch("/maybe/x")).status_code == 200
        assert world.upstream.seen[-1].bearer is None
        browser = await world.signed_in()
        await browser.fetch("/either/x")
        assert world.upstream.seen[-1].bearer not in {None, ours}
        await browser.fetch("/maybe/x")
        assert world.upstream.seen[-1].bearer not in {None, ours}


@pytest.mark.requirement("R-025", "R-158", "R-144")
async def test_each_resource_gets_a_token_of_its_own() -> None:
    """Routes with different resources get different tokens, each asked for once, though called at the same time."""
    routes = [
        {"path": "/a", "upstream": "{upstream}", "provider": "corp", "resource": "https://a.example"},
        {"path": "/b", "upstream": "{upstream}", "provider": "corp", "resource": "https://b.example"},
    ]
    async with gateway_world(routes=routes) as world:
        browser = await world.signed_in()
        await asyncio.gather(*(browser.fetch(f"/{name}/x") for name in "abababab"))
        audiences = {audience_of(seen.bearer or "") for seen in world.upstream.seen}
        assert audiences == {"https://a.example", "https://b.example"}
        assert len(world.token_calls("refresh_token")) == 1
        asked = dict(world.token_calls("refresh_token")[0].form)
        assert asked["resource"] == "https://b.example"


def audience_of(access_token: str) -> str:
    """The audience of an access token of the fake provider."""
    claims = claims_of(access_token)
    return claims["aud"] if isinstance(claims["aud"], str) else claims["aud"][0]


async def test_the_app_itself_is_served(world: GatewayWorld) -> None:
    """Files come with type, ETag and revalidation; navigations that match no file get the app; missing files are 404."""
    browser: Browser = await world.browser()
    page = await browser.navigate("/some/deep/link")
    assert "The app" in page.text
    assert page.headers["content-type"].startswith("text/html")
    script = await browser.fetch("/assets/app.js", csrf=False)
    assert script.headers["content-type"].startswith("text/javascript")
    again = await browser.fetch("/assets/app.js", csrf=False, headers={"if-none-match": script.headers["etag"]})
    assert again.status_code == 304
    part = await browser.fetch("/assets/app.js", csrf=False, headers={"range": "bytes=0-5"})
    assert (part.status_code, part.content) == (206, b"export")
    assert (await browser.fetch("/assets/none.js", csrf=False)).status_code == 404
