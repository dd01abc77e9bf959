"""Each recipe of docs/how-to/providers.md, as it stands there, walked at a fake with that provider's habits."""

import re
from html import unescape
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from bff.errors import ConfigError
from support.documented import page
from support.profiled_provider import Profile
from support.provider_profiles import PROFILES
from support.recipe_world import PAGE, RecipeWorld, recipe_of, recipe_world, without_key
from support.strict_browser import Browser

ESSENTIAL = [pytest.param(it, key, id=f"{it.name}-{key}") for it in PROFILES for key in it.essential]


async def arrived(world: RecipeWorld, browser: Browser) -> httpx2.Response:
    """Where the browser is after the provider; it submits the form where the provider answers with one."""
    answer = await browser.navigate("/bff/login", from_url=world.url + "/")
    posted = re.search(r'<form method="post" action="([^"]*/bff/callback/[^"]*)"', answer.text)
    if posted is None:
        return answer
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', answer.text)
    form = {name: unescape(value) for name, value in fields}
    return await browser.navigate(unescape(posted[1]), method="POST", form=form, from_url=world.provider.origin)


async def signed_in(world: RecipeWorld, browser: Browser | None = None) -> Browser:
    """A browser after the sign-in."""
    browser = browser or await world.browser()
    answer = await arrived(world, browser)
    assert answer.status_code == 200, answer.text
    assert browser.visited[-1] == world.url + "/"
    return browser


async def user_of(browser: Browser) -> dict[str, Any]:
    """What `/bff/user` says."""
    return dict((await browser.fetch("/bff/user")).json())


async def called(world: RecipeWorld, browser: Browser) -> str | None:
    """The bearer that a call reaches the API with; None if the call does not get there."""
    before = len(world.upstream.seen)
    status = (await browser.fetch("/api/orders")).status_code
    assert status in {200, 401}
    return world.upstream.seen[-1].bearer if len(world.upstream.seen) > before and status == 200 else None


async def walk(profile: Profile, recipe: str) -> None:
    """Sign-in, who it is, call, refresh, sign-out."""
    async with recipe_world(profile, recipe) as world:
        browser = await signed_in(world)
        user = await user_of(browser)
        assert user["authenticated"] is True
        assert set(profile.shows) <= set(user["claims"])
        await goes_on_after_expiry(world, browser)
        await signs_out(world, browser)


async def goes_on_after_expiry(world: RecipeWorld, browser: Browser) -> None:
    """The API is called with a token; two more lifetimes bring new ones, or what this provider has instead."""
    bearers = [await called(world, browser)]
    assert bearers[0] is not None
    for _ in range(2):
        world.clock.now += 601
        bearers.append(await called(world, browser))
    expected = {"refreshed": 3, "lasting": 1, "ended": 2}[world.provider.profile.after_expiry]
    assert len(set(bearers)) == expected
    assert (None in bearers) is (world.provider.profile.after_expiry == "ended")


async def signs_out(world: RecipeWorld, browser: Browser) -> None:
    """The provider's session ends where it has an endpoint for that, the browser comes back, and the tokens are revoked."""
    endpoints, fake = world.provider.profile.endpoints, world.provider
    with capture_logs() as logs:
        to = (await browser.fetch("/bff/logout", method="POST")).json()["logout_url"]
        back = await browser.navigate(to, from_url=world.url + "/")
        if "revocation_endpoint" in endpoints:
            await fake.arrived("/revoke")
    assert "token.revocation_failed" not in {entry["event"] for entry in logs}
    assert back.status_code == 200
    assert browser.visited[-1].startswith(world.url + "/")
    assert (await user_of(browser))["authenticated"] is False
    assert bool(fake.calls_to("/end_session")) is ("end_session_endpoint" in endpoints)


@pytest.mark.requirement("R-326", "R-327", "R-328", "R-330", "R-332")
@pytest.mark.parametrize("profile", PROFILES, ids=lambda it: it.name)
async def test_a_recipe_works_as_it_stands(profile: Profile) -> None:
    """With the page's own lines a user signs in, is known, calls the API beyond the first token's life, and signs out."""
    await walk(profile, recipe_of(profile))


@pytest.mark.requirement("R-320", "R-336")
@pytest.mark.parametrize("profile", [it for it in PROFILES if it.after_expiry == "refreshed"], ids=lambda it: it.name)
async def test_a_dead_refresh_token_leads_to_a_new_sign_in(profile: Profile) -> None:
    """However this provider spells that a grant is over, the call is 401 with `login_url`, and signing in again helps."""
    async with recipe_world(profile, recipe_of(profile)) as world:
        browser = await signed_in(world)
        world.clock.now += 601
        world.provider.misbehave(answers={"/token": profile.refusal})
        refused = await browser.fetch("/api/orders")
        assert refused.status_code == 401
        assert "/bff/login" in refused.json()["login_url"]
        world.provider.misbehave(answers={})
        assert await called(world, await signed_in(world, browser)) is not None


@pytest.mark.requirement("R-336")
@pytest.mark.parametrize("profile", PROFILES, ids=lambda it: it.name)
async def test_a_user_who_says_no_sees_a_page(profile: Profile) -> None:
    """The provider's word for it stands in the event, the browser gets a page of ours, and nobody is signed in."""
    async with recipe_world(profile, recipe_of(profile)) as world:
        world.provider.user_says_no = True
        browser = await world.browser()
        with capture_logs() as logs:
            answer = await arrived(world, browser)
        assert 400 <= answer.status_code < 500
        (event,) = [entry for entry in logs if entry["event"] == "login.declined"]
        assert event["reason"] == profile.denial["error"]
        assert (await user_of(browser))["authenticated"] is False


@pytest.mark.parametrize(("profile", "key"), ESSENTIAL)
async def test_a_recipe_has_no_line_that_does_nothing(profile: Profile, key: str) -> None:
    """Without a line that this provider's habits ask for, the same walk fails: the fake does have the habit."""
    shorter = without_key(recipe_of(profile), key)
    with pytest.raises((AssertionError, ConfigError)):
        await walk(profile, shorter)


def test_every_recipe_is_walked() -> None:
    """A block with an issuer below a heading is the recipe of a profile; `Plain OAuth 2.0` is the shape of all such providers."""
    sections = re.split(r"^## ", page(PAGE), flags=re.MULTILINE)[1:]
    recipes = {text.partition("\n")[0] for text in sections if "```yaml\nissuer:" in text}
    assert recipes - {"Plain OAuth 2.0"} == {it.recipe for it in PROFILES}
