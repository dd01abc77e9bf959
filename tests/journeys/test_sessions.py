"""What happens to sessions: deadlines, refresh, sign-out, dead cookies, and a store in trouble."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from support.fake_provider import Answer, oauth_error
from support.gateway_world import SESSION_KEY, GatewayWorld, gateway_world
from support.strict_browser import Browser
from support.valkey_server import ValkeyServer
from support.waiting import until

SESSION = "__Host-Http-bff"
LIFETIME = 600


async def settled(world: GatewayWorld) -> None:
    """Wait until the gateway has no work of its own left."""
    await world.app.process.tasks.close(grace_seconds=10)


@pytest.mark.requirement("R-130", "R-132")
@pytest.mark.parametrize("store", ["memory", "valkey"])
async def test_calls_flow_while_the_token_is_refreshed_with_rotation(store: str, valkey: ValkeyServer) -> None:
    """A stale token is used while one refresh runs; afterwards calls carry the new one, and the next refresh the new refresh token."""
    async with gateway_world(
        store=valkey.url if store == "valkey" else "memory://", lifetime_seconds=LIFETIME
    ) as world:
        browser = await world.signed_in()
        await browser.fetch("/api/x")
        first = world.upstream.seen[-1].bearer
        for _ in range(2):
            world.clock.now += LIFETIME - 20
            gate = world.corp.hold("/token")
            answers = await asyncio.gather(*(browser.fetch("/api/x") for _ in range(25)))
            assert {answer.status_code for answer in answers} == {200}
            assert {seen.bearer for seen in world.upstream.seen[-25:]} == {first}
            gate.set()
            world.corp.release("/token")
            await settled(world)
            await browser.fetch("/api/x")
            assert world.upstream.seen[-1].bearer != first
            first = world.upstream.seen[-1].bearer
        calls = world.token_calls("refresh_token")
        assert len(calls) == 2
        assert len({dict(call.form)["refresh_token"] for call in calls}) == 2


@pytest.mark.requirement("R-133")
async def test_an_expired_token_is_waited_for_once(world: GatewayWorld) -> None:
    """Fifty calls with an expired token wait for one refresh and all go out with its result."""
    browser = await world.signed_in()
    world.clock.now += LIFETIME + 1
    answers = await asyncio.gather(*(browser.fetch("/api/x") for _ in range(50)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({seen.bearer for seen in world.upstream.seen}) == 1
    assert len(world.token_calls("refresh_token")) == 1


@pytest.mark.requirement("R-023", "R-135")
async def test_only_invalid_grant_signs_out(world: GatewayWorld) -> None:
    """Outages answer 503 and keep the session; invalid_grant ends it with 401 and a login_url."""
    browser = await world.signed_in()
    world.clock.now += LIFETIME + 1
    for answer in (oauth_error("temporarily_unavailable", status=503), oauth_error("invalid_client", status=401)):
        world.corp.answer_next("/token", answer)
        refused = await browser.fetch("/api/x")
        assert refused.status_code in {502, 503}
        assert browser.cookie(SESSION)
        world.clock.now += 120
    world.corp.answer_next("/token", oauth_error("invalid_grant"))
    ended = await browser.fetch("/api/x")
    assert ended.status_code == 401
    assert ended.json()["login_url"] == "/bff/login?provider=corp"
    told = await browser.fetch("/bff/user")
    assert told.json()["authenticated"] is False
    assert browser.cookie(SESSION) is None


@pytest.mark.requirement("R-320")
async def test_a_refusal_that_only_the_user_can_mend_asks_for_a_sign_in(world: GatewayWorld) -> None:
    """Calls are 401 with a login_url, `/bff/user` agrees, and the provider is not asked again and again."""
    browser = await world.signed_in()
    world.clock.now += LIFETIME + 1
    world.corp.misbehave(answers={"/token": oauth_error("interaction_required")})
    for _ in range(2):
        refused = await browser.fetch("/api/x")
        assert (refused.status_code, refused.json()["login_url"]) == (401, "/bff/login?provider=corp")
    assert (await browser.fetch("/bff/user")).json() == {
        "authenticated": False,
        "login_url": "/bff/login?provider=corp",
    }
    assert len(world.token_calls("refresh_token")) == 1


@pytest.mark.requirement("R-182", "R-141")
async def test_idle_and_absolute_deadlines_hold(world: GatewayWorld) -> None:
    """Use moves the idle deadline and never the absolute one; background refresh and ?touch=0 move nothing."""
    browser = await world.signed_in()
    for _ in range(3):
        world.clock.now += 1700
        assert (await browser.fetch("/bff/user")).json()["session"]["idle_expires_in"] == 1800
    world.clock.now += 1700
    assert (await browser.fetch("/bff/user?touch=0")).json()["session"]["idle_expires_in"] == 100
    world.clock.now += 101
    assert (await browser.fetch("/bff/user")).json()["authenticated"] is False
    browser = await world.signed_in()
    for _ in range(24):
        world.clock.now += 1790
        await browser.fetch("/bff/user")
    assert (await browser.fetch("/bff/user")).json()["session"]["idle_expires_in"] <= 240
    world.clock.now += 241
    assert (await browser.fetch("/api/x")).status_code == 401


@pytest.mark.requirement("R-022")
async def test_a_session_does_not_outlive_its_refresh_token(world: GatewayWorld) -> None:
    """Where the provider says how long the refresh token lives, nobody is signed in longer."""
    world.corp.misbehave(token_answer=lambda answer: {**answer, "refresh_expires_in": 300})
    browser = await world.signed_in()
    assert (await browser.fetch("/api/x")).status_code == 200
    world.clock.now += 301
    for path in ("/api/x", "/machine/x"):
        assert (await browser.fetch(path)).status_code == 401
    assert (await browser.fetch("/bff/user")).json()["authenticated"] is False
    assert (await browser.fetch("/api/x")).status_code == 401


@pytest.mark.requirement("R-200")
@pytest.mark.parametrize(
    ("csrf", "headers"),
    [
        (False, {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}),
        (False, {"sec-fetch-site": "same-site", "origin": "http://evil.localhost"}),
        (True, {"origin": "https://evil.example"}),
    ],
)
async def test_another_site_cannot_sign_anybody_out(world: GatewayWorld, csrf: bool, headers: dict[str, str]) -> None:
    """A sign-out that does not come from our own pages is refused; a GET is no sign-out at all."""
    browser = await world.signed_in()
    assert (await browser.fetch("/bff/logout", method="POST", csrf=csrf, headers=headers)).status_code == 403
    assert (await browser.fetch("/bff/logout")).status_code == 405
    assert (await browser.fetch("/api/x")).status_code == 200


@pytest.mark.requirement("R-183", "R-186", "R-201", "R-202")
async def test_signing_out_ends_the_session_here_and_at_the_provider(world: GatewayWorld) -> None:
    """The old cookie is dead, tokens are revoked, the end-session URL has hint, client and exact return URI, and works."""
    browser = await world.signed_in()
    old = browser.jar["localhost", SESSION]
    answer = await browser.fetch("/bff/logout", method="POST")
    assert answer.status_code == 200
    assert browser.cookie(SESSION) is None
    url = httpx2.URL(answer.json()["logout_url"])
    assert url.params["client_id"] == "shop"
    assert url.params["post_logout_redirect_uri"] == world.url + "/"
    assert url.params["id_token_hint"].count(".") == 2
    assert url.params["state"]
    browser.jar["localhost", SESSION] = old
    assert (await browser.fetch("/api/x")).status_code == 401
    await settled(world)
    revoked = [dict(call.form)["token_type_hint"] for call in world.corp.calls if call.path == "/revoke"]
    assert revoked[0] == "refresh_token"
    page = await browser.navigate(str(url), from_url=world.url + "/")
    assert str(page.url).startswith(world.url)


@pytest.mark.requirement("R-201")
async def test_signing_out_without_a_session_succeeds(world: GatewayWorld) -> None:
    """Twice, or without ever having signed in: 200 and a place to go."""
    browser = await world.browser()
    for _ in range(2):
        answer = await browser.fetch("/bff/logout", method="POST")
        assert answer.status_code == 200
        assert answer.json() == {"logout_url": "/"}


@pytest.mark.requirement("R-046", "R-200")
async def test_a_form_of_our_own_can_sign_out(world: GatewayWorld) -> None:
    """A same-origin form post, which cannot send the header, is answered with 303 to the provider."""
    browser = await world.signed_in()
    page = await browser.navigate("/bff/logout", method="POST", form={"a": "b"}, from_url=world.url + "/")
    assert page.status_code == 200
    assert browser.cookie(SESSION) is None
    assert any("/end_session" in url for url in browser.visited)


@pytest.mark.requirement("R-046", "R-217")
@pytest.mark.parametrize("signed_in", [True, False])
async def test_signing_out_has_the_browser_forget_what_the_app_kept(world: GatewayWorld, signed_in: bool) -> None:
    """Both answers of a sign-out clear the origin's storage, also after the session is over; no other answer does."""
    browser = await world.signed_in() if signed_in else await world.browser()
    assert "clear-site-data" not in (await browser.fetch("/bff/user")).headers
    by_fetch = await browser.fetch("/bff/logout", method="POST")
    by_form = await browser.fetch("/bff/logout", method="POST", csrf=False, headers={"origin": world.url})
    assert [answer.status_code for answer in (by_fetch, by_form)] == [200, 303]
    assert [answer.headers["clear-site-data"] for answer in (by_fetch, by_form)] == ['"storage"', '"storage"']


