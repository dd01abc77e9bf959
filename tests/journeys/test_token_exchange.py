"""`exchange`: the user's token is exchanged for one of the upstream's own (RFC 8693)."""

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import pytest

from bff.provider.http import RENEWAL_CONNECTIONS
from support.fake_provider import Answer, oauth_error
from support.gateway_world import GatewayWorld, gateway_world

GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
ROUTES: list[dict[str, Any]] = [
    {
        "path": "/api",
        "upstream": "{upstream}",
        "provider": "corp",
        "exchange": {"audience": "orders", "scope": "rates:read"},
    },
    {"path": "/stock", "upstream": "{upstream}", "provider": "corp", "exchange": {"resource": "https://stock.example"}},
    {"path": "/plain", "upstream": "{upstream}", "provider": "corp"},
    {"path": "/", "files": "dist"},
]


TYPES = "urn:ietf:params:oauth:token-type:"


def exchanged(
    value: str, *, expires_in: int = 600, kind: str = "Bearer", issued: object = f"{TYPES}access_token"
) -> Answer:
    """A provider's answer to an exchange."""
    answer = {
        "access_token": value,
        "token_type": kind,
        "expires_in": expires_in,
        "issued_token_type": issued,
    }
    return Answer(body=json.dumps(answer).encode())


def forms(world: GatewayWorld) -> list[dict[str, str]]:
    """The forms of the exchanges that the provider saw."""
    return [dict(call.form) for call in world.token_calls(GRANT)]


@pytest.mark.requirement("R-162")
async def test_the_upstream_gets_the_exchanged_token_and_it_is_kept() -> None:
    """The user's access token is exchanged once for all calls; the upstream never sees the user's own."""
    async with gateway_world(routes=ROUTES) as world:
        browser = await world.signed_in()
        world.corp.answer_next("/token", exchanged("for-orders"))
        for _ in range(3):
            assert (await browser.fetch("/api/orders")).status_code == 200
        await browser.fetch("/plain")
        *orders, plain = [seen.bearer for seen in world.upstream.seen]
        assert orders == ["for-orders"] * 3
        (form,) = forms(world)
        assert form["subject_token"] == plain
        assert form["subject_token_type"] == "urn:ietf:params:oauth:token-type:access_token"
        assert (form["audience"], form["scope"]) == ("orders", "rates:read")


@pytest.mark.requirement("R-162")
async def test_each_user_and_each_upstream_has_its_own() -> None:
    """Tokens of two users, of two sessions of one user, and of two upstreams are never mixed."""
    async with gateway_world(routes=ROUTES) as world:
        users = ["alice", "bob", "alice"]
        browsers = [await world.signed_in(user) for user in users]
        for number, browser in enumerate(browsers):
            for path in ("api", "stock"):
                world.corp.answer_next("/token", exchanged(f"{path}-{number}"))
                await browser.fetch(f"/{path}")
        for number, browser in enumerate(browsers):
            for path in ("api", "stock"):
                await browser.fetch(f"/{path}")
                assert world.upstream.seen[-1].bearer == f"{path}-{number}"


@pytest.mark.requirement("R-162")
async def test_it_is_renewed_and_replaced_when_the_upstream_rejects_it() -> None:
    """An exchanged token that has expired, or that the upstream answers with 401, is exchanged anew."""
    async with gateway_world(routes=ROUTES) as world:
        browser = await world.signed_in()
        world.corp.answer_next("/token", exchanged("first", expires_in=50))
        await browser.fetch("/api")
        world.clock.now += 51
        world.corp.answer_next("/token", exchanged("second"))
        await browser.fetch("/api")
        world.upstream.rejected.add("second")
        world.corp.answer_next("/token", exchanged("third", kind="N_A"))
        assert (await browser.fetch("/api")).status_code == 200
        assert [seen.bearer for seen in world.upstream.seen] == ["first", "second", "second", "third"]


@pytest.mark.requirement("R-343")
async def test_sign_ins_have_connections_however_many_are_exchanged() -> None:
    """An exchange queues for one of the places that renewals share."""
    async with gateway_world(routes=ROUTES) as world:
        browser = await world.signed_in()
        provider = world.app.gateway.provider("corp")
        async with AsyncExitStack() as taken:
            for _ in range(RENEWAL_CONNECTIONS):
                await taken.enter_async_context(provider.place())
            call = asyncio.create_task(browser.fetch("/api/orders"))
            await asyncio.wait([call], timeout=0.2)
            assert forms(world) == []
            await world.signed_in("bob")
            world.corp.answer_next("/token", exchanged("for-orders"))
        assert (await call).status_code == 200


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (oauth_error("invalid_target"), 502),
        (oauth_error("server_error", status=500), 503),
        (Answer(body=b"{}"), 502),
        (exchanged("x", kind="mac"), 502),
        (exchanged("x", issued=f"{TYPES}refresh_token"), 502),
        (exchanged("x", issued=f"{TYPES}saml2", kind="N_A"), 502),
        (exchanged("x", issued=f"{TYPES}id_token", kind="N_A"), 502),
        (exchanged("x", issued=["x"]), 502),
    ],
)
@pytest.mark.requirement("R-162")
async def test_an_exchange_that_fails_ends_no_session(answer: Answer, status: int) -> None:
    """The user stays signed in, other routes go on, and the upstream is not called with the user's own token."""
    async with gateway_world(routes=ROUTES) as world:
        browser = await world.signed_in()
        world.corp.answer_next("/token", answer)
        assert (await browser.fetch("/api/orders")).status_code == status
        assert world.upstream.seen == []
        assert (await browser.fetch("/plain")).status_code == 200


