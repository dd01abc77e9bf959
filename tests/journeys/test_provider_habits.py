"""Providers with habits of their own, over real sockets: what each key changes in a sign-in, and what it must not let through."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from structlog.testing import capture_logs

from support.fake_provider import Answer, having, oauth_error, with_parameters, without, without_parameters
from support.gateway_world import GatewayWorld, gateway_world
from support.strict_browser import Browser

DISCOVERY = "/.well-known/openid-configuration"


async def asked_for(world: GatewayWorld, query: str, *, browser: Browser | None = None) -> dict[str, str]:
    """The authorization request that `/login` with this query leads to."""
    browser = browser or await world.browser()
    begun = await browser.open_once(f"/bff/login{query}", from_url=world.url + "/")
    assert begun.status_code == 303, begun.text
    pairs = parse_qsl(urlsplit(begun.headers["location"]).query)
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


async def user_of(browser: Browser) -> dict[str, Any]:
    """What `/bff/user` says."""
    return dict((await browser.fetch("/bff/user")).json())


async def refused_with(world: GatewayWorld) -> dict[str, Any]:
    """The event of a sign-in that fails."""
    with capture_logs() as logs:
        browser = await world.signed_in()
    assert (await user_of(browser))["authenticated"] is False
    (event,) = [entry for entry in logs if entry["event"] == "login.declined"]
    return dict(event)


# --- login_params -----------------------------------------------------------------------------------------------------

LOGIN_PARAMS = {"screen_hint": ["signup", "login"], "prompt": ["login", "select_account"], "login_hint": "any"}


@pytest.mark.requirement("R-315", "R-043")
@pytest.mark.parametrize(
    ("query", "passed"),
    [
        ("", {"prompt": "consent"}),
        ("?screen_hint=signup", {"screen_hint": "signup", "prompt": "consent"}),
        ("?prompt=select_account", {"prompt": "select_account"}),
        ("?login_hint=alice%40example.com&prompt=login", {"login_hint": "alice@example.com", "prompt": "login"}),
        ("?login_hint=%26scope%3Dadmin%23", {"login_hint": "&scope=admin#", "prompt": "consent"}),
        ("?login_hint=" + "x" * 256, {"login_hint": "x" * 256, "prompt": "consent"}),
        ("?login_hint=", {"prompt": "consent"}),
        ("?ui_locales=de&scope=admin&client_id=x&state=y&resource=z", {"prompt": "consent"}),
    ],
)
async def test_listed_parameters_reach_the_provider_and_no_others(query: str, passed: dict[str, str]) -> None:
    """A listed name with a listed value is passed on, encoded, once; what is not listed is ignored."""
    async with gateway_world(corp={"login_params": LOGIN_PARAMS}) as world:
        asked = await asked_for(world, query)
        names = {*LOGIN_PARAMS, "ui_locales", "resource"}
        assert {name: value for name, value in asked.items() if name in names} == passed
        assert asked["client_id"] == "shop"
        assert "admin" not in asked["scope"]


@pytest.mark.requirement("R-315")
@pytest.mark.parametrize(
    "query",
    [
        "?screen_hint=evil",
        "?screen_hint=Signup",
        "?prompt=none",
        "?prompt=login%20select_account",
        "?prompt=login&prompt=login",
        "?login_hint=" + "x" * 257,
        "?login_hint=a&login_hint=b",
    ],
)
async def test_other_values_of_listed_parameters_are_refused(query: str) -> None:
    """A value that is not listed, too long, or given twice is a 400, and nothing of it reaches the provider."""
    async with gateway_world(corp={"login_params": LOGIN_PARAMS}) as world:
        answer = await (await world.browser()).open_once(f"/bff/login{query}", from_url=world.url + "/")
        assert answer.status_code == 400


@pytest.mark.requirement("R-315")
async def test_parameters_are_listed_for_each_provider() -> None:
    """What one provider lists is nothing to another."""
    async with gateway_world(corp={"login_params": LOGIN_PARAMS}) as world:
        assert "screen_hint" not in await asked_for(world, "?provider=partner&screen_hint=signup")


# --- third-party-initiated sign-in ------------------------------------------------------------------------------------


@pytest.mark.requirement("R-314", "R-042")
async def test_a_third_party_names_the_issuer_and_the_way_back(world: GatewayWorld) -> None:
    """`iss` chooses the provider, `target_link_uri` the page to end on; an unlisted login_hint is ignored."""
    browser = await world.browser()
    world.partner.sign_in_as = "alice"
    query = {"iss": world.partner.issuer, "target_link_uri": f"{world.url}/orders/5?x=1", "login_hint": "bob"}
    page = await browser.navigate(f"/bff/login?{urlencode(query)}", from_url=world.partner.issuer)
    assert page.status_code == 200
    assert browser.visited[-1] == f"{world.url}/orders/5?x=1"
    assert (await user_of(browser))["provider"] == "partner"
    asked = next(call for call in world.partner.calls if call.path == "/authorize")
    assert "login_hint" not in dict(asked.query)


OWN_TARGETS = {
    "{self}": "/",
    "{self}?x=1": "/?x=1",
    "{self}/orders?next=https://evil.example/": "/orders?next=https://evil.example/",
    "{SELF}/orders": "/orders",
}


@pytest.mark.requirement("R-314")
@pytest.mark.parametrize(("target", "path"), OWN_TARGETS.items())
async def test_a_third_party_names_our_origin_in_any_spelling(world: GatewayWorld, target: str, path: str) -> None:
    """Scheme and host in upper case, and an origin without a path, are still ours."""
    browser = await world.browser()
    world.partner.sign_in_as = "alice"
    query = urlencode(
        {
            "iss": world.partner.issuer,
            "target_link_uri": target.format(self=world.url, SELF=world.url.upper()),
        }
    )
    await browser.navigate(f"/bff/login?{query}", from_url=world.partner.issuer)
    assert browser.visited[-1] == f"{world.url}{path}"


@pytest.mark.requirement("R-314", "R-064")
@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://evil.example"},
        {"iss": ""},
        {"iss": "{partner}/"},
        {"provider": "corp"},
        {"target_link_uri": "https://evil.example/"},
        {"target_link_uri": "{self}.evil.example/"},
        {"target_link_uri": "{self}@evil.example/"},
        {"target_link_uri": "{self}:1/"},
        {"target_link_uri": "{self}//evil.example"},
        {"target_link_uri": "{self}/\\evil.example"},
        {"target_link_uri": "//evil.example/"},
        {"target_link_uri": "/orders"},
        {"target_link_uri": "javascript:alert(1)"},
        {"target_link_uri": "{self}\\@evil.example/"},
        {"target_link_uri": "{self}%2f@evil.example/"},
        {"target_link_uri": "https://localhost:80/"},
        {"target_link_uri": ""},
    ],
)
async def test_a_third_party_leads_nowhere_else(world: GatewayWorld, changes: dict[str, str]) -> None:
    """An issuer that is not configured, and a target of another origin, are refused before anything begins."""
    query = {"iss": world.partner.issuer, "target_link_uri": f"{world.url}/", **changes}
    known = {name: value.format(self=world.url, partner=world.partner.issuer) for name, value in query.items()}
    answer = await (await world.browser()).open_once(
        f"/bff/login?{urlencode(known)}", from_url="https://third.example/"
    )
    assert answer.status_code == 400
    assert not world.partner.calls


@pytest.mark.requirement("R-314", "R-042")
async def test_a_third_party_may_post_its_form(world: GatewayWorld) -> None:
    """The same parameters as a form of another site lead to the same sign-in; others in it are ignored."""
    browser = await world.browser()
    world.partner.sign_in_as = "alice"
    form = {"iss": world.partner.issuer, "target_link_uri": f"{world.url}/orders", "provider": "corp"}
    await browser.navigate("/bff/login", method="POST", form=form, from_url="https://third.example/")
    assert browser.visited[-1] == f"{world.url}/orders"
    assert (await user_of(browser))["provider"] == "partner"


@pytest.mark.requirement("R-314")
@pytest.mark.parametrize("form", [{}, {"target_link_uri": "/"}, {"iss": "https://evil.example"}])
async def test_a_posted_sign_in_names_a_known_issuer(world: GatewayWorld, form: dict[str, str]) -> None:
    """A form without an issuer of ours begins nothing."""
    browser = await world.browser()
    page = await browser.navigate("/bff/login", method="POST", form=form, from_url="https://third.example/")
    assert page.status_code == 400


@pytest.mark.requirement("R-315")
@pytest.mark.parametrize("error", ["login_required", "interaction_required", "consent_required"])
async def test_a_silent_sign_in_that_fails_comes_back_without_an_error(error: str) -> None:
    """A page that asks with prompt=none gets its browser back where it was, signed in as before, and no loop begins."""
    async with gateway_world(corp={"login_params": {"prompt": ["none"]}}) as world:
        browser = await world.browser()
        begun = await browser.open_once("/bff/login?prompt=none&return_to=/orders", from_url=world.url + "/")
        asked = dict(parse_qsl(urlsplit(begun.headers["location"]).query))
        assert asked["prompt"] == "none"
        answer = urlencode({"state": asked["state"], "error": error, "iss": world.corp.issuer})
        with capture_logs() as logs:
            page = await browser.navigate(f"/bff/callback/corp?{answer}", from_url=world.corp.issuer)
        assert page.status_code == 200
        assert browser.visited[-1] == f"{world.url}/orders"
        assert "login.declined" not in {entry["event"] for entry in logs}


@pytest.mark.requirement("R-315", "R-336")
@pytest.mark.parametrize("error", ["access_denied", "server_error", "invalid_scope", "mfa_required", "user_blocked"])
async def test_a_silent_sign_in_that_fails_otherwise_comes_back_and_is_told_of(error: str) -> None:
    """The person has not asked for it, so no page is in the way; the operator reads the reason."""
    async with gateway_world(corp={"login_params": {"prompt": ["none"]}}) as world:
        browser = await world.browser()
        begun = await browser.open_once("/bff/login?prompt=none&return_to=/orders", from_url=world.url + "/")
        asked = dict(parse_qsl(urlsplit(begun.headers["location"]).query))
        with capture_logs() as logs:
            page = await browser.navigate(refused(world, asked, error), from_url=world.corp.issuer)
        assert (page.status_code, browser.visited[-1]) == (200, f"{world.url}/orders")
        assert [entry["reason"] for entry in logs if entry["event"] == "login.declined"] == [error]


GITHUB_CODE_OVER = oauth_error("bad_verification_code", status=200)
UNFINISHED: dict[str, tuple[dict[str, Any], str]] = {
    "the token endpoint is down": ({"answers": {"/token": Answer(status=503)}}, "http_503"),
    "the code is over": ({"answers": {"/token": oauth_error("invalid_grant")}}, "invalid_grant"),
    "the code is over, says GitHub": ({"answers": {"/token": GITHUB_CODE_OVER}}, "bad_verification_code"),
    "no tokens": ({"answers": {"/token": Answer(body=b"<html>")}}, "not_json"),
    "another nonce": ({"id_token_claims": having(nonce="another")}, "nonce"),
    "another issuer": ({"authorization_response": with_parameters(iss="https://other.example")}, "iss_mismatch"),
}


@pytest.mark.requirement("R-315", "R-336")
@pytest.mark.parametrize(("habits", "reason"), UNFINISHED.values(), ids=UNFINISHED.keys())
async def test_a_silent_sign_in_that_cannot_be_completed_comes_back_too(habits: dict[str, Any], reason: str) -> None:
    """Whatever the callback fails by, the person who asked for nothing is where they were, and signed in no more than before."""
    async with gateway_world(corp={"login_params": {"prompt": ["none"]}}) as world:
        browser = await world.signed_in("alice")
        world.corp.misbehave(**habits)
        with capture_logs() as logs:
            page = await browser.navigate("/bff/login?prompt=none&return_to=/orders", from_url=world.url + "/")
        assert (page.status_code, browser.visited[-1]) == (200, f"{world.url}/orders")
        assert [entry["reason"] for entry in logs if entry["event"] == "login.declined"] == [reason]
        assert (await browser.fetch("/api/orders")).status_code == 200


@pytest.mark.requirement("R-302")
@pytest.mark.parametrize("error", ["user_blocked", "consent_expired", "x" * 64])
async def test_a_providers_own_error_code_is_no_failed_check(world: GatewayWorld, error: str) -> None:
    """The page says that the provider ended the sign-in, and leads to another one."""
    browser = await world.browser()
    begun = await browser.open_once("/bff/login?return_to=/orders", from_url=world.url + "/")
    asked = dict(parse_qsl(urlsplit(begun.headers["location"]).query))
    page = await browser.open_once(refused(world, asked, error), from_url=world.corp.issuer)
    assert page.status_code == 400
    assert "ended the sign-in with an error of its own" in page.text
    assert "security check" not in page.text
    assert "return_to=/orders" in page.text


@pytest.mark.requirement("R-304", "R-315")
async def test_what_a_page_added_is_asked_for_again() -> None:
    """A provider that says "begin again" gets the same `login_params` in the second request, and the browser its way back."""
    async with gateway_world(corp={"login_params": LOGIN_PARAMS}) as world:
        browser = await world.browser()
        query = "screen_hint=signup&login_hint=%26alice%2B1%40example.com&return_to=/orders"
        begun = await browser.open_once(f"/bff/login?{query}", from_url=world.url + "/")
        first = dict(parse_qsl(urlsplit(begun.headers["location"]).query))
        again = await browser.open_once(refused(world, first, "temporarily_unavailable"), from_url=world.corp.issuer)
        second = dict(parse_qsl(urlsplit(again.headers["location"]).query))
        assert {name: second[name] for name in ("screen_hint", "login_hint", "prompt")} == {
            "screen_hint": "signup",
            "login_hint": "&alice+1@example.com",
            "prompt": "consent",
        }
        assert second["state"] != first["state"]
        back = await browser.open_once(refused(world, second, "access_denied"), from_url=world.corp.issuer)
        assert "return_to=/orders" in back.text


@pytest.mark.requirement("R-304", "R-315")
async def test_a_silent_sign_in_stays_silent_when_it_begins_again() -> None:
    """The second request asks with prompt=none too, and its refusal brings the browser back without an error."""
    async with gateway_world(corp={"login_params": {"prompt": ["none"]}}) as world:
        browser = await world.browser()
        begun = await browser.open_once("/bff/login?prompt=none&return_to=/orders", from_url=world.url + "/")
        first = dict(parse_qsl(urlsplit(begun.headers["location"]).query))
        again = await browser.open_once(refused(world, first, "temporarily_unavailable"), from_url=world.corp.issuer)
        second = dict(parse_qsl(urlsplit(again.headers["location"]).query))
        assert second["prompt"] == "none"
        page = await browser.navigate(refused(world, second, "login_required"), from_url=world.corp.issuer)
        assert (page.status_code, browser.visited[-1]) == (200, f"{world.url}/orders")


def refused(world: GatewayWorld, asked: dict[str, str], error: str) -> str:
    """The provider's answer to this request: an error."""
    return "/bff/callback/corp?" + urlencode({"state": asked["state"], "error": error, "iss": world.corp.issuer})


