"""The one way to start a server: sockets, one worker here or several below us, and a gentle stop.

`uvicorn.Server` keeps processes, signals, lifespan and sockets. Of what it calls `http` it needs a constructor of four arguments and
`shutdown()`; `connection.BrowserConnection` is that. One application serves all listeners; it distinguishes them by the port that
a connection came in on, which no request can choose.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

import uvicorn

from bff.config.model import Address, LimitsConfig
from bff.errors import BrowserError
from bff.request_head import RequestHead
from bff.server.arrival import TlsArrival
from bff.server.connection import BrowserConnection
from bff.server.descriptors import Descriptors
from bff.server.exchange import AsgiApp
from bff.server.lane import Lane
from bff.server.listener_tls import ListenerTls
from bff.server.served import Served, ServerState
from bff.tokens.background import BackgroundTasks
from bff.web.answers import OwnAnswer
from bff.web.app import App
from bff.web.problems import problem_of

REST_SECONDS = 75
STOP_SECONDS = 30
WORKER_SECONDS = 30  # uvicorn's 5 s killed workers of a slow machine while they began, one after another, for ever
BACKLOG = 2048

_served: "WeakKeyDictionary[AsgiApp, Served]" = WeakKeyDictionary()
_states: "WeakKeyDictionary[AsgiApp, ServerState]" = WeakKeyDictionary()


class ServerFailedError(RuntimeError):
    """The application could not start; its own log has the reason."""


def server_config(
    app: AsgiApp | Callable[[], AsgiApp] | str,
    *,
    factory: bool = False,
    workers: int = 1,
    stop_seconds: int = STOP_SECONDS,
    rest_seconds: int = REST_SECONDS,
) -> uvicorn.Config:
    """How every server of ours runs; `app` is an application, or with `factory` the name of a function that makes one."""
    return uvicorn.Config(
        app,
        factory=factory,
        workers=workers,
        http=browser_connection,  # type: ignore[arg-type]  # a constructor, which is all that is asked of it
        loop="uvloop",
        lifespan="auto",
        interface="asgi3",
        proxy_headers=False,  # we decide whose word counts (`trusted_proxies`)
        server_header=False,
        date_header=False,
        access_log=False,
        log_config=None,
        timeout_keep_alive=rest_seconds,
        timeout_graceful_shutdown=stop_seconds,
        timeout_worker_healthcheck=WORKER_SECONDS,
    )


def browser_connection(
    config: uvicorn.Config, server_state: Any, app_state: Any, _loop: asyncio.AbstractEventLoop | None = None
) -> BrowserConnection | TlsArrival:
    """What `uvicorn.Server` calls for each connection that it has accepted."""
    loop = _loop or asyncio.get_running_loop()
    _states[config.loaded_app] = server_state
    served = _served_by(config.loaded_app, rest_seconds=config.timeout_keep_alive)
    connection = BrowserConnection(served, state=server_state, loop=loop)
    if served.tls is None or not served.tls.is_on:
        return connection
    return TlsArrival(connection, served.tls, served=served, state=server_state, loop=loop)


def open_connections(app: AsgiApp) -> int:
    """How many connections the server of this application has now."""
    state = _states.get(app)
    return 0 if state is None else len(state.connections)


def settle_connections(app: AsgiApp) -> None:
    """Have the open connections of this application judge what they read from now on by the configuration that is in force now, and
    the next one be shown its certificate."""
    state, served = _states.get(app), _served.get(app)
    if served is not None and served.tls is not None:
        served.tls.settle()
    for connection in () if state is None else tuple(state.connections):
        if isinstance(connection, BrowserConnection):
            connection.settle()


def _served_by(app: AsgiApp, *, rest_seconds: float) -> Served:
    known = _served.get(app)
    if known is None:
        known = _served[app] = (
            _served_gateway(app, rest_seconds=rest_seconds)
            if isinstance(app, App)
            else _served_application(app, rest_seconds=rest_seconds)
        )
    return known


def _served_gateway(app: App, *, rest_seconds: float) -> Served:
    return Served(
        app=app,
        limits=lambda: app.gateway.config.limits,
        rest_seconds=rest_seconds,
        trusts=lambda host: app.gateway.trusts(host),  # noqa: PLW0108 - of the gateway that is there then
        problem=app.problem,
        lane=Lane(app) if Lane.is_on() else None,
        websockets=app,
        tls=ListenerTls(lambda: app.gateway.config.tls),
        tasks=app.process.tasks,
        inner_ports=app.inner_ports,
        descriptors=Descriptors(),
    )


def _served_application(app: AsgiApp, *, rest_seconds: float) -> Served:
    """Any other ASGI application: the demo's provider and API."""
    return Served(
        app=app,
        limits=LimitsConfig,
        rest_seconds=rest_seconds,
        trusts=lambda _: False,
        problem=_plain_problem,
        lane=None,
        inner_ports=frozenset(),
        tasks=BackgroundTasks(),
        descriptors=None,
    )


def _plain_problem(error: BrowserError, head: RequestHead | None = None, *, began: float | None = None) -> OwnAnswer:
    return problem_of(error, head, base_path="/bff", https=False)


def bind(address: Address) -> socket.socket:
    """A listening socket that workers can inherit.

    Raises:
        OSError: the address is taken or not ours.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address.host, address.port))
    except OSError:
        bound.close()
        raise
    bound.listen(BACKLOG)
    bound.set_inheritable(True)
    return bound


class _Server(uvicorn.Server):
    """Without its signal handlers: the process belongs to the caller, who runs the loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def run(app: AsgiApp, address: Address) -> None:
    """Serve an application at this address until SIGINT or SIGTERM.

    Raises:
        OSError: the address is taken or not ours.
    """
    uvicorn.Server(server_config(app)).run(sockets=[bind(address)])


@contextlib.asynccontextmanager
async def serving(
    app: AsgiApp, sockets: list[socket.socket], *, stop_seconds: int = 1, rest_seconds: int = REST_SECONDS
) -> AsyncIterator[Any]:
    """Serve `app` on these sockets, on the running loop, until the block ends; closes them. Yields uvicorn's state.

    Raises:
        ServerFailedError: the application's lifespan refused to start.
    """
    settings = server_config(app, stop_seconds=stop_seconds, rest_seconds=rest_seconds)
    settings.load()
    server = _Server(settings)
    server.lifespan = settings.lifespan_class(settings)
    try:
        await server.startup(sockets)
    except SystemExit as error:  # uvicorn exits when the lifespan failed; the process is not ours to end
        for sock in sockets:
            sock.close()
        raise ServerFailedError("the application did not start") from error
    try:
        yield server.server_state
    finally:
        await _stop(server, sockets)


async def _stop(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
    """uvicorn's own shutdown, without its tenth of a second of sleep while no connection is open."""
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
