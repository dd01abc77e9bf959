"""ASGI apps on loopback sockets, inside the running loop.

Sockets are bound before anything is served, because the addresses go into the configuration first; nobody can take a
port in between. `localhost` may mean 127.0.0.1 or ::1, so a server that is known by that name binds both.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp

STOP_SECONDS = 1  # a stream that is still open when a server stops is cut after this long


class ServerFailedError(RuntimeError):
    """The app could not start; it has said why in its own log."""


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process belongs to whoever runs the loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind_loopback(preferred_port: int = 0, *, both_families: bool = False) -> list[socket.socket]:
    """Listening sockets on one port of 127.0.0.1 (and ::1, where there is one): the preferred port or any free one.

    Raises:
        OSError: not even a free port can be had.
    """
    for port in (preferred_port, 0, 0, 0):
        with contextlib.suppress(OSError):
            return _bind(port, both_families=both_families)
    return _bind(0, both_families=both_families)


def _bind(port: int, *, both_families: bool) -> list[socket.socket]:
    bound: list[socket.socket] = []
    try:
        bound.append(_listen(socket.AF_INET, "127.0.0.1", port))
        if both_families and _has_ipv6_loopback():
            bound.append(_listen(socket.AF_INET6, "::1", port_of(bound)))
    except OSError:
        for sock in bound:
            sock.close()
        raise
    return bound


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(128)  # from now on connections wait in the queue until the server is up
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _has_ipv6_loopback() -> bool:
    try:
        _listen(socket.AF_INET6, "::1", 0).close()
    except OSError:
        return False
    return True


def port_of(sockets: list[socket.socket]) -> int:
    """The port that these sockets share."""
    return int(sockets[0].getsockname()[1])


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, sockets: list[socket.socket]) -> AsyncIterator[None]:
    """Serve `app` on these sockets until the block ends; closes them.

    Raises:
        ServerFailedError: the app's lifespan refused to start.
    """
    server = await _start(app, sockets)
    running = asyncio.create_task(server.main_loop(), name="demo server")
    try:
        yield
    finally:
        running.cancel()  # it only keeps the date
        await asyncio.wait([running])
        await _stop(server, sockets)


async def _start(app: ASGIApp, sockets: list[socket.socket]) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,  # the gateway says it itself
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    config.load()
    server = _Server(config)
    server.lifespan = config.lifespan_class(config)
    try:
        await server.startup(sockets)
    except SystemExit as error:  # how uvicorn says that the lifespan failed; ours is not the process to end
        for sock in sockets:
            sock.close()
        raise ServerFailedError("the app did not start") from error
    return server


async def _stop(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
    """uvicorn's own shutdown, without its tenth of a second of sleep while nobody is connected."""
    for listener in server.servers:
        listener.close()
    for connection in list(server.server_state.connections):
        connection.shutdown()
    await asyncio.sleep(0)  # idle connections are gone after one turn of the loop
    if server.server_state.connections or server.server_state.tasks:
        await server.shutdown(sockets)
        return
    for sock in sockets:
        sock.close()
    await server.lifespan.shutdown()
