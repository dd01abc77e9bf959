"""A failed upstream says why, in the log, the problem and the page, and names no inner address to the browser (R-363)."""

import asyncio
import socket
from typing import Any

import pytest
from structlog.testing import capture_logs

from support.gateway_world import GatewayWorld, gateway_world
from support.valkey_server import free_port

INNER = "secret-inner-name.invalid"


def routes(upstream: str, **more: object) -> list[dict[str, Any]]:
    """One route to this upstream."""
    return [{"path": "/open", "upstream": upstream, "token": "none", **more}, {"path": "/", "files": "dist"}]


async def failed(world: GatewayWorld) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The problem, the log's entry, and the page of a failing call."""
    browser = await world.browser()
    with capture_logs() as logs:
        problem = (await browser.fetch("/open/orders?secret=1")).json()
    page = await browser.open_once("/open/orders?secret=1", from_url=world.url + "/")
    (entry,) = (entry for entry in logs if entry["event"] == "request.not_served")
    return problem, dict(entry), page.text


async def _no_such_name(_: object, host: object, *__: object, **___: object) -> Any:
    """A resolver without a network: it knows addresses only."""
    if host == INNER:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", __[0] if __ else 0))]


@pytest.mark.requirement("R-363")
async def test_a_name_that_is_not_found_and_a_refused_connection_are_two_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its own reason and sentence; path and request id lead from the page to the log."""
    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", _no_such_name)
    for upstream, reason, words in (
        (f"http://{INNER}:8000", "name", "name"),
        (f"http://127.0.0.1:{free_port()}", "refused", "refuses connections"),
    ):
        async with gateway_world(routes=routes(upstream)) as world:
            problem, entry, page = await failed(world)
        assert (entry["reason"], entry["path"], entry["method"]) == (reason, "/open/orders", "GET")
        assert entry["request_id"] == problem["request_id"]
        assert words in problem["detail"]
        assert words in page
        for shown in (str(problem), page):
            assert INNER not in shown
            assert upstream.partition("//")[2] not in shown
        assert "secret=1" not in str(entry)
