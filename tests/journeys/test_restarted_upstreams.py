"""APIs that restart under load, as real servers in processes of their own: no call that may be repeated is lost."""

import asyncio
import contextlib
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.free_ports import free_port
from support.gateway_world import GatewayWorld, gateway_world
from support.waiting import until

API = """
import asyncio, os

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await asyncio.sleep(0.005)  # so that some are under way when it ends
    fields = [(b"content-length", b"0"), (b"x-server", os.environ["NAME"].encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})  # one write: no kill can cut the answer
    await send({"type": "http.response.body", "body": b""})
"""
CALLERS = 6


@pytest.fixture
def api(tmp_path: Path) -> Path:
    """The folder of an application."""
    (tmp_path / "api.py").write_text(API)
    return tmp_path


async def started(api: Path, name: str, *where: str, fd: int | None = None) -> Process:
    """A uvicorn that serves the application."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "uvicorn", "--log-level", "critical", "--lifespan", "off", *where, "api:app"),
        cwd=api,
        env={"NAME": name, "PYTHONPATH": str(api)},
        pass_fds=[] if fd is None else [fd],
    )


async def at_port(api: Path, name: str, port: int) -> Process:
    """One that listens on this port, as soon as it does."""
    process = await started(api, name, "--port", str(port))
    await until(lambda: _listens(port))
    return process


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


async def end(process: Process, how: signal.Signals) -> None:
    """Gone."""
    if process.returncode is None:
        process.send_signal(how)
        await process.wait()


class Load:
    """Callers who call one after the other, and what they got."""

    def __init__(self, world: GatewayWorld) -> None:
        self._world = world
        self._tasks: list[asyncio.Task[None]] = []
        self.got: Counter[tuple[int, str]] = Counter()

    async def _call(self) -> None:
        browser = await self._world.browser()
        while True:
            answer = await browser.fetch("/open/orders")
            self.got[answer.status_code, answer.headers.get("x-server", answer.text[:200])] += 1

    async def more(self, count: int = 60) -> None:
        """Waits for so many more answers."""
        goal = self.got.total() + count
        await until(lambda: self.got.total() >= goal or any(task.done() for task in self._tasks))

    async def __aenter__(self) -> "Load":
        """Begins."""
        self._tasks = [asyncio.create_task(self._call()) for _ in range(CALLERS)]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Ends."""
        for task in self._tasks:
            task.cancel()
        for result in await asyncio.gather(*self._tasks, return_exceptions=True):
            assert isinstance(result, asyncio.CancelledError), result


@contextlib.asynccontextmanager
async def gateway_to(upstream: object) -> AsyncIterator[GatewayWorld]:
    """A gateway before it."""
    routes = [{"path": "/open", "upstream": upstream, "token": "none"}, {"path": "/", "files": "dist"}]
    async with gateway_world(routes=routes) as world:
        yield world


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_rolling_restart_loses_no_call(api: Path, how: signal.Signals) -> None:
    """Two servers are ended one after the other under load, gently or not, and started again: each call has its answer."""
    ports = [free_port(), free_port()]
    servers = [await at_port(api, f"old-{n}", port) for n, port in enumerate(ports)]
    try:
        async with gateway_to([f"http://127.0.0.1:{port}" for port in ports]) as world, Load(world) as load:
            await load.more()
            for n, port in enumerate(ports):
                await end(servers[n], how)
                await load.more()
                servers[n] = await at_port(api, f"new-{n}", port)
                await until(lambda n=n: (200, f"new-{n}") in load.got)
        assert {status for status, _ in load.got} == {200}, load.got
        assert {name for _, name in load.got} == {"old-0", "old-1", "new-0", "new-1"}
    finally:
        for server in servers:
            await end(server, signal.SIGKILL)


async def test_a_server_whose_socket_outlives_it_loses_no_call(api: Path) -> None:
    """One server, restarted on one listening socket: what comes meanwhile waits in its queue, and stale connections are replaced."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        port, where = listener.getsockname()[1], ("--fd", str(listener.fileno()))
        server = await started(api, "old", *where, fd=listener.fileno())
        try:
            async with gateway_to(f"http://127.0.0.1:{port}") as world, Load(world) as load:
                await load.more()
                await end(server, signal.SIGTERM)
                server = await started(api, "new", *where, fd=listener.fileno())
                await until(lambda: (200, "new") in load.got)
                await load.more()
            assert set(load.got) == {(200, "old"), (200, "new")}
        finally:
            await end(server, signal.SIGKILL)
