"""What is left after a sign-out, and how long a session and its cookie live."""

from typing import Any

import pytest

from support.fake_provider import having
from support.gateway_world import GatewayWorld, gateway_world
from support.strict_browser import Browser

SESSION = "__Host-Http-bff"
GUARDED = {"path": "/", "upstream": "{upstream}", "provider": "corp", "csrf": "origin"}


def asked(world: GatewayWorld) -> int:
    """How often the provider was asked to sign somebody in."""
    return len([call for call in world.corp.calls if call.path == "/authorize"])


async def signed_out(world: GatewayWorld) -> Browser:
    """A browser in which alice was signed in, and has signed out."""
    browser = await world.signed_in()
    assert (await browser.fetch("/bff/logout", method="POST")).status_code == 200
    return browser


async def test_a_guarded_page_does_not_sign_in_again_at_once() -> None:
    """Right after a sign-out a page that needs a sign-in says so; its button signs in, and the next page load needs none."""
    async with gateway_world(routes=[GUARDED]) as world:
        browser = await signed_out(world)
        before = asked(world)
        page = await browser.navigate("/orders?tab=2", from_url=world.url)
        assert "You are signed out" in page.text
        assert "/bff/login?provider=corp&amp;return_to=/orders%3Ftab%3D2" in page.text
        assert asked(world) == before
        world.corp.sign_in_as = "bob"
        await browser.navigate("/bff/login?provider=corp&return_to=/orders", from_url=world.url + "/")
        assert (await browser.fetch("/bff/user")).json()["claims"]["sub"] == "bob"


async def test_the_page_after_a_sign_out_is_shown_once() -> None:
    """The second page load signs in, and so does the first one after five minutes."""
    async with gateway_world(routes=[GUARDED]) as world:
        browser = await signed_out(world)
        line = next(line for line in browser.set_cookies if line.startswith("__Host-Http-bff-out=1"))
        assert "Max-Age=300" in line
        world.corp.sign_in_as = "alice"
        assert "You are signed out" in (await browser.navigate("/", from_url=world.url)).text
        before = asked(world)
        await browser.navigate("/", from_url=world.url)
        assert asked(world) == before + 1


async def test_the_way_back_from_the_providers_sign_out_ends_on_that_page() -> None:
    """The provider leads to the guarded root: it is the page that says so, and no question whether to go on."""
    async with gateway_world(routes=[GUARDED]) as world:
        browser = await signed_out(world)
        page = await browser.navigate("/?state=x", from_url="https://login.example.com/logout")
        assert "You are signed out" in page.text
        again = await browser.navigate("/?state=x", from_url="https://login.example.com/")
        assert "Another site led you here" in again.text


async def test_a_sign_in_takes_the_note_of_the_sign_out_back() -> None:
    """Signed in again within five minutes: a mail's link is asked about like any other, and nobody is told to be signed out."""
    async with gateway_world(routes=[GUARDED]) as world:
        browser = await signed_out(world)
        world.corp.sign_in_as = "alice"
        await browser.navigate("/bff/login?return_to=/orders", from_url=world.url + "/")
        world.clock.now += 61
        page = await browser.navigate("/orders", from_url="https://mail.example.com/")
        assert "Another site led you here" in page.text


async def test_a_call_after_a_sign_out_is_a_problem() -> None:
    """A fetch gets its 401 with the sign-in's URL, as ever."""
    async with gateway_world(routes=[GUARDED]) as world:
        browser = await signed_out(world)
        assert (await browser.fetch("/orders")).json()["login_url"] == "/bff/login?provider=corp"


@pytest.mark.parametrize(("persistent", "ends"), [(True, "Max-Age=43200"), (False, None)])
async def test_the_session_cookie_ends_with_the_browser_unless_it_is_to_stay(
    persistent: bool, ends: str | None
) -> None:
    """`session.persistent` keeps the cookie for as long as the session can live, with all its other attributes."""
    async with gateway_world(session={"persistent": persistent}) as world:
        browser = await world.signed_in()
        line = next(line for line in browser.set_cookies if line.startswith(f"{SESSION}="))
        assert ("Max-Age" in line) is persistent
        assert ends is None or ends in line
        assert {"Path=/", "Secure", "HttpOnly", "SameSite=Strict"} <= set(line.split("; "))


@pytest.mark.parametrize("clears", [True, False])
async def test_sign_out_clears_the_apps_storage_unless_told_not_to(clears: bool) -> None:
    """`session.clear_site_data: false` leaves what the app stored."""
    async with gateway_world(session={"clear_site_data": clears}) as world:
        browser = await world.signed_in()
        answer = await browser.fetch("/bff/logout", method="POST")
        assert (answer.headers.get("clear-site-data") == '"storage"') is clears


@pytest.mark.parametrize(
    ("claim", "lives_at", "gone_at"),
    [(1_800_000_000 + 60, 59, 60), (1_800_000_000 + 10**9, 1700, None), ("soon", 1700, None), (None, 1700, None)],
)
async def test_a_session_ends_when_the_provider_says(claim: Any, lives_at: int, gone_at: int | None) -> None:
    """`session_expiry` of the ID token bounds the session; a later one, none, and one that is no instant do not."""
    async with gateway_world(lifetime_seconds=7200) as world:
        if claim is not None:
            world.corp.misbehave(id_token_claims=having(session_expiry=claim))
        browser = await world.signed_in()
        world.clock.now += lives_at
        assert (await browser.fetch("/bff/user?touch=0")).json()["authenticated"] is True
        if gone_at is not None:
            world.clock.now += gone_at - lives_at
            assert (await browser.fetch("/bff/user")).json()["authenticated"] is False
