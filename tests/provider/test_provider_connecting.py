"""How far the connection for a call is, from what the library says of it."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from bff.provider.connecting import Connecting


def asked(method: bytes) -> dict[str, Any]:
    """What the library tells of a request that it begins to send."""
    return {"request": SimpleNamespace(method=method)}


def answered(status: int) -> dict[str, Any]:
    """What it tells of the head of an answer."""
    return {"return_value": (b"HTTP/1.1", status, b"", [])}


@pytest.mark.requirement("R-342")
async def test_a_connection_is_under_way_until_the_request_itself_is_sent() -> None:
    """The question for a tunnel is no request, and what a proxy answers with is kept unless it opens one."""
    connecting = Connecting(10.0)
    async with asyncio.timeout(60) as deadline:
        note, whole = connecting.note(deadline), deadline.when()
        await note("connection.connect_tcp.started", {})
        assert (connecting.under_way, deadline.when()) == (True, whole)
        await note("http11.send_request_headers.started", asked(b"CONNECT"))
        assert deadline.when() < whole  # type: ignore[operator]
        await note("http11.receive_response_headers.complete", answered(200))
        assert (connecting.under_way, connecting.refused_by_proxy) == (True, None)
        assert deadline.when() == whole
        await note("http11.send_request_headers.started", asked(b"POST"))
        await note("http11.receive_response_headers.complete", answered(503))
        assert (connecting.under_way, connecting.refused_by_proxy) == (False, None)
        assert deadline.when() == whole


@pytest.mark.requirement("R-342")
async def test_a_kept_connection_says_nothing_of_a_new_one() -> None:
    """Where none is made, what is sent may be spent from the start."""
    connecting = Connecting(10.0)
    async with asyncio.timeout(60) as deadline:
        note = connecting.note(deadline)
        await note("http11.send_request_headers.started", asked(b"POST"))
        assert not connecting.under_way


async def test_a_limit_that_is_shorter_stays() -> None:
    """A proxy has no more time than the call."""
    async with asyncio.timeout(5) as deadline:
        before = deadline.when()
        await Connecting(10.0).note(deadline)("http11.send_request_headers.started", asked(b"CONNECT"))
        assert deadline.when() == before


@pytest.mark.requirement("R-342")
async def test_a_request_that_is_sent_as_the_time_is_over_counts_as_sent() -> None:
    """The deadline cannot be moved any more; what the request carries may be spent all the same."""
    connecting = Connecting(10.0)

    async def call() -> None:
        async with asyncio.timeout(0) as deadline:
            note = connecting.note(deadline)
            await note("connection.connect_tcp.started", {})
            try:
                await asyncio.Event().wait()
            finally:
                await note("http11.send_request_headers.started", asked(b"CONNECT"))
                await note("http11.send_request_headers.started", asked(b"POST"))

    with pytest.raises(TimeoutError):
        await call()
    assert not connecting.under_way
