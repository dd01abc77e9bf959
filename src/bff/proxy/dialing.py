"""Connecting to one upstream: its name is asked each time, and all of its addresses are tried (R-365).

The next address is tried as soon as one fails, or after `HEAD_START_SECONDS` without an answer. The first that is connected is used
and the others are dropped (RFC 8305 section 5, https://www.rfc-editor.org/rfc/rfc8305#section-5). asyncio has an option for that and
uvloop has none, so it is done here for both.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bff.clock import Clock, steady
from bff.config.model import CertificateConfig
from bff.config.values.certificates import KeptKeyPair, WatchedFile
from bff.config.values.urls import UpstreamUrl
from bff.errors import UpstreamTimeout
from bff.proxy.addresses import HEAD_START_SECONDS, Overtaken, SocketAddress
from bff.proxy.failures import unreachable
from bff.regular_files import flaw_of
from bff.trusted_roots import client_context

P = TypeVar("P", bound=asyncio.BaseProtocol)


class TlsSettings(NamedTuple):
    """Whom an https upstream is verified against, under which name, and what it is shown."""

    ca_file: Path | None = None  # None: the system's
    server_name: str | None = None  # None: the upstream's host
    client_certificate: tuple[Path, Path] | None = None  # certificate, key


class UpstreamTls:
    """The TLS context of one set of settings; its files are read again when they change.

    A connection that is open stays what it is, for `max_connection_age` at most.
    """

    def __init__(
        self,
        settings: TlsSettings,
        *,
        unusable: Callable[[str, str], None],
        shown: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`unusable` is called with a file that has changed and cannot be used, and why: what it said before stays in use. `shown`
        is called with the text of the client certificate of each connection that is made.

        Raises:
            OSError: a file cannot be used (ssl.SSLError is one).
        """
        self.server_name = settings.server_name
        self._settings = settings
        self._unusable = unusable
        self._shown = shown
        self._authorities = WatchedFile(settings.ca_file)
        self._context, self._kept = _context_of(settings)

    def context(self) -> ssl.SSLContext:
        """For a connection that is made now."""
        if self._authorities.has_changed():
            # A context can learn of an authority and cannot forget one, so a new one is made.
            try:
                self._context, self._kept = _context_of(self._settings)
            except OSError as error:  # ssl.SSLError is one
                self._unusable(str(self._settings.ca_file), flaw_of(error))
        if self._kept is not None and self._settings.client_certificate is not None:
            try:
                self._kept.refresh()
            except OSError as error:
                self._unusable(str(self._settings.client_certificate[0]), flaw_of(error))
        return self._context

    def connected(self) -> None:
        """A connection was made with this context."""
        if self._kept is not None:
            self._shown(self._kept.certificate)


def _context_of(settings: TlsSettings) -> tuple[ssl.SSLContext, KeptKeyPair | None]:
    """Raises: OSError: a file cannot be used (ssl.SSLError is one)."""
    context = client_context(ca_file=settings.ca_file, shared=settings.client_certificate is None)
    if settings.client_certificate is None:
        return context, None
    certificate, key = settings.client_certificate
    kept = KeptKeyPair(CertificateConfig(certificate=certificate, key=key), context)
    kept.refresh()
    return context, kept


class Dialer:
    """Makes connections to one upstream; `tls` is needed for https."""

    def __init__(self, upstream: UpstreamUrl, *, tls: UpstreamTls | None = None, clock: Clock = steady) -> None:
        if upstream.tls and tls is None:
            raise ValueError("an https upstream needs a TLS context: nothing is sent in the clear for want of one")
        self.upstream = upstream
        self._tls = tls if upstream.tls else None
        self._clock = clock
        self._overtaken = Overtaken()

    async def dial(self, make: Callable[[], P], *, seconds: float) -> P:
        """A connection, TLS included, by the protocol that `make` makes.

        Raises:
            UpstreamUnreachable, UpstreamTimeout: there is none.
        """
        origin = self.upstream.origin
        try:
            async with asyncio.timeout(seconds):
                return await self._connect(make)
        except TimeoutError as error:
            raise UpstreamTimeout("could not connect in time", origin=origin, reason="connect") from error
        except OSError as error:  # also ssl.SSLError and socket.gaierror
            raise unreachable(error, origin=origin) from error

    async def _connect(self, make: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        upstream, tls = self.upstream, self._tls
        if upstream.socket is not None:
            _, protocol = await loop.create_unix_connection(make, upstream.socket)
            return protocol
        connected = await self._first_connected(await self._addresses())
        _, protocol = await loop.create_connection(
            make,
            sock=connected,
            ssl=None if tls is None else tls.context(),
            server_hostname=None if tls is None else tls.server_name or upstream.host,
        )
        if tls is not None:
            tls.connected()
        return protocol

    async def _addresses(self) -> list[SocketAddress]:
        found = await self._resolve(self.upstream.host, self.upstream.port)
        addresses = [SocketAddress(family, address) for family, _, _, _, address in found]
        return self._overtaken.order(addresses, now=self._clock())

    @staticmethod
    async def _resolve(host: str, port: int) -> Sequence[tuple[int, int, int, str, Any]]:
        """What the system's resolver says, without a copy of ours."""
        return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)

    async def _first_connected(self, addresses: Sequence[SocketAddress]) -> socket.socket:
        """Raises: OSError: none of them."""
        attempts: dict[asyncio.Task[socket.socket], SocketAddress] = {}
        errors: list[OSError] = []
        try:
            for address in addresses:
                attempts[asyncio.ensure_future(_connected(address))] = address
                winner = await _winner(attempts, errors, all_tried=len(attempts) == len(addresses))
                if winner is not None:
                    late = (tried for tried in attempts.values() if tried != attempts[winner])
                    self._overtaken.note(late, now=self._clock())
                    del attempts[winner]
                    return winner.result()
            raise _joined(errors)
        finally:
            for attempt in attempts:
                _drop(attempt)


async def _winner(
    attempts: "dict[asyncio.Task[socket.socket], SocketAddress]", errors: list[OSError], *, all_tried: bool
) -> "asyncio.Task[socket.socket] | None":
    """The first that connects. None: the next address is to be tried, or with `all_tried` none connects."""
    while pending := [attempt for attempt in attempts if not attempt.done()]:
        patience = None if all_tried else HEAD_START_SECONDS
        done, _ = await asyncio.wait(pending, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        failures = [(attempt, attempt.exception()) for attempt in done]
        for attempt, error in failures:
            if error is None:
                return attempt
            if not isinstance(error, OSError):
                raise error
            errors.append(error)
        if not all_tried:
            return None
    return None


async def _connected(address: SocketAddress) -> socket.socket:
    # The protocol is named: without it asyncio would not know that Nagle's algorithm can be turned off.
    opened = socket.socket(address.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, address.address)
    except BaseException:  # also CancelledError: another address was faster
        opened.close()
        raise
    return opened


def _drop(attempt: "asyncio.Task[socket.socket]") -> None:
    """Not needed: one that has connected is closed, also if it does so only now."""
    attempt.cancel()
    attempt.add_done_callback(lambda done: None if done.cancelled() or done.exception() else done.result().close())


def _joined(errors: Sequence[OSError]) -> OSError:
    """One error that says what all addresses said; `failures.reason_of` reads the numbers."""
    return errors[0] if len(errors) == 1 else OSError("; ".join(map(str, errors)))
