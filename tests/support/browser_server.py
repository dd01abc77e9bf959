"""An ASGI application of the tests behind our own server, with limits of its own, on the running loop.

async with browser_server(app, limits=LimitsConfig(max_head=4096)) as server:
    answer = await said(server.port, b"GET / HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bff.config.model import LimitsConfig
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.errors import BrowserError
from bff.request_head import RequestHead
from bff.server.connection import BrowserConnection
from bff.server.descriptors import Descriptors
from bff.server.served import Served
from bff.tokens.background import BackgroundTasks
from bff.web.answers import OwnAnswer
from bff.web.problems import problem_of


@dataclass(slots=True)
class State:
    """What a server knows of its connections, as `uvicorn.Server` does."""

    total_requests: int = 0
    connections: set[BrowserConnection] = field(default_factory=set)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)

    async def idle(self) -> None:
        """Wait until no connection is left."""
        async with asyncio.timeout(10):
            while self.connections:
                await asyncio.sleep(0.001)


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserServer:
    """A running server."""

    port: int
    state: State
    served: Served


def _problem(error: BrowserError, head: RequestHead | None = None, **_: object) -> OwnAnswer:
    return problem_of(error, head, base_path="/bff", https=True)


def served_application(
    app: Any,
    *,
    limits: LimitsConfig | None = None,
    rest_seconds: float = 5,
    inner_ports: frozenset[int] = frozenset(),
    max_descriptor: int | None = None,
) -> Served:
    """What a server needs to know of an application that is no gateway."""
    return Served(
        app=app,
        limits=lambda: limits or LimitsConfig(),
        rest_seconds=rest_seconds,
        trusts=lambda _: False,
        problem=_problem,
        lane=None,
        inner_ports=inner_ports,
        tasks=BackgroundTasks(),
        descriptors=None if max_descriptor is None else Descriptors(limit=max_descriptor),
    )


@asynccontextmanager
async def browser_server(
    app: Any, *, receive_buffer: int | None = None, is_management: bool = False, **settings: Any
) -> AsyncIterator[BrowserServer]:
    """Serve `app`, perhaps as its management listener; `receive_buffer` bounds what the kernel keeps of each connection."""
    (listener,) = bind_loopback()
    if receive_buffer is not None:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    ports = frozenset({port_of([listener])} if is_management else ())
    served, state, loop = (
        served_application(app, inner_ports=ports, **settings),
        State(),
        asyncio.get_running_loop(),
    )
    server = await loop.create_server(lambda: BrowserConnection(served, state=state, loop=loop), sock=listener)
    try:
        yield BrowserServer(port=port_of([listener]), state=state, served=served)
    finally:
        server.close()
        for connection in list(state.connections):
            connection.shutdown()
        for task in list(state.tasks):
            task.cancel()
        if state.tasks:
            await asyncio.wait(state.tasks)
        await state.idle()


async def said(port: int, *pieces: bytes, pause: bool = False) -> bytes:
    """The answers to these pieces until the server closes; `pause` lets each arrive on its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            if pause:
                await asyncio.sleep(0.001)  # so that the kernel does not join them; nothing is decided by it
        async with asyncio.timeout(10):
            return await reader.read()
    except ConnectionResetError:
        return b"reset"
    finally:
        writer.close()


def status(answer: bytes) -> int:
    """The status of an answer."""
    return int(answer.split(b" ")[1])


def statuses(answers: bytes) -> list[int]:
    """The status of each of several answers whose content is no HTTP."""
    return [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]