@pytest.mark.requirement("R-203")
async def test_the_return_from_the_providers_sign_out_needs_no_state(world: GatewayWorld) -> None:
    """Coming back with no or a foreign state shows the app; there is nothing to redirect with."""
    browser = await world.browser()
    for query in ("", "?state=foreign"):
        assert "The app" in (await browser.navigate(f"/{query}", from_url=world.corp.issuer)).text


@pytest.mark.requirement("R-202")
async def test_a_provider_without_end_session_signs_out_here_only(world: GatewayWorld) -> None:
    """Without an end_session_endpoint the logout_url is our own start page."""
    world.corp.misbehave(
        metadata=lambda known: {name: value for name, value in known.items() if name != "end_session_endpoint"}
    )
    browser = await world.signed_in()
    assert (await browser.fetch("/bff/logout", method="POST")).json() == {"logout_url": "/"}


@pytest.mark.requirement("R-204")
@pytest.mark.parametrize(
    "answer",
    [oauth_error("unsupported_token_type"), oauth_error("x", status=503), Answer(status=302), Answer(status=204)],
)
async def test_whatever_the_revocation_endpoint_says_the_session_is_over(world: GatewayWorld, answer: Answer) -> None:
    """A provider that breaks down or redirects is not asked again for this grant; one that calls a token gone is (R-335)."""
    browser = await world.signed_in()
    world.corp.misbehave(answers={"/revoke": answer})
    assert (await browser.fetch("/bff/logout", method="POST")).status_code == 200
    await settled(world)
    done = answer.status == 204 or b"unsupported_token_type" in answer.body
    assert len(world.corp.calls_to("/revoke")) == (2 if done else 1)
    assert (await browser.fetch("/api/x")).status_code == 401


