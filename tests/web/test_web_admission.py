"""The three judgements of a request, each called alone: what it returns, and what it raises."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from bff.errors import (
    BrowserError,
    CsrfRefused,
    LoginRequired,
    MalformedRequest,
    MethodNotAllowed,
    MisdirectedRequest,
    NoRoute,
    PlainHttp,
)
from bff.request_head import JUDGED, RequestHead
from bff.sessions.model import LiveSession, Session
from bff.tokens.sources import ClientToken, UserToken
from bff.web import admission
from bff.web.gateway import Gateway
from support.asgi_gateway import asgi_gateway
from support.request_heads import a_head
from support.session_samples import NOW, a_grant

HOST = {b"host": b"app.example.com"}
OURS = b"https://app.example.com"
UPSTREAM = "http://127.0.0.1:9"
ROUTES: list[dict[str, Any]] = [
    {"path": "/api", "upstream": UPSTREAM, "provider": "corp"},
    {"path": "/pages", "upstream": UPSTREAM, "provider": "corp", "csrf": "origin"},
    {"path": "/machine", "upstream": UPSTREAM, "provider": "corp", "token": "client"},
    {"path": "/anyone", "upstream": UPSTREAM, "provider": "corp", "token": "client", "session": "none"},
    {"path": "/either", "upstream": UPSTREAM, "provider": "corp", "token": "user_or_client"},
    {"path": "/maybe", "upstream": UPSTREAM, "provider": "corp", "token": "user_or_none"},
    {"path": "/open", "upstream": UPSTREAM, "token": "none"},
    {"path": "/read", "upstream": UPSTREAM, "token": "none", "methods": ["GET"]},
]


@asynccontextmanager
async def gateway(**settings: Any) -> AsyncIterator[Gateway]:
    """A gateway with a route for each kind of token."""
    async with asgi_gateway(routes=ROUTES, **settings) as world:
        yield world.app.gateway


def ask(path: bytes, *, method: bytes = b"GET", trusted: bool = False, **fields: bytes) -> RequestHead:
    """A request for this path at our host; `sec_fetch_site=` stands for `Sec-Fetch-Site`."""
    told = {name.replace("_", "-").encode(): value for name, value in fields.items()}
    return a_head({**HOST, **told}, method=method, path=path, trusted=trusted)


def policy_of(ours: Gateway, path: bytes) -> Any:
    """The policy of the route for this path."""
    return ours.policies[path]


# --- route ------------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-151")
async def test_route_returns_the_match_and_the_routes_own_policy() -> None:
    """What is returned names the longest prefix that fits, and that route's policy."""
    async with gateway() as ours:
        for path, label in ((b"/api", "/api"), (b"/api/orders", "/api"), (b"/pages/x", "/pages"), (b"/open/", "/open")):
            admitted = admission.route(ours, ask(path))
            assert admitted.match.route.config.path.text == label
            assert admitted.policy is ours.policies[label.encode()]


@pytest.mark.requirement("R-012", "R-151", "R-239")
@pytest.mark.parametrize(
    ("head", "error"),
    [
        (ask(b"/nowhere"), NoRoute),
        (ask(b"/apis"), NoRoute),
        (ask(b"/api/../open"), MalformedRequest),
        (ask(b"/api/%2e%2e/open"), MalformedRequest),
        (ask(b"/read", method=b"POST"), MethodNotAllowed),
        (a_head(path=b"/open"), MalformedRequest),
        (a_head({b"host": b"a b"}, path=b"/open"), MalformedRequest),
        (a_head({b"host": b"evil.example"}, path=b"/open"), MisdirectedRequest),
        (ask(b"/open", trusted=True, x_forwarded_proto=b"http"), PlainHttp),
    ],
    ids=["none", "longer name", "dots", "encoded dots", "method", "no host", "no name", "other host", "plain http"],
)
async def test_route_refuses_what_is_not_for_us(head: RequestHead, error: type[BrowserError]) -> None:
    """Each reason has an error of its own, and nothing is returned."""
    async with gateway() as ours:
        with pytest.raises(error):
            admission.route(ours, head)


@pytest.mark.requirement("R-012", "R-239")
@pytest.mark.parametrize("name", sorted(JUDGED - {b"cookie"}))
@pytest.mark.parametrize("judge", [admission.route, admission.meant_for_us])
async def test_a_judged_field_that_is_there_twice_is_malformed(name: bytes, judge: Any) -> None:
    """Two lines are refused, even equal ones, and the refusal names the field."""
    fields = [*HOST.items(), (name, b"app.example.com"), (name, b"app.example.com")]
    async with gateway() as ours:
        with pytest.raises(MalformedRequest, match=name.decode()):
            judge(ours, a_head(fields, path=b"/open"))