# --- ID tokens --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-325", "R-097")
@pytest.mark.parametrize(
    ("claims", "signed_in"),
    [
        ({"aud": ["shop", "orders-api"]}, True),
        ({"aud": ["orders-api", "shop"], "azp": "shop"}, True),
        ({"aud": ["shop", "orders-api"], "azp": "orders-api"}, False),
        ({"aud": ["orders-api"]}, False),
        ({"aud": "orders-api"}, False),
        ({"aud": ["shop", "orders-api", "unknown"]}, False),
        ({"aud": []}, False),
        ({"aud": "shop"}, True),
    ],
)
async def test_trusted_audiences_may_stand_beside_us(claims: dict[str, Any], signed_in: bool) -> None:
    """Our own client id must be there, all others must be trusted, and `azp` must be ours if it is there."""
    async with gateway_world(corp={"trusted_audiences": ["orders-api"]}) as world:
        world.corp.misbehave(id_token_claims=having(**claims))
        browser = await world.signed_in()
        assert (await user_of(browser))["authenticated"] is signed_in
        if signed_in:  # a refresh is judged alike
            world.clock.now += 601
            assert (await browser.fetch("/api/x")).status_code == 200


@pytest.mark.requirement("R-330", "R-336")
@pytest.mark.parametrize(
    ("habit", "reason", "found", "configured"),
    [
        ({"id_token_claims": having(iss="https://found.example")}, "iss", "https://found.example", "{issuer}"),
        ({"id_token_claims": having(aud="other-client")}, "aud", "other-client", "shop"),
        ({"id_token_claims": having(azp="other-client")}, "azp", "other-client", "shop"),
        ({"id_token_header": having(kid="key-7")}, "key_unknown", "key-7", "{kid}"),
        ({"id_token_signature": "none"}, "alg", "none", "RS256"),
    ],
)
async def test_a_declined_sign_in_says_both_values(
    world: GatewayWorld, habit: dict[str, Any], reason: str, found: str, configured: str
) -> None:
    """The event says what the token had and what would have been right; of keys, which are published."""
    world.corp.misbehave(**habit)
    event = await refused_with(world)
    assert event["reason"] == reason
    assert found in event["found"]
    assert configured.format(issuer=world.corp.issuer, kid=world.corp.keys.current.kid) in event["configured"]


