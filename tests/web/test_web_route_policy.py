"""Whose token a route takes."""

import pytest

from bff.config.model import RouteConfig, TokenKind
from bff.sessions.model import Target
from bff.web.route_policy import route_policy, sign_in_target, user_targets
from support.asgi_gateway import asgi_gateway


def policy_of(**settings: object) -> object:
    """The policy of a route."""
    return route_policy(RouteConfig(path="/x", upstream="http://u", provider="corp", **settings))


@pytest.mark.requirement("R-167", "R-021")
@pytest.mark.parametrize(
    ("token", "session", "expected"),
    [
        ("user", "required", (True, True, True, False, True)),
        ("client", "required", (True, True, False, True, True)),
        ("client", "none", (False, False, False, True, True)),
        ("user_or_client", "required", (False, True, True, True, True)),
        ("user_or_none", "required", (False, True, True, False, True)),
        ("none", "required", (False, False, False, False, False)),
    ],
)
def test_kinds_of_token(token: str, session: str, expected: tuple[bool, ...]) -> None:
    """Only `token: none` asks for no CSRF proof; a client token needs a session unless `session: none` is written."""
    policy = policy_of(token=TokenKind(token), session=session)
    found = (policy.needs_session, policy.reads_session, policy.takes_user, policy.takes_client, policy.asks_csrf)
    assert found == expected  # needs a session, reads it, takes the user's token, takes ours, asks for a CSRF proof


@pytest.mark.requirement("R-144", "R-025")
def test_target_names_all_that_tells_tokens_apart() -> None:
    """Resource, audience and scope of the route make the target."""
    policy = policy_of(resource="https://r", audience="a", scope="s")
    assert policy.target == Target(resource="https://r", audience="a", scope="s")


@pytest.mark.requirement("R-158", "R-025")
async def test_sign_in_asks_for_what_users_routes_need() -> None:
    """All users' resources of a provider are asked for at sign-in, those of other token kinds are not."""
    upstream = "http://127.0.0.1:9"
    routes = [
        {"path": "/a", "upstream": upstream, "scope": "orders:read"},
        {"path": "/b", "upstream": upstream, "resource": "https://b.example.com"},
        {"path": "/c", "upstream": upstream, "resource": "https://c.example.com", "token": "user_or_none"},
        {"path": "/d", "upstream": upstream, "resource": "https://d.example.com", "token": "client"},
        {"path": "/e", "upstream": upstream, "resource": "https://b.example.com"},
        {"path": "/f", "upstream": upstream, "token": "none"},
    ]
    async with asgi_gateway(routes=routes) as world:
        config = world.app.gateway.config
        resources = [target.resource for target in user_targets(config, "corp") if target.resource]
        assert resources == ["https://b.example.com", "https://c.example.com"]
        assert sign_in_target(config, "corp") == Target(resource="https://b.example.com")
        assert sign_in_target(config, "partner") == Target()