@pytest.mark.requirement("R-187")
async def test_cookies_and_other_fields_may_come_in_several_lines() -> None:
    """HTTP/2 splits cookies; lists may be split by any hop."""
    fields = [*HOST.items(), (b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"via", b"1.1 a"), (b"via", b"1.1 b")]
    async with gateway() as ours:
        assert admission.route(ours, a_head(fields, path=b"/open")).policy.label == "/open"


@pytest.mark.requirement("R-258")
@pytest.mark.parametrize("name", ["x_forwarded_host", "x_forwarded_uri", "x_original_url", "x_http_method_override"])
async def test_forwarding_fields_choose_no_route(name: str) -> None:
    """A browser that claims another path, host or method gets the route of its request line."""
    async with gateway() as ours:
        admitted = admission.route(ours, ask(b"/api/x", **{name: b"/open"}))
        assert admitted.policy.label == "/api"


@pytest.mark.requirement("R-266")
@pytest.mark.parametrize(
    ("method", "mode", "location"),
    [
        (b"GET", b"navigate", "https://app.example.com/open/a%20b?c=d"),
        (b"GET", b"cors", None),
        (b"POST", b"navigate", None),
    ],
)
async def test_only_a_page_is_sent_on_to_https(method: bytes, mode: bytes, location: str | None) -> None:
    """The error carries the same page over https for a navigation, and nothing for a call."""
    fields = {**HOST, b"x-forwarded-proto": b"http", b"sec-fetch-mode": mode}
    head = a_head(fields, method=method, path=b"/open/a%20b", query=b"c=d", trusted=True)
    async with gateway() as ours:
        with pytest.raises(PlainHttp) as raised:
            admission.meant_for_us(ours, head)
        assert raised.value.location == location


@pytest.mark.requirement("R-239", "R-266")
async def test_meant_for_us_takes_what_names_our_host() -> None:
    """Host names have no case; only a trusted proxy may name another host, and an untrusted peer's scheme does not count."""
    async with gateway() as ours:
        admission.meant_for_us(ours, ask(b"/nowhere"))
        admission.meant_for_us(ours, a_head({b"host": b"APP.example.COM"}))
        admission.meant_for_us(ours, a_head({b"host": b"inner:8080"}, trusted=True))
        admission.meant_for_us(ours, ask(b"/", x_forwarded_proto=b"http"))
        admission.meant_for_us(ours, ask(b"/", trusted=True, x_forwarded_proto=b"https"))


# --- same_site --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("R-012", "R-013", "R-271")
@pytest.mark.parametrize(
    ("path", "method", "fields", "passes"),
    [
        (b"/api", b"GET", {}, False),
        (b"/api", b"GET", {"x_csrf": b"1"}, True),
        (b"/api", b"POST", {"sec_fetch_site": b"same-origin", "origin": OURS}, False),
        (b"/api", b"POST", {"x_csrf": b"1", "origin": OURS}, True),
        (b"/api", b"POST", {"x_csrf": b"1", "origin": b"https://evil.example"}, False),
        (b"/api", b"GET", {"x_csrf": b"1", "sec_fetch_site": b"same-site"}, False),
        (b"/machine", b"GET", {}, False),
        (b"/anyone", b"GET", {}, False),
        (b"/either", b"GET", {}, False),
        (b"/maybe", b"GET", {}, False),
        (b"/pages", b"GET", {}, True),
        (b"/pages", b"POST", {}, False),
        (b"/pages", b"POST", {"origin": OURS}, True),
        (b"/pages", b"GET", {"sec_fetch_site": b"cross-site"}, False),
        (b"/open", b"POST", {"origin": b"https://evil.example", "sec_fetch_site": b"cross-site"}, True),
    ],
)
async def test_same_site_is_asked_where_a_token_is_attached(
    path: bytes, method: bytes, fields: dict[str, bytes], passes: bool
) -> None:
    """Every route with a token asks for the proof that it is configured with; a route without a token asks for none."""
    async with gateway() as ours:
        policy, head = policy_of(ours, path), ask(path, method=method, **fields)
        if passes:
            admission.same_site(ours, head, policy)
            return
        with pytest.raises(CsrfRefused):
            admission.same_site(ours, head, policy)


