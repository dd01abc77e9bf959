"""`response_mode: form_post`: an answer that a page of the provider posts, without any cookie of ours, still ends in a sign-in."""

import json
import re
from html import unescape
from typing import Any
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from support.fake_provider import having, without_parameters
from support.gateway_world import GatewayWorld, gateway_world
from support.strict_browser import Browser

FORM_POST = {"response_mode": "form_post"}
NAME = json.dumps({"name": {"firstName": "Ada", "lastName": "Lovelace"}, "email": "ada@evil.example"})


async def posted_form(world: GatewayWorld, browser: Browser, *, user: str = "alice") -> tuple[str, dict[str, str]]:
    """The form on the provider's page after a sign-in there: where it goes, and its fields."""
    world.corp.sign_in_as = user
    page = await browser.navigate("/bff/login?return_to=/orders", from_url=world.url + "/")
    (action,) = re.findall(r'<form method="post" action="([^"]*)"', page.text)
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page.text)
    return unescape(action), {name: unescape(value) for name, value in fields}


async def submitted(world: GatewayWorld, browser: Browser, action: str, fields: dict[str, str]) -> Any:
    """The form, submitted by the provider's page; the answer at the end of the redirects."""
    return await browser.navigate(action, method="POST", form=fields, from_url=world.corp.issuer)


async def user_of(browser: Browser) -> dict[str, Any]:
    """What `/bff/user` says."""
    return dict((await browser.fetch("/bff/user")).json())


@pytest.mark.requirement("R-332", "R-062", "R-046")
async def test_a_posted_answer_signs_in() -> None:
    """The POST carries no cookie of ours; the redirect that answers it does, and nothing of the form stands in a URL."""
    async with gateway_world(corp=FORM_POST) as world:
        browser = await world.browser()
        action, fields = await posted_form(world, browser)
        assert set(fields) == {"code", "state", "iss"}
        page = await submitted(world, browser, action, fields)
        assert page.status_code == 200
        assert urlsplit(browser.visited[-1]).path == "/orders"
        assert (await user_of(browser))["authenticated"] is True
        visited = " ".join(browser.visited)
        assert fields["code"] not in visited
        asked = dict(next(call for call in world.corp.calls if call.path == "/authorize").query)
        assert asked["response_mode"] == "form_post"


@pytest.mark.requirement("R-332", "R-033")
async def test_a_posted_answer_of_another_browser_signs_nobody_in() -> None:
    """The form of an attacker's own sign-in, posted in another browser, is refused, and its code is not redeemed."""
    async with gateway_world(corp=FORM_POST) as world:
        attacker, victim = await world.browser(), await world.browser()
        action, fields = await posted_form(world, attacker)
        await posted_form(world, victim)
        assert (await submitted(world, victim, action, fields)).status_code == 400
        assert world.token_calls("authorization_code") == []


MALFORMED: dict[str, dict[str, Any]] = {
    "no state": {"drop": "state"},
    "no code": {"drop": "code"},
    "wrong iss": {"iss": "https://evil.example"},
    "an error": {"drop": "code", "error": "access_denied"},
    "too long": {"code": "x" * 9000},
}


@pytest.mark.requirement("R-332", "R-050", "R-052")
@pytest.mark.parametrize("changes", MALFORMED.values(), ids=MALFORMED.keys())
async def test_a_posted_answer_is_judged_like_any_other(changes: dict[str, Any]) -> None:
    """What is refused in a query is refused in a form."""
    async with gateway_world(corp=FORM_POST) as world:
        browser = await world.browser()
        action, fields = await posted_form(world, browser)
        fields = {name: value for name, value in fields.items() if name != changes.get("drop")}
        edited = {**fields, **{name: value for name, value in changes.items() if name != "drop"}}
        assert (await submitted(world, browser, action, edited)).status_code == 400
        assert world.token_calls("authorization_code") == []


@pytest.mark.requirement("R-332", "R-058")
@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"code=a&code=b&state=c", "application/x-www-form-urlencoded"),
        (b"code=%ff&state=c", "application/x-www-form-urlencoded"),
        (b'{"code": "a"}', "application/json"),
        (b"code=a&state=b", "text/plain"),
        (b"code=" + b"a" * 70_000, "application/x-www-form-urlencoded"),
    ],
)
async def test_a_form_that_is_none_is_refused(content: bytes, content_type: str) -> None:
    """A form with a repeated parameter, of another type, or too large has no meaning."""
    async with gateway_world(corp=FORM_POST) as world:
        browser = await world.browser()
        answer = await browser.fetch(
            "/bff/callback/corp", method="POST", csrf=False, content=content, headers={"content-type": content_type}
        )
        if answer.status_code == 303:  # an empty form: the callback refuses it
            answer = await browser.open_once(answer.headers["location"])
        assert answer.status_code == 400


UNREADABLE = {"malformed": {"content-type": "text/plain"}, "repeated_parameter": {}}


