"""Step-up (RFC 9470): a call that needs a stronger or more recent sign-in, as a route or its API says."""

from urllib.parse import parse_qs, urlsplit

import pytest

from support.echo_upstream import Said
from support.fake_provider import having
from support.gateway_world import GatewayWorld, gateway_world
from support.guarded_routes import guarded, signed_in


def asked(world: GatewayWorld) -> dict[str, list[str]]:
    """The parameters of the last authorization request."""
    last = [call for call in world.corp.calls if call.path.endswith("/authorize")][-1]
    return {name: [value] for name, value in last.query}


@pytest.mark.requirement("R-155", "R-106", "R-107")
async def test_a_sign_in_that_is_too_weak_is_stepped_up() -> None:
    """401 with a login URL that asks for the acr; after the sign-in that shows it, the call is forwarded."""
    async with gateway_world(routes=guarded(acr_values=["gold", "platinum"])) as world:
        browser = await signed_in(world, acr="bronze")
        refused = await browser.fetch("/api/orders")
        assert (refused.status_code, refused.json()["type"]) == (401, "urn:bff:problem:step-up-required")
        world.corp.misbehave(id_token_claims=having(acr="gold"))
        await browser.navigate(refused.json()["login_url"] + "&return_to=/", from_url=world.url + "/")
        assert asked(world)["acr_values"] == ["gold platinum"]
        assert (await browser.fetch("/api/orders")).status_code == 200


@pytest.mark.requirement("R-155", "R-107")
@pytest.mark.parametrize("later", [400, -7200])
async def test_a_sign_in_that_is_too_old_is_repeated(later: int) -> None:
    """An authentication older than `max_age` is 401 with a login URL that asks for a recent one; so is one of the future, after a
    clock was set back: it would be recent for hours."""
    async with gateway_world(routes=guarded(max_age="5m")) as world:
        browser = await signed_in(world, auth_time=int(world.clock.now))
        assert (await browser.fetch("/api/orders")).status_code == 200
        world.clock.now += later
        refused = await browser.fetch("/api/orders")
        assert refused.status_code == 401
        world.corp.misbehave(id_token_claims=having(auth_time=int(world.clock.now)))
        await browser.navigate(refused.json()["login_url"] + "&return_to=/", from_url=world.url + "/")
        assert asked(world)["max_age"] == ["300"]
        assert (await browser.fetch("/api/orders")).status_code == 200


@pytest.mark.requirement("R-155", "R-106")
async def test_a_step_up_that_shows_less_than_was_asked_is_declined() -> None:
    """The result of the sign-in is checked: another acr than one of those asked for signs nobody in anew."""
    async with gateway_world(routes=guarded(acr_values=["gold"])) as world:
        browser = await signed_in(world, acr="bronze")
        refused = await browser.fetch("/api/orders")
        page = await browser.navigate(refused.json()["login_url"] + "&return_to=/", from_url=world.url + "/")
        assert page.status_code == 400
        assert (await browser.fetch("/plain")).status_code == 200  # the session that was there goes on
        assert (await browser.fetch("/api/orders")).status_code == 401


@pytest.mark.requirement("R-155")
@pytest.mark.parametrize("later", [60, -7200])  # not within the circle of a sign-in a moment ago
async def test_a_page_load_goes_to_step_up_by_itself_and_arrives(later: int) -> None:
    """A page that requires more is opened: sign-in with what it requires, and back to it; also after a clock was set back."""
    async with gateway_world(routes=guarded(acr_values=["gold"])) as world:
        browser = await signed_in(world, acr="bronze")
        world.clock.now += later
        world.corp.misbehave(id_token_claims=having(acr="gold"))
        page = await browser.navigate("/pages/1", from_url=world.url + "/")
        assert (page.status_code, urlsplit(str(page.url)).path) == (200, "/pages/1")


CHALLENGE = b'Bearer error="insufficient_user_authentication", acr_values="gold silver", max_age="60"'


@pytest.mark.parametrize(
    "challenge",
    [CHALLENGE, b'Basic realm="x", ' + CHALLENGE, CHALLENGE.replace(b"Bearer", b"bearer"), b"Basic YQ==, " + CHALLENGE],
)
@pytest.mark.requirement("R-155")
async def test_an_upstream_may_ask_for_a_step_up(challenge: bytes) -> None:
    """An upstream's insufficient_user_authentication is 401 with a login URL for what it asks; its challenge passes as it is."""
    async with gateway_world() as world:
        browser = await world.signed_in()
        world.upstream.answer_next(
            Said(status=401, fields=[(b"www-authenticate", challenge), (b"content-length", b"0")])
        )
        refused = await browser.fetch("/api/orders")
        assert refused.status_code == 401
        assert challenge.decode() in refused.headers.get_list("www-authenticate")
        assert len(world.upstream.seen) == 1  # no other token would help
        assert world.token_calls("refresh_token") == []
        now = int(world.clock.now)
        world.corp.misbehave(id_token_claims=having(acr="silver", auth_time=now))
        await browser.navigate(refused.json()["login_url"] + "&return_to=/", from_url=world.url + "/")
        assert (asked(world)["acr_values"], asked(world)["max_age"]) == (["gold silver"], ["60"])


@pytest.mark.parametrize("more", [b"", b', acr_values=""', b", max_age=soon"])
@pytest.mark.requirement("R-155", "R-154")
async def test_a_challenge_that_names_nothing_stays_the_apis_own(more: bytes) -> None:
    """There is nothing to ask the provider for. No token is renewed for it either: one of the same sign-in would not do."""
    challenge = b'Bearer error="insufficient_user_authentication"' + more
    async with gateway_world() as world:
        browser = await world.signed_in()
        for _ in range(2):
            said = Said(status=401, fields=[(b"www-authenticate", challenge), (b"content-length", b"0")])
            world.upstream.answer_next(said)
            refused = await browser.fetch("/api/orders")
            assert (refused.status_code, refused.content) == (401, b"")
            assert refused.headers.get_list("www-authenticate") == [challenge.decode()]
        assert (len(world.upstream.seen), world.token_calls("refresh_token")) == (2, [])


@pytest.mark.parametrize(
    "ticket", ["x", "WyJnb2xkIl0.c2lnbmF0dXJl", "{ticket}x", "x{ticket}", "{ticket}&step_up={ticket}"]
)
@pytest.mark.requirement("R-043")
async def test_only_a_ticket_of_ours_asks_for_a_step_up(ticket: str) -> None:
    """A ticket that this gateway did not sign starts no sign-in, and no parameter beside it reaches the provider."""
    async with gateway_world(routes=guarded(acr_values=["gold"])) as world:
        browser = await signed_in(world, acr="bronze")
        ours = parse_qs(urlsplit((await browser.fetch("/api")).json()["login_url"]).query)["step_up"][0]
        before = len(world.corp.calls)
        target = "/bff/login?provider=corp&acr_values=iron&step_up=" + ticket.replace("{ticket}", ours)
        page = await browser.open_once(target, from_url=world.url + "/")
        assert page.status_code == 400
        assert len(world.corp.calls) == before


@pytest.mark.requirement("R-043")
async def test_a_ticket_is_for_one_provider() -> None:
    """What one provider's sign-in is asked for is not asked of another's."""
    async with gateway_world(routes=guarded(acr_values=["gold"])) as world:
        browser = await signed_in(world, acr="bronze")
        ours = parse_qs(urlsplit((await browser.fetch("/api")).json()["login_url"]).query)["step_up"][0]
        page = await browser.open_once(f"/bff/login?provider=partner&step_up={ours}", from_url=world.url + "/")
        assert page.status_code == 400
