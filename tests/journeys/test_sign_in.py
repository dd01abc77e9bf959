"""Signing in, over real sockets: the authorization code flow with PKCE, and everything that must not pass for it."""

import asyncio
import base64
import hashlib
import re
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from support.fake_provider import having, oauth_error, with_parameters, without, without_parameters
from support.gateway_world import GatewayWorld, gateway_world
from support.strict_browser import Browser

SESSION = "__Host-Http-bff"
LOGIN = "__Host-Http-bff-login"


async def callback_url(world: GatewayWorld, browser: Browser, *, provider: str = "corp", query: str = "") -> str:
    """Where the provider sends this browser after alice's sign-in, not yet visited."""
    fake = {"corp": world.corp, "partner": world.partner}[provider]
    fake.sign_in_as = "alice"
    begun = await browser.open_once(f"/bff/login?provider={provider}{query}", from_url=world.url + "/")
    assert begun.status_code == 303, begun.text
    answered = await browser.open_once(begun.headers["location"], from_url=world.url + "/")
    return str(answered.headers["location"])


def edited(url: str, **parameters: str | None) -> str:
    """The URL with these query parameters set, or dropped where None."""
    parts = urlsplit(url)
    pairs = [(k, v) for k, v in parse_qsl(parts.query) if k not in parameters]
    pairs += [(k, v) for k, v in parameters.items() if v is not None]
    return parts._replace(query=urlencode(pairs)).geturl()


@pytest.mark.requirement("R-002", "R-030", "R-031", "R-032", "R-034", "R-045", "R-047", "R-075")
async def test_sign_in_runs_the_code_flow_with_pkce(world: GatewayWorld) -> None:
    """A sign-in asks for a code with S256, state and nonce, and redeems it with the matching verifier and redirect URI."""
    browser = await world.signed_in()
    asked = dict(next(call for call in world.corp.calls if call.path == "/authorize").query)
    redeemed = dict(world.token_calls("authorization_code")[0].form)
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    challenge = base64.urlsafe_b64encode(hashlib.sha256(redeemed["code_verifier"].encode()).digest()).rstrip(b"=")
    assert asked["code_challenge"] == challenge.decode()
    assert redeemed["redirect_uri"] == asked["redirect_uri"] == f"{world.url}/bff/callback/corp"
    assert "openid" in asked["scope"].split()
    assert 22 <= len(asked["nonce"]) <= 64
    assert (await browser.fetch("/bff/user")).json()["authenticated"] is True


@pytest.mark.requirement("R-007", "R-060")
async def test_the_way_back_ends_at_a_clean_url_without_a_loop(world: GatewayWorld) -> None:
    """After the callback the browser stands on return_to, no code in the URL, though the Strict cookie was withheld."""
    browser = await world.browser()
    world.corp.sign_in_as = "alice"
    page = await browser.navigate("/bff/login?return_to=/deep/link?tab=1", from_url=world.url + "/")
    assert page.status_code == 200
    assert "The app" in page.text
    assert browser.visited[-1] == f"{world.url}/deep/link?tab=1"
    assert len(browser.visited) == 4  # login, provider, callback, app


@pytest.mark.requirement("R-005", "R-006", "R-008", "R-009", "R-010", "R-189")
async def test_every_cookie_has_all_its_attributes(world: GatewayWorld) -> None:
    """Every Set-Cookie, deletions too, is __Host-Http-, Secure, HttpOnly, Path=/, without Domain, with a SameSite, and small."""
    browser = await world.signed_in()
    await browser.fetch("/bff/logout", method="POST")
    ours = [line for line in browser.set_cookies if line.startswith("__Host-Http-bff")]
    assert len(ours) >= 3
    for line in ours:
        attributes = {part.strip().lower() for part in line.split(";")[1:]}
        assert {"secure", "httponly", "path=/"} <= attributes
        assert not any(attribute.startswith("domain") for attribute in attributes)
        strict = line.startswith(f"{SESSION}=")
        assert ("samesite=strict" if strict else "samesite=lax") in attributes
        assert len(line) < 300