@pytest.mark.parametrize(("claims", "signed_in"), [(without("nonce"), True), (having(nonce="another"), False)])
async def test_a_provider_may_lose_the_nonce_and_never_change_it(claims: Any, signed_in: bool) -> None:
    """With `insecure_no_nonce` an ID token without a nonce is taken, one with another nonce is not."""
    async with gateway_world(corp={"insecure_no_nonce": True}) as world:
        world.corp.misbehave(id_token_claims=claims)
        assert (await user_of(await world.signed_in()))["authenticated"] is signed_in


async def test_a_nonce_is_missed_unless_told_otherwise(world: GatewayWorld) -> None:
    """Without `insecure_no_nonce` an ID token without a nonce is refused."""
    world.corp.misbehave(id_token_claims=without("nonce"))
    assert (await refused_with(world))["reason"] == "nonce"


# --- plain OAuth 2.0 --------------------------------------------------------------------------------------------------

PLAIN = {"discovery": "oauth", "scope": "profile", "userinfo": True, "subject_claim": "id"}


def user_answer(user: object) -> Answer:
    """What a provider's user endpoint says."""
    return Answer(body=json.dumps(user).encode())


@pytest.mark.requirement("R-328")
@pytest.mark.parametrize(
    ("settings", "answer", "claims"),
    [
        ({}, {"id": 583231, "login": "octocat"}, {"id": 583231, "login": "octocat"}),
        ({}, {"id": "80351110224678912", "username": "nelly"}, {"id": "80351110224678912", "username": "nelly"}),
        ({"userinfo_path": "data"}, {"data": {"id": "2244994945"}}, {"id": "2244994945"}),
        ({"userinfo_path": "data.user"}, {"data": {"user": {"id": 7}}}, {"id": 7}),
    ],
)
async def test_plain_oauth_knows_its_user(settings: dict[str, Any], answer: Any, claims: dict[str, Any]) -> None:
    """The user endpoint's answer says who it is; the page sees it as claims."""
    async with gateway_world(corp={**PLAIN, **settings}) as world:
        world.corp.misbehave(answers={"/userinfo": user_answer(answer)})
        browser = await world.signed_in()
        assert (await user_of(browser))["claims"] == claims
        assert (await browser.fetch("/api/x")).status_code == 200