@pytest.mark.requirement("R-332", "R-302", "R-336")
@pytest.mark.parametrize(("reason", "headers"), UNREADABLE.items(), ids=UNREADABLE.keys())
@pytest.mark.parametrize("page", [None, "/sorry"])
async def test_a_form_that_is_none_is_a_sign_in_that_failed(
    page: str | None, reason: str, headers: dict[str, str]
) -> None:
    """A person who was posted here comes to a page with a way on, or to the app's own, and the event has the reason."""
    pages = {} if page is None else {"sign_in_error": page}
    kind = {"content-type": "application/x-www-form-urlencoded", **headers}
    navigation = {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document", "sec-fetch-site": "cross-site"}
    async with gateway_world(corp=FORM_POST, pages=pages) as world:
        browser = await world.browser()
        with capture_logs() as logs:
            answer = await browser.http.post(
                f"{world.url}/bff/callback/corp", content=b"code=a&code=b&state=c", headers={**navigation, **kind}
            )
    assert [entry["reason"] for entry in logs if entry["event"] == "login.declined"] == [reason]
    if page is None:
        assert (answer.status_code, "/bff/login?provider=corp" in answer.text) == (400, True)
    else:
        assert (answer.status_code, urlsplit(answer.headers["location"]).path) == (303, page)


@pytest.mark.requirement("R-332")
@pytest.mark.parametrize(
    "edit", [lambda text: text[:-4] + "AAAA", lambda text: text + "~", lambda _: "x", lambda _: ""]
)
async def test_a_sealed_answer_is_taken_as_it_was_sealed(edit: Any) -> None:
    """What the redirect carries cannot be changed, and belongs to its provider."""
    async with gateway_world(corp=FORM_POST, partner=FORM_POST) as world:
        browser = await world.browser()
        _, fields = await posted_form(world, browser)
        form = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
        kind = {"content-type": "application/x-www-form-urlencoded"}
        answer = await browser.fetch("/bff/callback/corp", method="POST", content=form, headers=kind)
        path, _, sealed = answer.headers["location"].partition("?response=")
        assert (await browser.open_once(f"{path}?response={edit(sealed)}")).status_code == 400
        assert (await browser.open_once(f"/bff/callback/partner?response={sealed}")).status_code == 400
        assert (await browser.open_once(f"{path}?response={sealed}&response={sealed}")).status_code == 400
        assert world.token_calls("authorization_code") == []


@pytest.mark.requirement("R-332")
async def test_apples_name_greets_and_proves_nothing() -> None:
    """The name in the form makes claims where no token says them; an e-mail address in it is not taken."""
    async with gateway_world(corp={**FORM_POST, "scope": "openid offline_access"}) as world:
        browser = await world.browser()
        action, fields = await posted_form(world, browser)
        await submitted(world, browser, action, {**fields, "user": NAME})
        claims = (await user_of(browser))["claims"]
        assert (claims["given_name"], claims["family_name"], claims["name"]) == ("Ada", "Lovelace", "Ada Lovelace")
        assert "email" not in claims
        assert claims["sub"] == "alice"


@pytest.mark.requirement("R-332")
async def test_a_token_wins_over_the_name_in_the_form() -> None:
    """What the ID token says of the name is not replaced by what the browser posted."""
    async with gateway_world(corp=FORM_POST) as world:
        world.corp.misbehave(id_token_claims=having(name="Alice"))
        browser = await world.browser()
        action, fields = await posted_form(world, browser)
        await submitted(world, browser, action, {**fields, "user": NAME})
        assert (await user_of(browser))["claims"]["name"] == "Alice"


@pytest.mark.requirement("R-332")
@pytest.mark.parametrize(
    "user",
    [
        "",
        "x",
        "[]",
        "{}",
        '{"name": 1}',
        '{"name": {"firstName": 7}}',
        '{"name": {"firstName": "a\\u0000"}}',
        "[" * 500,
    ],
)
async def test_an_odd_name_is_no_name(user: str) -> None:
    """Whatever stands where Apple puts the name, the sign-in goes on without it."""
    async with gateway_world(corp={**FORM_POST, "scope": "openid offline_access"}) as world:
        browser = await world.browser()
        action, fields = await posted_form(world, browser)
        await submitted(world, browser, action, {**fields, "user": user})
        found = await user_of(browser)
        assert found["authenticated"] is True
        assert "given_name" not in found["claims"]


@pytest.mark.requirement("R-332")
async def test_an_answer_in_the_query_is_taken_too() -> None:
    """Some providers answer by redirect all the same, errors above all; it is judged as ever."""
    async with gateway_world(corp=FORM_POST) as world:
        browser = await world.browser()
        action, fields = await posted_form(world, browser)
        query = "&".join(f"{name}={value}" for name, value in fields.items())
        assert (await browser.open_once(f"{action}?{query}", from_url=world.corp.issuer)).status_code == 303


@pytest.mark.requirement("R-332", "R-053")
async def test_a_form_without_iss_is_refused_where_it_is_advertised() -> None:
    """RFC 9207 holds for forms as well."""
    async with gateway_world(corp=FORM_POST) as world:
        world.corp.misbehave(authorization_response=without_parameters("iss"))
        browser = await world.browser()
        action, fields = await posted_form(world, browser)
        assert (await submitted(world, browser, action, fields)).status_code == 400
