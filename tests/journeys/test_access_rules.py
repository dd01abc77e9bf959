"""What a route requires of the user: claims, how they authenticated, and how long ago (RFC 9470)."""

from typing import Any

import pytest

from support.fake_provider import having, oauth_error
from support.gateway_world import gateway_world
from support.guarded_routes import guarded, signed_in


@pytest.mark.parametrize(
    ("required", "claims", "status"),
    [
        ({"groups": ["admin", "ops"]}, {"groups": ["staff", "ops"]}, 200),
        ({"groups": ["admin", "ops"]}, {"groups": "admin"}, 200),
        ({"groups": "admin"}, {"groups": ["admin"]}, 200),
        ({"groups": ["admin", "ops"]}, {"groups": ["administrators"]}, 403),
        ({"groups": "admin"}, {"groups": "admin ops"}, 403),
        ({"groups": "admin"}, {}, 403),
        ({"groups": "admin"}, {"groups": {"admin": True}}, 403),
        ({"email_verified": "true"}, {"email_verified": True}, 200),
        ({"email_verified": "true"}, {"email_verified": "true"}, 200),
        ({"email_verified": "true"}, {"email_verified": 1}, 403),
        ({"email_verified": "true"}, {"email_verified": False}, 403),
        ({"level": "1"}, {"level": True}, 403),
        ({"level": "2"}, {"level": 2}, 200),
        ({"level": "2.0"}, {"level": 2}, 200),
        ({"level": "2.0"}, {"level": "2.0"}, 200),
        ({"level": "2"}, {"level": 2.0}, 200),
        ({"level": "1.5"}, {"level": [1.5]}, 200),
        ({"level": "2.5"}, {"level": 2}, 403),
        ({"email_verified": "True"}, {"email_verified": True}, 200),
        ({"email_verified": "True"}, {"email_verified": False}, 403),
        ({"realm_access.roles": "admin"}, {"realm_access": {"roles": ["user", "admin"]}}, 200),
        ({"https://example.com/roles": "admin"}, {"https://example.com/roles": ["admin"]}, 200),
        ({"https://example.com/app.roles": "admin"}, {"https://example.com/app": {"roles": ["admin"]}}, 200),
        ({"clients.my.app.roles": "admin"}, {"clients": {"my.app": {"roles": ["admin"]}}}, 200),
        ({"clients.my.app.roles": "admin"}, {"clients": {"my": {"app": {"roles": ["user"]}}}}, 403),
        ({"clients.my.app": "admin"}, {"clients": {"my.app": {"admin": True}}}, 403),
        ({"groups": "ops", "email_verified": "true"}, {"groups": ["ops"], "email_verified": False}, 403),
        ({"none": "None"}, {"none": None}, 403),
    ],
)
async def test_every_claim_holds_one_of_its_values(
    required: dict[str, object], claims: dict[str, object], status: int
) -> None:
    """A route forwards for a user whose claims hold what it requires; any other user gets 403, and nothing reaches the upstream."""
    async with gateway_world(routes=guarded(claims=required)) as world:
        browser = await signed_in(world, **claims)
        answer = await browser.fetch("/api/orders")
        assert answer.status_code == status
        assert len(world.upstream.seen) == (1 if status == 200 else 0)
        if status == 403:
            assert answer.json()["type"] == "urn:bff:problem:not-permitted"
        assert (await browser.fetch("/plain")).status_code == 200


async def test_no_session_is_no_matter_of_claims() -> None:
    """Without a session the answer is 401 with a login URL, not 403."""
    async with gateway_world(routes=guarded(claims={"groups": "admin"})) as world:
        answer = await (await world.browser()).fetch("/api/orders")
        assert answer.status_code == 401
        assert answer.json()["login_url"] == "/bff/login?provider=corp"


async def test_claims_of_another_provider_count_for_nothing() -> None:
    """Only the provider of the route says who may use it: a claim of another provider's is worth nothing here."""
    async with gateway_world(routes=guarded(claims={"groups": "admin"})) as world:
        world.partner.misbehave(id_token_claims=having(groups=["admin"]))
        browser = await world.signed_in(provider="partner")
        assert (await browser.fetch("/api/orders")).status_code == 401
        await world.sign_in(browser, provider="corp")
        assert (await browser.fetch("/api/orders")).status_code == 403
        assert world.upstream.seen == []


async def test_a_route_with_our_own_token_may_require_claims() -> None:
    """`token: client` behind a session judges the user's claims and attaches the gateway's own token."""
    routes = guarded(claims={"groups": "admin"})
    routes[0] |= {"token": "client", "scope": "rates:read"}
    async with gateway_world(routes=routes) as world:
        browser = await signed_in(world, groups=["admin"])
        assert (await browser.fetch("/api/orders")).status_code == 200
        other = await signed_in(world, groups=["staff"])
        assert (await other.fetch("/api/orders")).status_code == 403


@pytest.mark.requirement("R-022", "R-320")
@pytest.mark.parametrize(
    ("lifetime", "misbehaviour"),
    [({"refresh_expires_in": 601}, {}), ({}, {"answers": {"/token": oauth_error("interaction_required")}})],
    ids=["its refresh token is over", "only another sign-in renews it"],
)
async def test_a_sign_in_that_has_ended_holds_nothing_any_more(lifetime: Any, misbehaviour: Any) -> None:
    """The session goes on at another provider: what is required is 401, and no API is told who was signed in at this one."""
    corp = {"upstream": "{upstream}", "provider": "corp", "request_headers": {"set": {"x-known-user": "{subject}"}}}
    client = {**corp, "token": "client", "scope": "rates:read"}
    routes = [
        {**client, "path": "/admin", "require": {"claims": {"email": "alice@example.com"}}},
        {**client, "path": "/rates"},
        {**corp, "path": "/maybe", "token": "user_or_none"},
        {**corp, "path": "/own"},
        {"path": "/partner", "upstream": "{upstream}", "provider": "partner"},
    ]
    async with gateway_world(routes=routes) as world:
        world.corp.misbehave(token_answer=having(**lifetime))
        browser = await world.signed_in()
        await world.sign_in(browser, provider="partner")
        for path in ("/admin", "/rates", "/maybe", "/own"):
            assert (await browser.fetch(path)).status_code == 200
            assert world.upstream.seen[-1].values("x-known-user") == ["alice"]
        world.corp.misbehave(**misbehaviour)
        world.clock.now += 601
        assert (await browser.fetch("/own")).status_code == 401
        world.corp.behave()
        assert (await browser.fetch("/admin")).status_code == 401
        for path in ("/rates", "/maybe", "/partner"):
            assert (await browser.fetch(path)).status_code == 200
            assert world.upstream.seen[-1].values("x-known-user") == []