@pytest.mark.requirement("R-328", "R-126")
@pytest.mark.parametrize(
    "answer",
    [
        user_answer({"login": "octocat"}),
        user_answer({"id": None}),
        user_answer({"id": True}),
        user_answer({"id": 1.5}),
        user_answer({"id": ""}),
        user_answer({"id": "x" * 256}),
        user_answer({"id": ["1"]}),
        user_answer({"ok": False}),
        user_answer([{"id": 1}]),
        Answer(status=401, body=b"{}"),
        Answer(status=500),
        Answer(body=b"<html>"),
    ],
)
async def test_plain_oauth_without_a_user_signs_nobody_in(answer: Answer) -> None:
    """An answer that names no user ends the sign-in: nobody is signed in without a name."""
    async with gateway_world(corp=PLAIN) as world:
        world.corp.misbehave(answers={"/userinfo": answer})
        assert (await refused_with(world))["provider"] == "corp"


@pytest.mark.requirement("R-328")
async def test_another_user_of_plain_oauth_takes_the_session_over() -> None:
    """Who signs in as another user of the same provider holds nothing of the first one (R-066)."""
    async with gateway_world(corp=PLAIN) as world:
        world.corp.misbehave(answers={"/userinfo": user_answer({"id": 1})})
        browser = await world.signed_in()
        await world.sign_in(browser, provider="partner")
        assert (await user_of(browser))["logins"]["corp"]["authenticated"] is True
        world.corp.misbehave(answers={"/userinfo": user_answer({"id": 2})})
        await world.sign_in(browser)
        assert (await user_of(browser))["logins"]["partner"]["authenticated"] is False


