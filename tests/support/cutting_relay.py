"""A TCP relay in front of a server, that can take a request to it and then lose the answer with the connection."""

import asyncio


class CuttingRelay:
    """Use as an async context manager. `cut_answers` is how many connections will be cut when an answer comes back on them."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.cut_answers = 0
        self.requests: list[bytes] = []
        self._server_port = port
        self._listening: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """As a store's URL."""
        return f"redis://127.0.0.1:{self.port}"

    def leads_to(self, port: int) -> None:
        """New connections lead to this server."""
        self._server_port = port

    async def __aenter__(self) -> "CuttingRelay":
        self._listening = await asyncio.start_server(self._accepted, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listening is not None
        self._listening.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._server_port)
        asking = asyncio.create_task(self._requests(reader, back))
        try:
            while answer := await there.read(65536):
                if self.cut_answers:
                    self.cut_answers -= 1
                    return
                writer.write(answer)
        finally:
            asking.cancel()
            await asyncio.wait([asking])
            for side in (writer, back):
                side.close()

    async def _requests(self, reader: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        while request := await reader.read(65536):
            self.requests.append(request)
            back.write(request)
        back.close()
