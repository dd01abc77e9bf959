"""A connection to the TLS listener until its handshake is over; then a `BrowserConnection` has it, as it has a plain one.

    the port       of the management listener: no TLS, at once
    descriptors    before the handshake, which costs more than a request
    handshake      in a task, bounded by `limits.head_timeout`; what is no TLS (plain HTTP, a scanner) ends there, without an answer

`uvicorn.Server` accepts a connection as plain TCP, for one listener as for the other. Its socket is duplicated and handed to the loop
anew, with TLS: uvloop would read the first bytes of the handshake before `start_tls` could take the connection over (its
`pause_reading` has no effect in `connection_made`).
"""

import asyncio
import socket
import ssl
from typing import cast

from bff.clock import steady
from bff.server.connection import BrowserConnection, local_port
from bff.server.listener_tls import ListenerTls
from bff.server.served import Served, ServerState
from bff.telemetry import running as telemetry

SHUTDOWN_SECONDS = 5.0  # that a browser may take to answer the end of TLS; the answer before it has been sent


class TlsArrival(asyncio.Protocol):
    """One connection that has been accepted; `connection` takes it over."""

    def __init__(
        self,
        connection: BrowserConnection,
        tls: ListenerTls,
        *,
        served: Served,
        state: ServerState,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._connection = connection
        self._tls = tls
        self._served = served
        self._state = state
        self._loop = loop
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        plain = cast(asyncio.Transport, transport)
        if local_port(plain) in self._served.inner_ports:
            plain.set_protocol(self._connection)
            self._connection.connection_made(plain)
            return
        context = self._tls.context()
        open_now = len(self._state.connections)
        if context is not None and not self._served.refuses(plain, connections=open_now, now=steady()):
            self._begin(plain, context)
        plain.abort()  # closes its own descriptor; nothing was read

    def shutdown(self) -> None:
        """The server stops: nothing was asked yet."""
        if self._task is not None:
            self._task.cancel()

    def _begin(self, plain: asyncio.Transport, context: ssl.SSLContext) -> None:
        try:
            accepted: socket.socket = plain.get_extra_info("socket").dup()
        except OSError:  # no descriptor is left
            return
        accepted.setblocking(False)
        self._state.connections.add(self)
        self._task = self._loop.create_task(self._shake_hands(accepted, context))
        self._state.tasks.add(self._task)
        self._task.add_done_callback(self._left)

    async def _shake_hands(self, accepted: socket.socket, context: ssl.SSLContext) -> None:
        """The loop calls `connection_made` of the connection when the handshake is over."""
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._connection,
                accepted,
                ssl=context,
                ssl_handshake_timeout=self._served.limits().head_timeout,
                ssl_shutdown_timeout=SHUTDOWN_SECONDS,
            )
        except OSError:  # also ssl.SSLError, TimeoutError and ConnectionError: no TLS, too slow, or gone
            telemetry.handshake_failed()
            return
        if not self._connection.is_made:  # asyncio takes a browser that left for the end of the handshake
            telemetry.handshake_failed()

    def _left(self, task: "asyncio.Task[None]") -> None:
        self._state.connections.discard(self)
        self._state.tasks.discard(task)
