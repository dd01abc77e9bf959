"""What is written in one turn leaves together, and a browser that takes nothing is not waited for; the test turns the clock."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from bff.cli.joined_writes import MAX_HELD, JoinedWrites

MUCH = b"z" * 50_000_000  # more than the kernel holds between two sockets


@dataclass(slots=True)
class Timer:
    """One that was set; `ring` lets its time have passed."""

    seconds: float
    ring: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        """As a loop's."""
        self.cancelled = True


@dataclass(slots=True)
class Clock:
    """An event loop whose time is the test's."""

    timers: list[Timer] = field(default_factory=list)
    now: float = 0.0

    def time(self) -> float:
        """Seconds."""
        return self.now

    def call_soon(self, callback: Callable[..., None], *arguments: Any) -> Any:
        """In the next turn."""
        return asyncio.get_running_loop().call_soon(callback, *arguments)

    def call_later(self, seconds: float, callback: Callable[..., None], *arguments: Any) -> Timer:
        """When the test says so."""
        due = self.now + seconds

        def ring() -> None:
            self.now = due
            callback(*arguments)

        timer = Timer(seconds, ring)
        self.timers.append(timer)
        return timer


@dataclass(slots=True, kw_only=True)
class Ends:
    """Both ends of a connection."""

    joined: Any
    transport: Any
    reader: asyncio.StreamReader
    clock: Clock
    lost: asyncio.Event

    async def takes(self, size: int) -> None:
        """The browser reads so much; returns when our side has noticed."""
        before = self.transport.get_write_buffer_size()
        await self.reader.readexactly(size)
        async with asyncio.timeout(10):
            while self.transport.get_write_buffer_size() >= before:
                await asyncio.sleep(0.001)


@asynccontextmanager
async def connection() -> AsyncIterator[Ends]:
    """One on loopback."""
    accepted: asyncio.Queue[Any] = asyncio.Queue()
    lost = asyncio.Event()

    class Server(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            accepted.put_nowait(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            lost.set()

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    transport, clock = await accepted.get(), Clock()
    joined = JoinedWrites(transport, loop=clock, patience_seconds=75)  # type: ignore[arg-type]  # all that it asks of a loop
    try:
        yield Ends(joined=joined, transport=transport, reader=reader, clock=clock, lost=lost)
    finally:
        transport.abort()
        writer.close()
        server.close()
        await lost.wait()


async def test_one_turn_is_one_write() -> None:
    """Small pieces are held until the turn is over, and keep their order with large ones."""
    async with connection() as ends:
        ends.joined.write(b"a")
        ends.joined.write(b"b")
        await asyncio.sleep(0)
        ends.joined.write(b"c")
        ends.joined.write(b"d" * (MAX_HELD + 1))
        ends.joined.write(b"e")
        ends.joined.close()
        assert await ends.reader.read() == b"abc" + b"d" * (MAX_HELD + 1) + b"e"


@pytest.mark.requirement("R-261", "R-279")
@pytest.mark.parametrize("closing", [False, True])
async def test_a_browser_that_takes_nothing_loses_its_connection(closing: bool) -> None:
    """Once the patience is over, whether there is more to come or only the end."""
    async with connection() as ends:
        ends.joined.write(MUCH)
        if closing:
            ends.joined.close()
        else:
            ends.joined.wait_for_room()
        (timer,) = ends.clock.timers
        assert timer.seconds == 75
        timer.ring()
        async with asyncio.timeout(10):
            await ends.lost.wait()


@pytest.mark.requirement("R-261", "R-262")
@pytest.mark.parametrize("closing", [False, True])
async def test_a_browser_that_takes_something_has_more_time(closing: bool) -> None:
    """Each time, as long as it takes some of it."""
    async with connection() as ends:
        ends.joined.write(MUCH)
        if closing:
            ends.joined.close()
        else:
            ends.joined.wait_for_room()
        for times in range(1, 4):
            await ends.takes(10_000_000)
            ends.clock.timers[-1].ring()
            assert len(ends.clock.timers) == times + 1
        ends.clock.timers[-1].ring()  # and nothing more was taken
        async with asyncio.timeout(10):
            await ends.lost.wait()


@pytest.mark.requirement("R-262")
async def test_who_closes_with_nothing_left_waits_for_nobody() -> None:
    """No timer for the ordinary end of a connection."""
    async with connection() as ends:
        ends.joined.write(b"all")
        ends.joined.close()
        assert await ends.reader.read() == b"all"
        assert ends.clock.timers == []


@pytest.mark.requirement("R-261")
async def test_room_ends_the_waiting_but_not_that_for_the_end() -> None:
    """What still has to be sent before a connection closes is watched to the last byte."""
    async with connection() as ends:
        ends.joined.write(MUCH)
        ends.joined.wait_for_room()
        ends.joined.has_room()
        ends.clock.timers[0].ring()
        assert not ends.transport.is_closing()
        ends.joined.close()
        ends.joined.has_room()
        ends.clock.timers[1].ring()
        async with asyncio.timeout(10):
            await ends.lost.wait()


@pytest.mark.requirement("R-262")
async def test_each_wait_has_the_whole_time() -> None:
    """One timer serves many waits; one that began while it ran is not cut short by it."""
    async with connection() as ends:
        ends.joined.write(MUCH)
        ends.joined.wait_for_room()
        ends.joined.has_room()
        ends.clock.now = 50
        ends.joined.wait_for_room()
        assert len(ends.clock.timers) == 1
        ends.clock.timers[0].ring()  # at 75
        assert not ends.transport.is_closing()
        assert ends.clock.timers[1].seconds == 50
        ends.clock.timers[1].ring()
        async with asyncio.timeout(10):
            await ends.lost.wait()


async def test_a_lost_connection_is_not_watched() -> None:
    """No timer keeps it in memory."""
    async with connection() as ends:
        ends.joined.write(MUCH)
        ends.joined.wait_for_room()
        ends.joined.lost()
        assert [timer.cancelled for timer in ends.clock.timers] == [True]