@pytest.mark.requirement("R-033", "R-050")
async def test_a_callback_in_another_browser_is_refused(world: GatewayWorld) -> None:
    """A valid code and state delivered to a second cookie jar end in 400, and the provider hears nothing of it."""
    victim, attacker = await world.browser(), await world.browser()
    url = await callback_url(world, attacker)
    await callback_url(world, victim)  # the victim has a login cookie of its own
    refused = await victim.open_once(url, from_url=world.corp.issuer)
    assert refused.status_code == 400
    assert world.token_calls("authorization_code") == []
    assert SESSION not in {name for _, name in victim.jar}


async def test_a_refused_foreign_callback_does_not_spend_the_transaction(world: GatewayWorld) -> None:
    """The browser that began a sign-in can complete it, although another one tried its callback first."""
    rightful, other = await world.browser(), await world.browser()
    url = await callback_url(world, rightful)
    assert (await other.open_once(url)).status_code == 400
    assert (await rightful.open_once(url, from_url=world.corp.issuer)).status_code == 303


REFUSED_CALLBACKS: dict[str, dict[str, str | None]] = {
    "no state": {"state": None},
    "unknown state": {"state": "x" * 43},
    "empty state": {"state": ""},
    "wrong iss": {"iss": "https://evil.example"},
    "no iss though advertised": {"iss": None},
    "no code": {"code": None},
    "an error of the provider": {"code": None, "error": "access_denied"},
    "an error and a wrong iss": {"code": None, "error": "access_denied", "iss": "https://evil.example"},
}


@pytest.mark.requirement("R-050", "R-052", "R-053", "R-055")
@pytest.mark.parametrize("changes", REFUSED_CALLBACKS.values(), ids=REFUSED_CALLBACKS.keys())
async def test_an_unusable_callback_is_refused_before_the_provider_is_asked(
    world: GatewayWorld, changes: dict[str, str | None]
) -> None:
    """A callback that is not the answer to our question ends in a 400 problem and no token call."""
    browser = await world.browser()
    url = edited(await callback_url(world, browser), **changes)
    refused = await browser.open_once(url, from_url=world.corp.issuer)
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "text/html; charset=utf-8"
    assert 'href="/bff/login?provider=corp&amp;return_to=/"' in refused.text
    assert world.token_calls("authorization_code") == []
    assert browser.cookie(SESSION) is None


@pytest.mark.requirement("R-052")
@pytest.mark.parametrize("spell", [str.upper, lambda iss: iss + "/", lambda iss: iss.replace("http", "HTTP")])
async def test_iss_is_compared_character_by_character(world: GatewayWorld, spell: Any) -> None:
    """Another spelling of the right issuer is another issuer (RFC 9207 section 2.4)."""
    browser = await world.browser()
    url = edited(await callback_url(world, browser), iss=spell(world.corp.issuer))
    assert (await browser.open_once(url)).status_code == 400
    assert world.token_calls("authorization_code") == []


@pytest.mark.requirement("R-058")
@pytest.mark.parametrize("name", ["code", "state", "iss", "error"])
async def test_a_repeated_parameter_is_refused(world: GatewayWorld, name: str) -> None:
    """A callback that says code, state, iss or error twice has no single meaning."""
    browser = await world.browser()
    url = await callback_url(world, browser)
    again = dict(parse_qsl(urlsplit(url).query)).get(name, "x")
    doubled = url + "&" + urlencode({name: again}) + ("&error=y" if name == "error" else "")
    assert (await browser.open_once(doubled)).status_code == 400
    assert world.token_calls("authorization_code") == []


