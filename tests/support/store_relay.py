"""A TCP relay in front of the store, so that it can be away for a time with its data kept."""

import asyncio
import contextlib
import itertools
from collections.abc import Iterator


class StoreRelay:
    """Use as an async context manager. While it is away it takes no connection, and those that were open are cut."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._store_port = port
        self._away = False
        self._swallows = False
        self.delay_seconds = 0.0  # of each piece, in both directions
        self._torn: Iterator[int] | None = None
        self._listening: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> "StoreRelay":
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.go_away()
        assert self._listening is not None
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def go_away(self) -> None:
        """Cut every connection, and cut new ones at once."""
        self._away = True
        for writer in self._open:
            writer.transport.abort()

    def come_back(self) -> None:
        """Take connections again."""
        self._away = False

    def swallow(self) -> None:
        """Take connections and let no byte through, from now on: they are half open, as behind a firewall that forgot them."""
        self._swallows = True

    def cut_swallowed(self) -> None:
        """New connections work again; those that were there stay dead, with no sign of it."""
        self._swallows = False

    def tear(self, *sizes: int) -> None:
        """From now on each connection is cut after so many bytes of answers, a size after the other; without sizes none is."""
        self._torn = itertools.cycle(sizes) if sizes else None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._away:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._store_port)
        except ConnectionRefusedError:  # the store is down
            writer.transport.abort()
            return
        self._open |= {writer, back}
        pumps = [
            asyncio.create_task(self._pump(reader, back)),
            asyncio.create_task(self._pump(there, writer, tears=True)),
        ]
        self._tasks.update(pumps)
        await asyncio.wait(pumps)
        self._tasks.difference_update(pumps)
        self._open -= {writer, back}
        for end in (writer, back):
            end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, tears: bool = False) -> None:
        loop, due, swallowed = asyncio.get_running_loop(), 0.0, False
        left: int | None = None  # of what comes through before the connection is torn
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                swallowed = swallowed or self._swallows
                if swallowed:
                    continue
                if self._torn is None or not tears:
                    left = None
                elif left is None:
                    left = next(self._torn)
                if left is not None:
                    data, left = data[:left], left - len(data)
                due = max(
                    loop.time() + self.delay_seconds, due + 1e-6
                )  # in their order, also when the delay gets shorter
                loop.call_at(due, writer.write, data)
                await writer.drain()
                if left is not None and left <= 0:
                    break
        if not swallowed:
            await asyncio.sleep(max(due - loop.time(), 0.0))
            writer.close()
