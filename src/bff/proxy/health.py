"""Health checks: each upstream that has a `health` section is asked in the background, each time over a connection of its own.

A status from 200 to 399 is well. Anything else is not: no connection, no answer within `timeout`, another status, no HTTP.
Redirects are not followed. No token goes along.
"""

import asyncio
from collections.abc import Mapping

from msgspec import Struct

from bff.config.model import HealthConfig
from bff.errors import UpstreamError
from bff.proxy.dialing import Dialer
from bff.proxy.reader import ResponseReader
from bff.proxy.standing import Standing


class Checked(Struct, frozen=True):
    """An upstream that is asked."""

    dialer: Dialer
    health: HealthConfig
    standing: Standing


class HealthChecks:
    """The tasks that ask: one for each upstream, by the key of what distinguishes it."""

    def __init__(self) -> None:
        self._tasks: dict[object, asyncio.Task[None]] = {}

    def follow(self, checked: Mapping[object, Checked]) -> None:
        """Ask these from now on, and no others; those that are asked already go on."""
        for key in self._tasks.keys() - checked.keys():
            self._tasks.pop(key).cancel()
        for key in checked.keys() - self._tasks.keys():
            self._tasks[key] = asyncio.ensure_future(_ask_again_and_again(checked[key]))

    async def aclose(self) -> None:
        """Ask no more."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _ask_again_and_again(checked: Checked) -> None:
    while True:
        checked.standing.checked(await flaw_of(checked.dialer, checked.health))
        await asyncio.sleep(checked.health.interval)


async def flaw_of(dialer: Dialer, health: HealthConfig) -> str | None:
    """Why the upstream is not well, in one word; None: it is."""
    try:
        probe = await dialer.dial(Probe, seconds=health.timeout)
    except UpstreamError as error:
        return error.reason or "unreachable"
    try:
        async with asyncio.timeout(health.timeout):
            status = await probe.ask(_question(dialer, health))
    except TimeoutError:
        return "first_byte"
    finally:
        probe.close()
    if status is None:
        return "http"
    return None if 200 <= status < 400 else f"status {status}"


def _question(dialer: Dialer, health: HealthConfig) -> bytes:
    lines = (b"GET %b HTTP/1.1" % health.path.encode("ascii"), b"host: %b" % dialer.upstream.authority)
    return b"\r\n".join((*lines, b"user-agent: bff-health", b"accept: */*", b"connection: close", b"", b""))


class Probe(asyncio.Protocol):
    """One connection, one question, and the status of the answer."""

    def __init__(self) -> None:
        self._reader = ResponseReader(False)
        self._done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport: asyncio.Transport | None = None

    async def ask(self, question: bytes) -> int | None:
        """The status of the answer; None: there is none."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(question)
        await self._done
        return self._reader.status or None

    def close(self) -> None:
        """The rest of the answer is not wanted."""
        if self._transport is not None:
            self._transport.abort()

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready for the question."""
        self._transport = transport  # type: ignore[assignment]  # asyncio's own type says less than it gives

    def data_received(self, data: bytes) -> None:
        """Some of the answer."""
        if not self._done.done():
            self._reader.feed(data)
            if self._reader.status or self._reader.broken is not None:
                self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more comes."""
        if not self._done.done():
            self._done.set_result(None)