# --- sign-out ---------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-330")
async def test_a_sign_out_in_the_providers_own_words() -> None:
    """`end_session_params` adds and leaves out; `{return_to}` is our own start page."""
    cognito = {"logout_uri": "{return_to}", "id_token_hint": "", "post_logout_redirect_uri": "", "state": ""}
    async with gateway_world(corp={"end_session_params": cognito}) as world:
        browser = await world.signed_in()
        url = (await browser.fetch("/bff/logout", method="POST")).json()["logout_url"]
        assert dict(parse_qsl(urlsplit(url).query)) == {"client_id": "shop", "logout_uri": f"{world.url}/"}


@pytest.mark.requirement("R-308")
async def test_an_end_session_url_stays_short(world: GatewayWorld) -> None:
    """With 150 groups in the ID token the hint is left out, and the rest is there."""
    world.corp.misbehave(id_token_claims=having(groups=[f"group-{number:032}" for number in range(150)]))
    browser = await world.signed_in()
    url = (await browser.fetch("/bff/logout", method="POST")).json()["logout_url"]
    assert len(url) < 4096
    assert set(dict(parse_qsl(urlsplit(url).query))) == {"client_id", "post_logout_redirect_uri", "state"}


@pytest.mark.requirement("R-335")
@pytest.mark.parametrize("error", ["invalid_token", "unsupported_token_type"])
async def test_what_is_gone_is_not_reported(world: GatewayWorld, error: str) -> None:
    """A provider that calls the revoked tokens gone causes no warning at sign-out."""
    browser = await world.signed_in()
    world.corp.misbehave(answers={"/revoke": Answer(status=400, body=json.dumps({"error": error}).encode())})
    with capture_logs() as logs:
        await browser.fetch("/bff/logout", method="POST")
        await world.corp.arrived("/revoke", count=2)
    assert "token.revocation_failed" not in {entry["event"] for entry in logs}