@pytest.mark.requirement("R-162")
@pytest.mark.parametrize(
    ("issued", "asked"),
    [
        (None, {}),
        (f"{TYPES}jwt", {}),
        (f"{TYPES}access_token", {}),
        (f"{TYPES}id_token", {"requested_token_type": f"{TYPES}id_token"}),
    ],
)
async def test_a_token_for_an_api_is_used(issued: object, asked: dict[str, str]) -> None:
    """An access token, a JWT, a token of the type that was asked for, and one whose type the provider leaves out."""
    (orders, *others) = ROUTES
    routes = [{**orders, "exchange": {**orders["exchange"], **asked}}, *others]
    async with gateway_world(routes=routes) as world:
        browser = await world.signed_in()
        world.corp.answer_next("/token", exchanged("for-orders", issued=issued, kind="N_A"))
        assert (await browser.fetch("/api/orders")).status_code == 200
        assert world.upstream.seen[0].bearer == "for-orders"


@pytest.mark.requirement("R-162")
async def test_after_sign_out_it_serves_no_one() -> None:
    """A session that has ended gets 401, although its exchanged token has not expired."""
    async with gateway_world(routes=ROUTES) as world:
        browser = await world.signed_in()
        world.corp.answer_next("/token", exchanged("for-orders"))
        await browser.fetch("/api")
        cookies = dict(browser.jar)
        await browser.fetch("/bff/logout", method="POST")
        browser.jar.update(cookies)
        assert (await browser.fetch("/api")).status_code == 401
        assert len(world.upstream.seen) == 1


NEEDS_THE_USER = ["interaction_required", "login_required", "consent_required", "insufficient_user_authentication"]


@pytest.mark.requirement("R-162", "R-320")
@pytest.mark.parametrize("code", NEEDS_THE_USER)
async def test_a_refusal_that_only_the_user_can_mend_asks_for_a_sign_in(code: str) -> None:
    """The call gets 401 with a `login_url`, other routes go on; the provider is not asked again for a while, but at once after it."""
    async with gateway_world(routes=ROUTES) as world:
        browser = await world.signed_in()
        world.corp.answer_next("/token", oauth_error(code))
        for _ in range(3):
            refused = await browser.fetch("/api/orders")
            assert refused.status_code == 401
            assert refused.json()["login_url"] == "/bff/login?provider=corp"
        assert len(forms(world)) == 1
        assert (await browser.fetch("/plain")).status_code == 200
        assert (await browser.fetch("/bff/user")).json()["authenticated"] is True
        world.clock.now += 31
        world.corp.answer_next("/token", oauth_error(code))
        assert (await browser.fetch("/api/orders")).status_code == 401
        assert len(forms(world)) == 2
        await world.sign_in(browser)
        world.corp.answer_next("/token", exchanged("for-orders"))
        assert (await browser.fetch("/api/orders")).status_code == 200


@pytest.mark.requirement("R-162", "R-320")
async def test_a_clock_that_is_set_back_lengthens_no_refusal() -> None:
    """By hours, it would be repeated for hours."""
    async with gateway_world(routes=ROUTES) as world:
        browser = await world.signed_in()
        world.corp.answer_next("/token", oauth_error("consent_required"))
        assert (await browser.fetch("/api/orders")).status_code == 401
        world.clock.now -= 3 * 3600
        assert (await browser.fetch("/plain")).status_code == 200  # and has the user's token renewed
        await world.app.process.tasks.close(grace_seconds=10)
        world.corp.answer_next("/token", exchanged("for-orders"))
        assert (await browser.fetch("/api/orders")).status_code == 200


@pytest.mark.requirement("R-162", "R-320")
async def test_a_users_token_that_is_refused_twice_asks_for_a_sign_in() -> None:
    """`invalid_grant` has the user's token renewed first; if the new one is refused as well, the answer is 401."""
    async with gateway_world(routes=ROUTES) as world:
        browser = await world.signed_in()
        refreshed = {"access_token": "another", "token_type": "Bearer", "expires_in": 600}
        invalid = oauth_error("invalid_grant")
        world.corp.answer_next("/token", invalid, Answer(body=json.dumps(refreshed).encode()), invalid)
        assert (await browser.fetch("/api/orders")).status_code == 401
        assert [form["subject_token"] == "another" for form in forms(world)] == [False, True]
        assert (await browser.fetch("/plain")).status_code == 200


@pytest.mark.requirement("R-162", "R-320")
async def test_a_token_that_lives_serves_on_when_its_renewal_needs_the_user() -> None:
    """While the exchanged token lives it is used, and its renewal is not asked for at each call."""
    async with gateway_world(routes=ROUTES) as world:
        browser = await world.signed_in()
        world.corp.answer_next("/token", exchanged("for-orders", expires_in=100))
        await browser.fetch("/api/orders")
        world.clock.now += 75
        world.corp.answer_next("/token", oauth_error("interaction_required"))
        async with asyncio.timeout(10):
            while len(forms(world)) < 2:
                assert (await browser.fetch("/api/orders")).status_code == 200
        for _ in range(4):
            assert (await browser.fetch("/api/orders")).status_code == 200
        assert len(forms(world)) == 2
        world.clock.now += 26
        assert (await browser.fetch("/api/orders")).status_code == 401