@pytest.mark.requirement("R-066")
async def test_what_another_user_leaves_behind_is_revoked(world: GatewayWorld) -> None:
    """Bob signs in where Alice was: her session is over, and her tokens of both providers with it; his are not touched."""
    browser = await world.signed_in()
    await world.sign_in(browser, provider="partner")
    await world.sign_in(browser, "bob")
    await settled(world)
    assert len(world.corp.calls_to("/revoke")) == len(world.partner.calls_to("/revoke")) == 2
    assert (await browser.fetch("/api/x")).status_code == 200


async def test_who_signs_in_again_has_nothing_revoked(world: GatewayWorld) -> None:
    """Some providers end everything that they granted to a user when one token is revoked, so the new tokens too."""
    browser = await world.signed_in()
    await world.sign_in(browser)
    await settled(world)
    assert world.corp.calls_to("/revoke") == []


@pytest.mark.requirement("R-204")
async def test_a_failing_revocation_does_not_hold_up_the_sign_out(world: GatewayWorld) -> None:
    """While the revocation endpoint hangs, signing out answers, and the session is over."""
    browser = await world.signed_in()
    gate = world.corp.hold("/revoke")
    assert (await browser.fetch("/bff/logout", method="POST")).status_code == 200
    assert (await browser.fetch("/api/x")).status_code == 401
    gate.set()