@pytest.mark.requirement("R-267", "R-268")
@pytest.mark.parametrize(
    ("path", "site", "repeated"),
    [
        (b"/pages", b"cross-site", True),
        (b"/pages", b"same-site", True),
        (b"/pages", b"same-origin", False),
        (b"/pages", b"none", False),
        (b"/api", b"cross-site", False),
        (b"/open", b"cross-site", False),
    ],
)
async def test_only_pages_are_repeated_from_our_own_site(path: bytes, site: bytes, repeated: bool) -> None:
    """A navigation that comes from elsewhere to a route with `csrf: origin`, and no repetition of one."""
    async with gateway() as ours:
        head = ask(path, sec_fetch_site=site)
        assert admission.must_come_from_our_site(head, policy_of(ours, path)) is repeated


# --- source -----------------------------------------------------------------------------------------------------------


def live(*, ends_at: float | None = None, provider: str = "corp") -> LiveSession:
    """A session with one grant, whose refresh token ends at this time."""
    grant = replace(a_grant(provider=provider), refresh_token_expires_at=ends_at)
    session = Session(key="k" * 43, version=1, created_at=NOW, absolute_expires_at=NOW + 3600, grants=(grant,))
    return LiveSession(session=session, idle_expires_at=NOW + 1800)


SIGNED_IN = live()
ENDED = live(ends_at=NOW)
ELSEWHERE = live(provider="other")


@pytest.mark.requirement("R-021", "R-022", "R-167")
@pytest.mark.parametrize(
    ("path", "session", "expected"),
    [
        (b"/api", None, LoginRequired),
        (b"/api", SIGNED_IN, UserToken),
        (b"/api", ELSEWHERE, UserToken),  # it raises LoginRequired when it is asked for its token
        (b"/api", ENDED, UserToken),  # as above
        (b"/pages", None, LoginRequired),
        (b"/pages", SIGNED_IN, UserToken),
        (b"/machine", None, LoginRequired),
        (b"/machine", SIGNED_IN, ClientToken),
        (b"/machine", ELSEWHERE, ClientToken),
        (b"/machine", ENDED, LoginRequired),
        (b"/anyone", None, ClientToken),
        (b"/anyone", SIGNED_IN, ClientToken),
        (b"/either", None, ClientToken),
        (b"/either", SIGNED_IN, UserToken),
        (b"/either", ENDED, ClientToken),
        (b"/either", ELSEWHERE, ClientToken),
        (b"/maybe", None, None),
        (b"/maybe", SIGNED_IN, UserToken),
        (b"/maybe", ENDED, None),
        (b"/maybe", ELSEWHERE, None),
        (b"/open", None, None),
        (b"/open", SIGNED_IN, None),
    ],
)
async def test_source_is_the_users_token_else_our_own_else_none(
    path: bytes, session: LiveSession | None, expected: type | None
) -> None:
    """By the kind of token that the route takes and by who is signed in; a route that wants a user is refused without one."""
    async with gateway() as ours:
        policy = policy_of(ours, path)
        if expected is LoginRequired:
            with pytest.raises(LoginRequired) as raised:
                admission.source(ours, policy, session, now=NOW)
            assert raised.value.provider == "corp"
            return
        found = admission.source(ours, policy, session, now=NOW)
        assert type(found) is (type(None) if expected is None else expected)


@pytest.mark.requirement("R-022")
@pytest.mark.parametrize("session", [ENDED, ELSEWHERE])
async def test_a_users_source_without_a_usable_grant_gives_no_token(session: LiveSession) -> None:
    """`LoginRequired` names the route's provider, and nothing was asked of the provider."""
    async with asgi_gateway(routes=ROUTES) as world:
        ours = world.app.gateway
        found = admission.source(ours, policy_of(ours, b"/api"), session, now=NOW)
        assert isinstance(found, UserToken)
        with pytest.raises(LoginRequired) as raised:
            await found.usable()
        assert raised.value.provider == "corp"
        assert world.corp.calls_to("/token") == []


async def test_a_source_is_bound_to_the_route_and_to_the_session() -> None:
    """The user's source names that session, the route's provider and its target."""
    async with gateway() as ours:
        policy = policy_of(ours, b"/api")
        found = admission.source(ours, policy, SIGNED_IN, now=NOW)
        assert isinstance(found, UserToken)
        assert (found.session, found.provider, found.target) == (SIGNED_IN.session, "corp", policy.target)