# --- key rotation and plain http --------------------------------------------------------------------------------------


@pytest.mark.requirement("R-333")
async def test_sign_ins_follow_rotations_without_notice(world: GatewayWorld) -> None:
    """Three rotations within one second of each other lose no sign-in."""
    for _ in range(3):
        assert (await user_of(await world.signed_in()))["authenticated"] is True
        world.corp.rotate_keys()


@pytest.mark.requirement("R-329")
async def test_insecure_keys_are_said_at_every_start() -> None:
    """A key that weakens security is an event of its own at the start, with its place in the file."""
    with capture_logs() as logs:
        async with gateway_world(corp={"insecure_http": True, "insecure_no_nonce": True}):
            pass
    said = {entry["key"] for entry in logs if entry["event"] == "config.insecure"}
    assert said == {"providers.corp.insecure_http", "providers.corp.insecure_no_nonce"}


@pytest.mark.requirement("R-053", "R-054", "R-330")
async def test_what_a_provider_begins_to_announce_counts_at_once(world: GatewayWorld) -> None:
    """It says `iss` in its responses from now on, and has a sign-out: known as soon as a sign-in has the metadata fetched again."""
    silent = without("authorization_response_iss_parameter_supported", "end_session_endpoint")
    world.corp.misbehave(metadata=silent, authorization_response=without_parameters("iss"))
    browser = await world.signed_in()
    assert (await browser.fetch("/bff/logout", method="POST")).json()["logout_url"] == "/"
    world.corp.behave()
    world.clock.now += 60
    provider = world.app.gateway.providers["corp"]
    known = await provider.metadata()
    world.corp.hold(DISCOVERY)
    await (await world.browser()).open_once("/bff/login?provider=corp", from_url=world.url + "/")  # waits for nothing
    assert await provider.metadata() is known
    world.corp.release(DISCOVERY)
    async with asyncio.timeout(10):
        while await provider.metadata() is known:
            await asyncio.sleep(0)
    await world.sign_in(browser)
    assert (await user_of(browser))["authenticated"] is True
    assert (await browser.fetch("/bff/logout", method="POST")).json()["logout_url"].startswith(world.corp.issuer)