@pytest.mark.requirement("R-187", "R-188")
@pytest.mark.parametrize(
    "cookie",
    ["", "x", "x.y", "a" * 8000, "é".encode().decode("latin-1"), "%00", '"', "=", ".", "a.b.c"],
)
async def test_a_garbage_cookie_is_nobody(world: GatewayWorld, cookie: str) -> None:
    """Whatever the cookie holds, it is no session: 401, never 500."""
    browser = await world.browser()
    headers = {"cookie": f"{SESSION}={cookie}", "x-csrf": "1", "host": world.url.removeprefix("http://")}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    assert (await browser.http.get(world.url + "/api/x", headers=raw)).status_code == 401
    told = await browser.http.get(world.url + "/bff/user", headers=raw)
    assert told.json()["authenticated"] is False
    assert any("Max-Age=0" in line for line in told.headers.get_list("set-cookie"))


@pytest.mark.requirement("R-187")
async def test_a_tossed_second_session_cookie_makes_nobody(world: GatewayWorld) -> None:
    """Two session cookies, in one line or in two, are no session; crumbs of other cookies do no harm."""
    browser = await world.signed_in()
    mine = f"{SESSION}={browser.cookie(SESSION)}"
    base = [(b"x-csrf", b"1"), (b"host", world.url.removeprefix("http://").encode())]
    for lines in ([mine + "; " + mine], [mine, f"{SESSION}=evil"]):
        fields = base + [(b"cookie", line.encode()) for line in lines]
        assert (await browser.http.get(world.url + "/api/x", headers=fields)).status_code == 401
    crumbs = [*base, (b"cookie", b"a=1"), (b"cookie", mine.encode()), (b"cookie", b"b=2")]
    assert (await browser.http.get(world.url + "/api/x", headers=crumbs)).status_code == 200


@pytest.mark.requirement("R-190")
async def test_a_store_in_trouble_signs_nobody_out(valkey: ValkeyServer) -> None:
    """While the store does not answer, calls are 503 with Retry-After and cookies stay; when it is back, so is everybody."""
    async with gateway_world(store=valkey.url, session={"local_copy": "off"}) as world:
        browser = await world.signed_in()
        stranger = await world.browser()
        valkey.pause()
        try:
            for path in ("/api/x", "/bff/user"):
                refused = await browser.fetch(path)
                assert refused.status_code == 503
                assert refused.headers["retry-after"]
                assert refused.headers.get_list("set-cookie") == []
            assert (await stranger.fetch("/api/x")).status_code == 401
            assert (await browser.fetch("/bff/logout", method="POST")).status_code == 503
            assert (await browser.http.get(world.management_url + "/readyz")).status_code == 503
            assert (await browser.http.get(world.management_url + "/livez")).status_code == 200
        finally:
            valkey.go_on()
        assert (await browser.fetch("/api/x")).status_code == 200