@pytest.mark.requirement("R-051", "R-059")
async def test_of_twenty_callbacks_at_once_one_is_redeemed(world: GatewayWorld) -> None:
    """However often a callback is delivered at the same time, its code is redeemed once and the browser is signed in."""
    browser = await world.browser()
    url = await callback_url(world, browser)
    answers = await asyncio.gather(*(browser.open_once(url, from_url=world.corp.issuer) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {303}
    assert len(world.token_calls("authorization_code")) == 1


@pytest.mark.requirement("R-051")
async def test_a_state_is_dead_after_an_error_too(world: GatewayWorld) -> None:
    """After an error response the same state cannot be used for a success."""
    browser = await world.browser()
    url = await callback_url(world, browser)
    assert (await browser.open_once(edited(url, code=None, error="access_denied"))).status_code == 400
    assert (await browser.open_once(url)).headers["location"] == "/"  # what the app then shows is not signed in
    assert world.token_calls("authorization_code") == []
    assert browser.cookie(SESSION) is None


@pytest.mark.requirement("R-038", "R-039")
async def test_the_answer_of_another_provider_is_refused(world: GatewayWorld) -> None:
    """A sign-in begun at one provider cannot be completed by another's response or at another's callback path."""
    browser = await world.browser()
    corp = await callback_url(world, browser)
    partner = await callback_url(world, browser, provider="partner")
    state = parse_qs(urlsplit(corp).query)["state"][0]
    mixed = edited(partner, state=state)
    assert (await browser.open_once(mixed)).status_code == 400
    assert (await browser.open_once(corp.replace("/callback/corp", "/callback/partner"))).status_code == 400
    assert world.token_calls("authorization_code") == world.token_calls("authorization_code", provider="partner") == []


@pytest.mark.requirement("R-057", "R-065")
async def test_unknown_parameters_and_front_channel_tokens_are_ignored(world: GatewayWorld) -> None:
    """Unknown response parameters and tokens in the front channel change nothing."""
    browser = await world.browser()
    url = await callback_url(world, browser)
    noisy = edited(url, session_state="x", foo="1", access_token="stolen", id_token="e30.e30.")
    assert (await browser.open_once(noisy, from_url=world.corp.issuer)).status_code == 303
    await browser.fetch("/api/x")
    assert world.upstream.seen[-1].bearer not in {None, "stolen"}


@pytest.mark.requirement("R-061")
async def test_what_a_provider_says_in_an_error_is_not_repeated(world: GatewayWorld) -> None:
    """error_description with markup and line ends does not come back in the answer."""
    browser = await world.browser()
    url = edited(await callback_url(world, browser), code=None, error="<script>", error_description="<script>\r\nX: y")
    refused = await browser.open_once(url)
    assert refused.status_code == 400
    assert b"script" not in browser.received[-1]


@pytest.mark.requirement("R-062")
async def test_a_posted_callback_is_not_taken(world: GatewayWorld) -> None:
    """response_mode=form_post is not offered: a POST to the callback is 405."""
    browser = await world.browser()
    refused = await browser.navigate(
        "/bff/callback/corp", method="POST", form={"code": "x"}, from_url=world.corp.issuer
    )
    assert refused.status_code == 405
    assert "GET" in refused.headers["allow"]


ID_TOKEN_MUTATIONS: dict[str, dict[str, Any]] = {
    "wrong nonce": {"id_token_claims": having(nonce="other")},
    "no nonce": {"id_token_claims": without("nonce")},
    "wrong iss": {"id_token_claims": having(iss="https://evil.example")},
    "wrong aud": {"id_token_claims": having(aud="other")},
    "extra aud": {"id_token_claims": having(aud=["shop", "other"])},
    "wrong azp": {"id_token_claims": having(azp="other")},
    "expired": {"id_token_claims": having(exp=1_800_000_000 - 360)},
    "no exp": {"id_token_claims": without("exp")},
    "iat far ahead": {"id_token_claims": having(iat=1_800_000_000 + 3600)},
    "no sub": {"id_token_claims": without("sub")},
    "another access token's hash": {"id_token_claims": having(at_hash="AAAAAAAAAAAAAAAAAAAAAA")},
    "none at all": {"token_answer": without("id_token")},
    "bad signature": {"id_token_signature": "broken"},
    "alg none": {"id_token_signature": "none"},
    "HS256 with the public key": {"id_token_signature": "hs256_public_pem"},
    "another key of the same name": {"id_token_signature": "wrong_key"},
    "unknown kid": {"id_token_signature": "unknown_kid"},
    "an access token's type": {"id_token_header": having(typ="at+jwt")},
    "a logout token's type": {"id_token_header": having(typ="logout+jwt")},
}


@pytest.mark.requirement(
    "R-089", "R-095", "R-096", "R-097", "R-100", "R-101", "R-102", "R-103", "R-104", "R-105", "R-108", "R-111"
)
@pytest.mark.parametrize("mutation", ID_TOKEN_MUTATIONS.values(), ids=ID_TOKEN_MUTATIONS.keys())
async def test_a_bad_id_token_signs_nobody_in(world: GatewayWorld, mutation: dict[str, Any]) -> None:
    """An ID token that fails any check ends in a 400 problem; none of its tokens is ever used."""
    world.corp.misbehave(**mutation)
    browser = await world.browser()
    refused = await browser.open_once(await callback_url(world, browser), from_url=world.corp.issuer)
    assert refused.status_code == 400
    assert browser.cookie(SESSION) is None
    assert (await browser.fetch("/api/x")).status_code == 401
    assert world.upstream.seen == []
    assert len(world.token_calls("authorization_code")) == 1


@pytest.mark.requirement("R-106", "R-107")
@pytest.mark.parametrize(
    ("asked", "claims", "status"),
    [
        ({"max_age": "5m"}, having(auth_time=1_800_000_000 - 200), 303),
        ({"max_age": "5m"}, having(auth_time=1_800_000_000 - 400), 400),
        ({"max_age": "5m"}, without("auth_time"), 400),
        ({"acr_values": ["gold", "silver"]}, having(acr="silver"), 303),
        ({"acr_values": ["gold", "silver"]}, having(acr="bronze"), 400),
        ({"acr_values": ["gold", "silver"]}, without("acr"), 400),
    ],
)
async def test_how_a_user_signed_in_is_asked_and_checked(asked: dict[str, Any], claims: Any, status: int) -> None:
    """What the operator demands of the authentication is in the request, and whoever does not meet it is not signed in."""
    async with gateway_world(corp=asked) as world:
        world.corp.misbehave(id_token_claims=claims)
        browser = await world.browser()
        url = await callback_url(world, browser)
        wanted = dict(next(call for call in world.corp.calls if call.path == "/authorize").query)
        assert (wanted.get("max_age"), wanted.get("acr_values")) == (
            "300" if "max_age" in asked else None,
            "gold silver" if "acr_values" in asked else None,
        )
        assert (await browser.open_once(url, from_url=world.corp.issuer)).status_code == status
        assert (browser.cookie(SESSION) is not None) is (status == 303)


@pytest.mark.requirement("R-063")
async def test_sign_in_makes_a_new_session_id(world: GatewayWorld) -> None:
    """A planted cookie is not taken over, and the id of an earlier sign-in is dead after the next."""
    browser = await world.signed_in()
    first = browser.jar["localhost", SESSION]
    await world.sign_in(browser)
    second = browser.cookie(SESSION)
    assert second not in {None, first.value}
    browser.jar["localhost", SESSION] = first
    assert (await browser.fetch("/api/x")).status_code == 401


@pytest.mark.requirement("R-066")
async def test_another_user_signing_in_gets_nothing_of_the_first(world: GatewayWorld) -> None:
    """When bob signs in where alice was, her grants at every provider are gone."""
    browser = await world.signed_in("alice")
    await world.sign_in(browser, "alice", provider="partner")
    await world.sign_in(browser, "bob")
    told = (await browser.fetch("/bff/user")).json()
    assert told["claims"]["sub"] == "bob"
    assert told["logins"]["partner"]["authenticated"] is False
    assert (await browser.fetch("/partner/x")).status_code == 401


@pytest.mark.requirement("R-066", "R-135")
async def test_another_user_gets_nothing_of_the_first_whose_grant_has_ended(world: GatewayWorld) -> None:
    """Where alice's sign-in was ended by its provider and bob signs in, her grants at other providers are gone, too."""
    browser = await world.signed_in("alice")
    await world.sign_in(browser, "alice", provider="partner")
    world.clock.now += 601
    world.corp.answer_next("/token", oauth_error("invalid_grant"))
    assert (await browser.fetch("/api/x")).status_code == 401
    await world.sign_in(browser, "bob")
    assert (await browser.fetch("/bff/user")).json()["logins"]["partner"]["authenticated"] is False
    assert (await browser.fetch("/partner/x")).status_code == 401


@pytest.mark.requirement("R-040")
async def test_tabs_do_not_fight(world: GatewayWorld) -> None:
    """Five sign-ins begun in five tabs end well in any order, and a browser never has more than one login cookie."""
    browser = await world.browser()
    urls = [await callback_url(world, browser) for _ in range(5)]
    for url in reversed(urls):
        assert (await browser.open_once(url, from_url=world.corp.issuer)).status_code == 303
    assert len(browser.jar) == 2 + 1  # session, login, and the provider's own


@pytest.mark.requirement("R-040")
async def test_two_hundred_starts_leave_one_cookie(world: GatewayWorld) -> None:
    """However often a sign-in is begun, the request's header does not grow."""
    browser = await world.browser()
    for _ in range(200):
        assert (await browser.open_once("/bff/login", from_url=world.url)).status_code == 303
    assert [name for host, name in browser.jar if host == "localhost"] == [LOGIN]


@pytest.mark.requirement("R-036", "R-043")
async def test_the_browser_cannot_add_to_the_authorization_request(world: GatewayWorld) -> None:
    """Parameters in the query of /login reach nobody."""
    browser = await world.browser()
    plain = await browser.open_once("/bff/login", from_url=world.url)
    evil = await browser.open_once(
        "/bff/login?scope=admin&client_id=x&redirect_uri=https://evil&acr_values=9&resource=https://evil&state=s&nonce=n",
        from_url=world.url,
    )
    before, after = (parse_qsl(urlsplit(answer.headers["location"]).query) for answer in (plain, evil))
    assert [name for name, _ in before] == [name for name, _ in after]
    random = {"state", "nonce", "code_challenge"}
    assert [p for p in before if p[0] not in random] == [p for p in after if p[0] not in random]
    assert len({name for name, _ in after}) == len(after)


@pytest.mark.requirement("R-037", "R-258")
async def test_the_redirect_uri_is_never_built_from_a_request(world: GatewayWorld) -> None:
    """Forwarded fields do not change where the provider sends the browser."""
    browser = await world.browser()
    spoofed = {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https", "forwarded": "host=evil.example"}
    answer = await browser.open_once("/bff/login", from_url=world.url, headers=spoofed)
    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    assert asked["redirect_uri"] == [f"{world.url}/bff/callback/corp"]


@pytest.mark.requirement("R-041")
@pytest.mark.parametrize("dest", ["iframe", "frame", "embed", "object", "image"])  # `empty`: a service worker
async def test_a_sign_in_starts_in_a_whole_window_only(world: GatewayWorld, dest: str) -> None:
    """A framed or scripted start is refused, and no page of ours may be framed."""
    browser = await world.browser()
    refused = await browser.open_once("/bff/login", from_url=world.url, headers={"sec-fetch-dest": dest})
    assert refused.status_code == 403
    assert "frame-ancestors 'none'" in refused.headers["content-security-policy"]


RETURN_TO = [
    "//evil", "/\\evil", "https:evil", "https://evil", "http:evil", "///evil", "\\\\evil", "/%5cevil", "/%09/evil",
    "/\t/evil", "/%0d%0aLocation:x", "javascript:alert(1)", " /x", "/x y", "evil", "", "/\x00", "/.//evil", "/..//evil",
    "/%2e%2e//evil", "//evil%2f", "/\n/evil", "@evil", ".evil", "%2f%2fevil", "/./\\evil",
]  # fmt: skip


@pytest.mark.requirement("R-064")
@pytest.mark.parametrize("value", RETURN_TO)
async def test_an_open_redirect_is_refused(world: GatewayWorld, value: str) -> None:
    """return_to takes a path of our own and nothing that browsers read as more."""
    browser = await world.browser()
    answer = await browser.open_once("/bff/login?" + urlencode({"return_to": value}), from_url=world.url)
    assert answer.status_code == 400
    assert "location" not in answer.headers
    assert world.corp.calls == [] or all(call.path != "/authorize" for call in world.corp.calls)


@pytest.mark.requirement("R-058", "R-064")
@pytest.mark.parametrize(
    "query",
    [
        "return_to=/a&return_to=//evil",
        "return_to=//evil&return_to=/a",
        "provider=corp&provider=partner",
        "provider=evil",
    ],
)
async def test_a_sign_in_that_is_asked_for_twice_or_nowhere_is_refused(world: GatewayWorld, query: str) -> None:
    """/login takes each of its parameters once, and providers that are configured."""
    browser = await world.browser()
    answer = await browser.open_once(f"/bff/login?{query}", from_url=world.url)
    assert answer.status_code == 400
    assert "location" not in answer.headers


@pytest.mark.requirement("R-035")
async def test_a_hundred_starts_share_nothing(world: GatewayWorld) -> None:
    """State, nonce and challenge never repeat and have at least 128 bits."""
    browser = await world.browser()
    found: dict[str, set[str]] = {"state": set(), "nonce": set(), "code_challenge": set()}
    for _ in range(100):
        asked = parse_qs(
            urlsplit((await browser.open_once("/bff/login", from_url=world.url)).headers["location"]).query
        )
        for name, values in found.items():
            values.add(asked[name][0])
    assert all(len(values) == 100 for values in found.values())
    assert all(len(value) >= 22 for values in found.values() for value in values)


@pytest.mark.requirement("R-054")
async def test_an_unadvertised_iss_is_discarded_unless_told_otherwise() -> None:
    """A provider that sends iss without saying so is refused, or checked where the operator says so (RFC 9207 section 2.4)."""
    async with gateway_world(partner={"unadvertised_iss": "check"}) as world:
        for fake in (world.corp, world.partner):
            fake.misbehave(metadata=without("authorization_response_iss_parameter_supported"))
        browser = await world.browser()
        assert (await browser.open_once(await callback_url(world, browser))).status_code == 400
        partner = await callback_url(world, browser, provider="partner")
        assert (await browser.open_once(partner)).status_code == 303


async def test_a_provider_without_iss_is_told_apart_by_its_callback(world: GatewayWorld) -> None:
    """Where a provider neither advertises nor sends iss, sign-in works and rests on its own redirect URI."""
    world.corp.misbehave(
        metadata=without("authorization_response_iss_parameter_supported"),
        authorization_response=without_parameters("iss"),
    )
    browser = await world.signed_in()
    assert (await browser.fetch("/bff/user")).json()["authenticated"] is True


@pytest.mark.requirement("R-060", "R-270")
async def test_our_own_answers_say_how_to_be_handled(world: GatewayWorld) -> None:
    """Redirects, problems and JSON of ours are not stored, sniffed, framed, and send no referrer."""
    browser = await world.browser()
    url = await callback_url(world, browser)
    answers = [
        await browser.open_once(url, from_url=world.corp.issuer),
        await browser.open_once(edited(url, state="x")),
        await browser.fetch("/bff/user"),
        await browser.fetch("/api/x", csrf=False),
    ]
    assert [answer.status_code for answer in answers] == [303, 400, 200, 403]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.requirement("R-036")
async def test_a_swapped_response_parameter_is_refused(world: GatewayWorld) -> None:
    """The state of one transaction with the code of another fails at the provider (PKCE), and signs nobody in."""
    browser = await world.browser()
    first, second = [await callback_url(world, browser) for _ in range(2)]
    code = parse_qs(urlsplit(second).query)["code"][0]
    assert (await browser.open_once(edited(first, code=code), from_url=world.corp.issuer)).status_code == 400
    assert browser.cookie(SESSION) is None


async def test_an_authorization_response_for_somebody_else_is_told_in_plain_words(world: GatewayWorld) -> None:
    """A wrong iss set by the provider itself is refused with a page that says what to do."""
    world.corp.misbehave(authorization_response=with_parameters(iss="https://evil.example"))
    browser = await world.browser()
    refused = await browser.open_once(await callback_url(world, browser))
    assert refused.status_code == 400
    assert "You were not signed in" in refused.text
    assert "failed a security check" in refused.text
    assert re.search(r"Reference <code>[0-9a-f]{16}</code>", refused.text)
