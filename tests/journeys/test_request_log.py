"""The log answers: one line for each request says which route, what came of it, why, who, and how long the API took (R-363, R-364)."""

import io
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from support.fake_provider import oauth_error
from support.gateway_world import SERVER, GatewayWorld, gateway_world
from support.strict_browser import Browser
from support.switched_lane import switched

Deed = Callable[[GatewayWorld, Browser], Awaitable[object]]


async def _waits_an_hour(world: GatewayWorld, browser: Browser) -> None:
    world.clock.now += 3600


async def _works_for_days(world: GatewayWorld, browser: Browser) -> None:
    for _ in range(200):
        world.clock.now += 1500
        if (await browser.fetch("/api/x")).status_code == 401:
            return


def lines(events: list[Any], event: str = "request.served") -> list[dict[str, Any]]:
    """The events of this name."""
    return [dict(entry) for entry in events if entry["event"] == event]


@contextmanager
def last_lines() -> Iterator[list[dict[str, Any]]]:
    """The lines of requests that end in the block."""
    found: list[dict[str, Any]] = []
    with capture_logs() as events:
        yield found
    found += lines(events)


async def ended_session(world: GatewayWorld, browser: Browser) -> None:
    """End the browser's session in the store, as a sign-out in another place does."""
    found = await world.app.process.store.find(issuer=world.corp.issuer, subject="alice")
    other = await world.signed_in("alice")
    listed = (await other.fetch("/bff/sessions")).json()["sessions"]
    for session in listed:
        if not session["current"] and any(key.startswith(session["id"]) for key in found):
            await other.fetch(f"/bff/sessions/{session['id']}", method="DELETE")


@pytest.mark.requirement("R-363")
@pytest.mark.parametrize(
    ("deed", "why"),
    [(_waits_an_hour, "idle"), (_works_for_days, "absolute"), (ended_session, "ended")],
    ids=["idle", "absolute", "ended"],
)
@pytest.mark.parametrize("access", [True, False])
async def test_the_log_says_why_a_session_was_missing(deed: Deed, why: str, access: bool) -> None:
    """Expired unused, too old, or ended, by the line of the request or by its refusal."""
    async with gateway_world(log={"access": access}) as world:
        browser = await world.signed_in("alice")
        await deed(world, browser)
        with capture_logs() as events:
            assert (await browser.fetch("/api/x?code=1")).status_code == 401
    (line,) = [entry for entry in events if entry["event"] in {"request.served", "request.refused"}]
    assert line["event"] == ("request.served" if access else "request.refused")
    assert (line["why"], line["status"], line["route"], line["path"]) == (why, 401, "/api", "/api/x")
    assert line.get("cause") == ("user" if why == "ended" else None)
    assert len(line["session"]) == 8
    assert "code=1" not in str(events)


@pytest.mark.requirement("R-363")
@pytest.mark.parametrize(
    ("path", "options", "why", "status"),
    [
        ("/api/x", {}, "no_cookie", 401),
        ("/nowhere/x", {}, "no_route", 404),
        ("/bff/nothing", {}, "no_route", 404),
    ],
)
async def test_a_refused_request_has_one_line(path: str, options: dict[str, Any], why: str, status: int) -> None:
    """It says why in one word, the class of the error, and what an operator can do."""
    routes = [{"path": "/api", "upstream": "{upstream}", "provider": "corp"}]
    async with gateway_world(log={"access": True}, routes=routes) as world:
        browser = await world.browser()
        with capture_logs() as events:
            assert (await browser.fetch(path, **options)).status_code == status
    (line,) = events
    assert (line["event"], line["why"], line["status"], line["client"]) == ("request.served", why, status, "127.0.0.1")


@pytest.mark.parametrize(
    ("path", "reason", "remedy"),
    [
        ("/nowhere/x", None, "`bff routes` lists them"),
        ("/app/old-build.js", "no_file", "build the app again"),
        (f"/app/{'x/' * 40}", "no_file", "build the app again"),
        ("/bff/nothing", "no_endpoint", "docs/reference/endpoints.md"),
        ("/bff/frontchannel-logout/corp", "no_endpoint", "docs/reference/endpoints.md"),
        ("/asked/x", "only_asked", "forward_auth.listen"),
    ],
)
async def test_each_404_says_what_is_missing(path: str, reason: str | None, remedy: str) -> None:
    """No route, no file, no endpoint, and a path that only a proxy asks about each have a remedy of their own."""
    routes = [{"path": "/app", "files": "dist"}, {"path": "/asked", "provider": "corp"}]
    async with gateway_world(routes=routes, forward_auth=True) as world:
        browser = await world.browser()
        with capture_logs() as events:
            assert (await browser.fetch(path)).status_code == 404
    (line,) = events
    assert (line["event"], line["why"], line.get("reason")) == ("request.refused", "no_route", reason)
    assert remedy in line["remedy"]


