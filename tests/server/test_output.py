"""What is written in one turn leaves together, and a browser that reads nothing is cut off; the test turns the clock."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from bff.server.output import MAX_HELD, Output

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

    output: Output
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
    output = Output(transport, loop=clock, patience_seconds=75)  # type: ignore[arg-type]  # all that it asks of a loop
    try:
        yield Ends(output=output, transport=transport, reader=reader, clock=clock, lost=lost)
    finally:
        transport.abort()
        writer.close()
        server.close()
        await lost.wait()


async def test_one_turn_is_one_write() -> None:
    """Small pieces are held until the turn is over, and keep their order with large ones."""
    async with connection() as ends:
        ends.output.write(b"a")
        ends.output.write(b"b")
        await asyncio.sleep(0)
        ends.output.write(b"c")
        ends.output.write(b"d" * (MAX_HELD + 1))
        ends.output.write(b"e")
        ends.output.close()
        assert await ends.reader.read() == b"abc" + b"d" * (MAX_HELD + 1) + b"e"


@pytest.mark.requirement("R-261", "R-279")
@pytest.mark.parametrize("closing", [False, True])
async def test_a_browser_that_takes_nothing_loses_its_connection(closing: bool) -> None:
    """After `patience_seconds`, whether more is to be written or only the end."""
    async with connection() as ends:
        ends.output.write(MUCH)
        if closing:
            ends.output.close()
        else:
            ends.output.wait_for_room()
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
        ends.output.write(MUCH)
        if closing:
            ends.output.close()
        else:
            ends.output.wait_for_room()
        for times in range(1, 4):
            await ends.takes(10_000_000)
            ends.clock.timers[-1].ring()
            assert len(ends.clock.timers) == times + 1
        ends.clock.timers[-1].ring()  # and nothing more was taken
        async with asyncio.timeout(10):
            await ends.lost.wait()


@pytest.mark.requirement("R-262")
async def test_a_close_with_nothing_left_sets_no_timer() -> None:
    """No timer for the ordinary end of a connection."""
    async with connection() as ends:
        ends.output.write(b"all")
        ends.output.close()
        assert await ends.reader.read() == b"all"
        assert ends.clock.timers == []


@pytest.mark.requirement("R-261")
async def test_room_ends_the_waiting_but_not_that_for_the_end() -> None:
    """What still has to be sent before a connection closes is watched to the last byte."""
    async with connection() as ends:
        ends.output.write(MUCH)
        ends.output.wait_for_room()
        ends.output.has_room()
        ends.clock.timers[0].ring()
        assert not ends.transport.is_closing()
        ends.output.close()
        ends.output.has_room()
        ends.clock.timers[1].ring()
        async with asyncio.timeout(10):
            await ends.lost.wait()


@pytest.mark.requirement("R-262")
async def test_each_wait_has_the_whole_time() -> None:
    """One timer serves many waits; one that began while it ran is not cut short by it."""
    async with connection() as ends:
        ends.output.write(MUCH)
        ends.output.wait_for_room()
        ends.output.has_room()
        ends.clock.now = 50
        ends.output.wait_for_room()
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
        ends.output.write(MUCH)
        ends.output.wait_for_room()
        ends.output.lost()
        assert [timer.cancelled for timer in ends.clock.timers] == [True]


async def test_an_answer_written_at_once_keeps_the_order() -> None:
    """What was held leaves in front of it, in the same write."""
    async with connection() as ends:
        ends.output.write(b"a")
        ends.output.write_at_once(b"bc")
        ends.output.write_at_once(b"d")
        ends.output.write(b"e")
        ends.output.close()
        assert await ends.reader.read() == b"abcde"


@pytest.mark.requirement("R-362")
async def test_an_end_leaves_the_other_direction_open() -> None:
    """The browser reads all and then the end, while it can still send."""
    async with connection() as ends:
        ends.output.write(b"all")
        ends.output.end()
        assert await ends.reader.read() == b"all"
        assert not ends.transport.is_closing()
        assert not ends.lost.is_set()


@pytest.mark.requirement("R-261", "R-362")
async def test_an_end_that_is_not_taken_is_watched() -> None:
    """A browser that reads nothing of its last answer loses its connection after `patience_seconds`."""
    async with connection() as ends:
        ends.output.write(MUCH)
        ends.output.end()
        (timer,) = ends.clock.timers
        timer.ring()
        async with asyncio.timeout(10):
            await ends.lost.wait()


async def test_a_reset_is_no_proper_end() -> None:
    """Content without a length must not look complete (RFC 9112 section 8)."""
    async with connection() as ends:
        ends.output.write_at_once(b"some")
        assert await ends.reader.read(4) == b"some"
        ends.output.reset()
        with pytest.raises(ConnectionResetError):
            await ends.reader.read()


async def test_nothing_is_written_after_a_close() -> None:
    """Writes behind a close or a loss are dropped without an error."""
    async with connection() as ends:
        ends.output.write(b"all")
        ends.output.close()
        ends.output.write(b"more")
        ends.output.write(b"z" * (MAX_HELD + 1))
        ends.output.write_at_once(b"again")
        ends.output.end()
        assert await ends.reader.read() == b"all"
        ends.output.lost()
        ends.output.write(b"late")
        ends.output.close()
        await asyncio.sleep(0)
