"""Sockets that are bound before anything is served, and servers that start and stop inside a running loop."""

import contextlib
import signal
import socket

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.server.process import ServerFailedError, serving
from support.http_client import http_client


def test_a_taken_port_is_replaced_by_a_free_one() -> None:
    """The preferred port is used when it is free, another one when it is not; both are on loopback only."""
    first = bind_loopback()
    port = port_of(first)
    second = bind_loopback(port)
    assert port_of(second) != port
    for sock in (*first, *second):
        assert sock.getsockname()[0] in {"127.0.0.1", "::1"}
        sock.close()
    again = bind_loopback(port)
    assert port_of(again) == port
    for sock in again:
        sock.close()


def test_both_families_share_one_port() -> None:
    """A server known as localhost is there whichever address that resolves to."""
    bound = bind_loopback(both_families=True)
    assert {sock.getsockname()[1] for sock in bound} == {port_of(bound)}
    families = {sock.family for sock in bound}
    for sock in bound:
        sock.close()
    assert socket.AF_INET in families


async def test_a_server_comes_and_goes() -> None:
    """It answers within the block and is gone after it, and leaves the signal handlers alone."""
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))])
    sockets = bind_loopback()
    url = f"http://127.0.0.1:{port_of(sockets)}/"
    before = signal.getsignal(signal.SIGTERM)
    async with http_client() as http:
        async with serving(app, sockets):
            assert (await http.get(url)).text == "here"
            assert signal.getsignal(signal.SIGTERM) is before
        with pytest.raises(httpx2.ConnectError):
            await http.get(url)


async def test_an_app_that_cannot_start_says_so() -> None:
    """A lifespan that fails is an error of ours, not the end of the process."""

    @contextlib.asynccontextmanager
    async def failing(app: Starlette):  # type: ignore[no-untyped-def]  # a lifespan that never yields has no type
        raise RuntimeError("no")
        yield

    sockets = bind_loopback()
    with pytest.raises(ServerFailedError):
        async with serving(Starlette(lifespan=failing), sockets):
            pass
    assert all(sock.fileno() == -1 for sock in sockets)