async def test_a_refused_client_is_told_with_the_keys_to_compare() -> None:
    """A sign-in that ends because the provider does not take our secret names the keys of the file, not metadata."""
    async with gateway_world() as world:
        world.corp.misbehave(answers={"/token": oauth_error("invalid_client", status=401)})
        browser = await world.browser()
        with capture_logs() as events:
            await world.sign_in(browser)
    (line,) = [entry for entry in events if entry["event"] == "request.not_served"]
    assert (line["status"], line["why"], line["reason"]) == (502, "invalid_client", "invalid_client")
    assert "client_secret" in line["remedy"]


@pytest.mark.requirement("R-363")
async def test_a_page_load_that_goes_to_sign_in_says_why() -> None:
    """The redirect's line has the reason that a call's refusal would have."""
    routes = [{"path": "/pages", "upstream": "{upstream}", "provider": "corp", "csrf": "origin"}]
    async with gateway_world(log={"access": True}, routes=routes) as world:
        browser = await world.browser()
        with last_lines() as found:
            await browser.open_once("/pages/x", from_url=world.url + "/")
    (line,) = found
    assert (line["status"], line["route"], line["why"]) == (303, "/pages", "no_cookie")


@pytest.mark.requirement("R-364")
@pytest.mark.parametrize("lane", ["on", "off"])
@pytest.mark.parametrize(("user", "shown"), [("none", None), ("subject", "alice"), ("email", "alice@example.com")])
async def test_a_served_call_says_who_and_how_long(lane: str, user: str, shown: str | None) -> None:
    """Route, upstream, both times and the session; who it is only where the operator wants that."""
    with switched(lane):
        async with gateway_world(log={"access": True, "user": user}) as world:
            browser = await world.signed_in("alice")
            await browser.fetch("/api/first")
            with last_lines() as found:
                answer = await browser.fetch("/api/x")
    (line,) = found
    assert (line["route"], line["status"], line.get("user")) == ("/api", 200, shown)
    assert line["request_id"] == answer.headers["x-request-id"]
    assert 0 < line["upstream_seconds"] <= line["seconds"] < 60
    assert line["upstream"].startswith("http://127.0.0.1:")
    assert "why" not in line


@pytest.mark.requirement("R-363")
async def test_sessions_start_and_end_in_the_log() -> None:
    """Each end has its cause, and the same eight characters as the start."""
    async with gateway_world(log={"user": "subject"}) as world:
        with capture_logs() as events:
            browser = await world.signed_in("alice")
            await browser.fetch("/bff/logout", method="POST")
            await world.signed_in("bob")
    first, second = lines(events, "session.started")
    assert (first["user"], second["user"]) == ("alice", "bob")
    (ended,) = lines(events, "session.ended")
    assert (ended["session"], ended["cause"]) == (first["session"], "logout")


@pytest.mark.requirement("R-364")
@pytest.mark.skipif(SERVER != "bff", reason="its events go elsewhere")
async def test_what_a_request_causes_has_its_id() -> None:
    """A refresh that a call waits for is logged with the call's request id, as `bff serve` writes it."""
    written = io.StringIO()
    async with gateway_world() as world:
        browser = await world.signed_in("alice")
        world.clock.now += 601
        before = structlog.get_config()
        structlog.configure(
            processors=[structlog.contextvars.merge_contextvars, structlog.processors.JSONRenderer()],
            logger_factory=structlog.PrintLoggerFactory(file=written),
            cache_logger_on_first_use=False,
        )
        try:
            answer = await browser.fetch("/api/x")
        finally:
            structlog.configure(**before)
    (line,) = [line for line in written.getvalue().splitlines() if "session.refreshed" in line]
    assert f'"request_id": "{answer.headers["x-request-id"]}"' in line