@pytest.mark.requirement("R-174", "R-181", "R-274", "R-172")
async def test_a_dump_of_the_store_and_the_log_hold_no_secret(
    valkey: ValkeyServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """After sign-in, calls, refresh and errors neither the store nor the log, at debug, holds a token, code, cookie or secret."""
    async with gateway_world(store=valkey.url, log={"level": "debug"}) as world:
        issued = world.record_tokens()
        browser = await world.signed_in()
        await browser.fetch("/api/x?token=query-canary")
        world.clock.now += LIFETIME + 1
        await browser.fetch("/machine/x")
        await browser.fetch("/api/x")
        dump = repr(valkey.dump()).encode()
        cookies = [cookie.value for cookie in browser.jar.values()]
        codes = [dict(call.form) for call in world.corp.calls]
        await browser.fetch("/bff/logout", method="POST")
        await settled(world)
    logged = "".join(capsys.readouterr()).encode()
    verifiers = [form[name] for form in codes for name in ("code", "code_verifier") if name in form]
    secrets = ["a secret of the shop", "a session key that is", *verifiers, *cookies, *(token for _, token in issued)]
    assert len(secrets) > 8
    for secret in secrets:
        assert secret.encode() not in dump
        assert secret.encode() not in logged
        assert secret.split(".")[0].encode() not in dump or len(secret.split(".")[0]) < 40
    assert b"query-canary" not in logged
    assert b"alice" not in dump
    assert b"session.refreshed" in logged


@pytest.mark.requirement("R-183")
async def test_a_signed_out_session_is_refused_on_the_other_worker(valkey: ValkeyServer) -> None:
    """Two workers on one store, local copies on: a sign-out at one is heard at the other well within the copies' age."""
    async with gateway_world(store=valkey.url) as world:
        from bff.demo.loopback_sockets import bind_loopback, port_of
        from bff.web.app import create_app
        from support.gateway_world import serving_gateway

        sockets = bind_loopback(both_families=True)
        other = create_app(world.config, clock=world.clock)
        async with serving_gateway(other, sockets):
            browser = await world.signed_in()
            headers = [
                (b"x-csrf", b"1"),
                (b"host", world.url.removeprefix("http://").encode()),
                (b"cookie", f"{SESSION}={browser.cookie(SESSION)}".encode()),
            ]
            second = f"http://localhost:{port_of(sockets)}/api/x"
            await until_hearing(other)
            assert (await browser.http.get(second, headers=headers)).status_code == 200
            assert len(other.process.copies) == 1
            await browser.fetch("/bff/logout", method="POST")
            await until(lambda: not len(other.process.copies))
            assert (await browser.http.get(second, headers=headers)).status_code == 401


async def until_hearing(app: Any) -> None:
    """Wait until a worker hears of changes, so that it makes local copies."""
    await until(lambda: app.process.copies._receives_changes)


@pytest.mark.requirement("R-276", "R-274")
async def test_the_management_listener_is_its_own(world: GatewayWorld) -> None:
    """Health and metrics answer on their own port only; no User-Agent opens anything; metrics hold no session."""
    browser: Browser = await world.signed_in()
    await browser.fetch("/api/x")
    for path in ("/livez", "/readyz", "/metrics", "/version"):
        assert (await browser.http.get(world.management_url + path)).status_code == 200
        assert (await browser.fetch(path, headers={"user-agent": "GoogleHC/1.0"})).status_code == 404
    metrics = (await browser.http.get(world.management_url + "/metrics")).text
    assert 'bff_requests_total{route="/api",status="200"}' in metrics
    assert json.dumps(browser.cookie(SESSION))[1:20] not in metrics


@pytest.mark.requirement("R-130")
@pytest.mark.parametrize("store", ["memory", "valkey"])
async def test_a_clock_that_is_set_back_by_hours_keeps_no_token_for_hours(store: str, valkey: ValkeyServer) -> None:
    """The user's token and the gateway's own are used on and renewed once, as when the clock goes forward."""
    url = valkey.url if store == "valkey" else "memory://"
    async with gateway_world(store=url, lifetime_seconds=LIFETIME, session={"idle_timeout": "12h"}) as world:
        browser = await world.signed_in()
        for hours in (0, -3, 3, -2, 2):
            world.clock.now += hours * 3600
            for _ in range(3):
                for path in ("/api/orders", "/machine/rates"):
                    assert (await browser.fetch(path)).status_code == 200
                await settled(world)
        assert len(world.token_calls("refresh_token")) == 4
        assert len(world.token_calls("client_credentials")) == 5


@pytest.mark.requirement("R-278")
async def test_a_session_key_that_was_cut_off_ends_no_session_and_is_told_of(tmp_path: Path) -> None:
    """Calls and new sign-ins go on under the key before it; the log has one line, however many there are."""
    file = tmp_path / "key"
    file.write_text(SESSION_KEY)
    async with gateway_world(session={"keys": [{"file": str(file)}]}) as world:
        browser = await world.signed_in()
        (tmp_path / "cut").write_text(SESSION_KEY[:10])
        with capture_logs() as logs:
            (tmp_path / "cut").rename(file)
            answers = [await browser.fetch("/api/orders") for _ in range(3)]
            again = await world.signed_in("bob")
            answers.append(await again.fetch("/api/orders"))
        assert [answer.status_code for answer in answers] == [200] * 4
        told = [entry for entry in logs if entry["event"] == "config.file_unusable"]
        assert [(entry["file"], entry["reason"].split(";")[0]) for entry in told] == [
            (str(file), "a session key needs at least 32 random characters")
        ]
