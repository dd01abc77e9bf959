"""The upstream's part of a WebSocket handshake: the request is written, its answer read, and the connection handed on.

The upstream's handshake is made before the browser's is answered, so that its refusal is the browser's answer. Connecting has
`timeouts.connect`, the answer with its content `timeouts.first_byte`. No redirect is followed: the token would go along.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from bff.errors import UpstreamBroke, UpstreamTimeout
from bff.proxy.reader import UpgradeReader
from bff.proxy.upstream import WebSocketPlace
from bff.proxy.upstream_request import UpstreamRequest, written_head

MAX_REFUSAL = 1024 * 1024  # bytes of content in an answer that is no 101


class UpstreamHandshake(asyncio.Protocol):
    """One connection until its answer is complete; after a `101` it is not read until another protocol takes it over."""

    def __init__(self) -> None:
        self.reader = UpgradeReader()
        self._answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None
        self._is_lost = False

    @property
    def transport(self) -> asyncio.Transport:
        """Of a connection that has been made."""
        return cast(asyncio.Transport, self._transport)

    @property
    def is_usable(self) -> bool:
        """Whether the connection is still there; to be asked right before it is taken over."""
        return not self._is_lost and not self.transport.is_closing()

    async def answer(self, request: UpstreamRequest) -> None:
        """Write the request, and wait until `reader` has all of the answer, or knows that it is broken."""
        if self.is_usable:
            self.transport.write(written_head(request))
        await self._answered

    def abort(self) -> None:
        """Let the connection go."""
        if self._transport is not None:
            self._transport.abort()

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready for the request."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Some of the answer."""
        self.reader.feed(data)
        if self.reader.status == 101 and self.reader.complete and not self.transport.is_closing():
            self.transport.pause_reading()
        self._look()

    def eof_received(self) -> None:
        """The upstream has nothing more to say; the transport closes then."""
        self.reader.eof()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        self._is_lost = True
        if not self.reader.complete:
            self.reader.lost()
        self._look()

    def _look(self) -> None:
        reader = self.reader
        if (
            reader.complete or reader.broken is not None or reader.buffered > MAX_REFUSAL
        ) and not self._answered.done():
            self._answered.set_result(None)


async def shake_hands(
    place: WebSocketPlace, request_for: Callable[[bytes], Awaitable[UpstreamRequest]], *, seconds: float
) -> UpstreamHandshake:
    """The answer to a handshake, in the `reader` of what is returned: take its connection over, or `abort` it.

    `request_for` makes the request for an upstream, by its authority, when there is a connection to it.

    Raises:
        UpstreamUnreachable, UpstreamTimeout, UpstreamBroke, UpstreamBusy: there is none.
    """
    while True:
        handshake = await place.dial(UpstreamHandshake)
        try:
            request = await _made(request_for(place.member.authority), handshake)
            await _answered(handshake, place, request, seconds=seconds)
        except UpstreamBroke:
            reader = handshake.reader
            if not (reader.was_lost and place.broke_off(untouched=not reader.received)):
                raise
        else:
            place.answered()
            return handshake


async def _made(request: Awaitable[UpstreamRequest], handshake: UpstreamHandshake) -> UpstreamRequest:
    try:
        return await request
    except BaseException:  # also CancelledError: the connection must go
        handshake.abort()
        raise


async def _answered(
    handshake: UpstreamHandshake,
    place: WebSocketPlace,
    request: UpstreamRequest,
    *,
    seconds: float,
) -> None:
    """Raises: UpstreamTimeout, UpstreamBroke: there is no answer, and the connection is gone."""
    try:
        async with asyncio.timeout(seconds):
            await handshake.answer(request)
        flaw = _flaw(handshake.reader)
        if flaw is not None:
            raise UpstreamBroke(f"WebSocket handshake: {flaw}", origin=place.origin, reason=handshake.reader.broken_by)
    except TimeoutError as error:
        handshake.abort()
        raise UpstreamTimeout("no answer to a WebSocket handshake", origin=place.origin, reason="first_byte") from error
    except BaseException:  # also CancelledError: the connection must go
        handshake.abort()
        raise


def _flaw(reader: UpgradeReader) -> str | None:
    if reader.broken is not None:
        return reader.broken
    return "an answer that is too large" if reader.buffered > MAX_REFUSAL else None
