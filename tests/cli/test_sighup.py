"""SIGHUP to `bff serve`, with one worker and with two: what is under way goes on, and no connection breaks (R-171). And a worker that
dies."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest

from support.fault_gateways import FaultGateway
from support.free_ports import free_port
from support.http_client import http_client
from support.raw_browser import raw_browser
from support.scripted_upstream import Conversation, response, scripted_upstream
from support.valkey_server import ValkeyServer

pytestmark = pytest.mark.requirement("R-171")

HOST = {"host": "localhost:7777", "x-csrf": "1"}
BROWSERS = 8


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    """A store for the workers of this file."""
    with ValkeyServer() as server:
        yield server


async def api(it: Conversation) -> None:
    """An API with an event stream at `/events`, which says `on` for each line that is asked for there."""
    while True:
        request = await it.request()
        if request.target != b"/events":
            await it.send(response(b"fine"))
            continue
        await it.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        while True:
            await it.send(b"data: on\n\n")
            await asyncio.sleep(0.02)


class Serving:
    """`bff serve` before an API, its configuration, and browsers that ask all the time."""

    def __init__(self, gateway: FaultGateway, settings: dict[str, Any]) -> None:
        self.gateway = gateway
        self.settings = settings
        self.answers: dict[int | str, int] = {}

    def write(self, *paths: str, **changes: Any) -> None:
        """Write a file with these routes to the API."""
        upstream = self.settings["routes"][0]["upstream"]
        routes = [{"path": path, "upstream": upstream, "token": "none"} for path in paths]
        self.gateway.write({**self.settings, "routes": routes, **changes})

    def hang_up(self) -> None:
        """SIGHUP to the process that was started."""
        self.gateway.signal(signal.SIGHUP)

    async def status(self, path: str) -> int:
        """The status of one call on a connection of its own, so that any worker may answer it."""
        async with http_client(base_url=self.gateway.client.base_url, timeout=30) as client:
            return (await client.get(path, headers=HOST)).status_code

    async def ask_on(self) -> None:
        """A browser that asks one thing after the other, on connections that it keeps."""
        while True:
            try:
                answer: int | str = (await self.gateway.client.get("/open/x", headers=HOST)).status_code
            except httpx2.TransportError as error:
                answer = repr(error)
            self.answers[answer] = self.answers.get(answer, 0) + 1

    async def events(self, name: str, *, count: int) -> list[dict[str, Any]]:
        """The log events of this name, once there are so many."""
        async with asyncio.timeout(120):
            while len(self.gateway.events(name)) < count:
                await asyncio.sleep(0.02)
        return self.gateway.events(name)


@asynccontextmanager
async def a_served_gateway(folder: Path, *, workers: int, store: str) -> AsyncIterator[Serving]:
    """Start it, and wait until it is ready."""
    async with scripted_upstream(api) as upstream:
        settings = {
            "public_url": "http://localhost:7777",
            "session": {"store": store, "keys": ["a session key that is long enough 0123456789"]},
            "providers": {
                "corp": {
                    "issuer": "http://127.0.0.1:9",
                    "client_id": "shop",
                    "client_secret": "a secret of the shop that is long enough",
                }
            },
            "routes": [{"path": "/open", "upstream": upstream.url, "token": "none"}],
        }
        gateway = FaultGateway(settings, folder=folder, port=free_port(), workers=workers)
        try:
            gateway.start()
            serving = Serving(gateway, settings)
            await serving.events("gateway.started", count=workers)
            yield serving
        finally:
            await gateway.client.aclose()
            gateway.signal(signal.SIGTERM)  # and not SIGKILL, which the workers would not learn of
            async with asyncio.timeout(120):
                await gateway.ended()
            await gateway.close()


@asynccontextmanager
async def under_load(serving: Serving) -> AsyncIterator[None]:
    """Browsers ask for as long as the block runs; some have been answered before it, and some at its end."""
    browsers = [asyncio.create_task(serving.ask_on()) for _ in range(BROWSERS)]
    try:
        await _more_answers(serving)
        yield
        await _more_answers(serving)
    finally:
        for browser in browsers:
            browser.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*browsers)


async def _more_answers(serving: Serving) -> None:
    wanted = sum(serving.answers.values()) + 20 * BROWSERS
    async with asyncio.timeout(120):
        while sum(serving.answers.values()) < wanted:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_reload_under_load_fails_no_request(valkey: ValkeyServer, tmp_path: Path, workers: int) -> None:
    """Every worker takes the new file on: a new route answers, an event stream goes on, and each call in between is answered."""
    async with a_served_gateway(tmp_path, workers=workers, store=valkey.url) as serving:
        assert await serving.status("/fresh/x") == 404
        async with raw_browser(serving.gateway.port) as reader, under_load(serving):
            await reader.say(b"GET /open/events HTTP/1.1\r\nHost: localhost:7777\r\nX-CSRF: 1\r\n\r\n")
            await reader.head()
            serving.write("/open", "/fresh")
            serving.hang_up()
            reloaded = await serving.events("config.reloaded", count=workers)
            assert [event["changed"] for event in reloaded] == [["routes"]] * workers
            assert [await serving.status("/fresh/x") for _ in range(8)] == [200] * 8
            assert b"data: on" in await reader.some()
        assert set(serving.answers) == {200}
        assert len(serving.gateway.events("gateway.started")) == workers


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_wrong_file_under_load_changes_nothing(valkey: ValkeyServer, tmp_path: Path, workers: int) -> None:
    """Its problem is one event, however many workers there are; all of them go on, and the mended file is taken on."""
    async with a_served_gateway(tmp_path, workers=workers, store=valkey.url) as serving:
        async with under_load(serving):
            serving.write("/open", "/fresh", base_path="no slash")
            serving.hang_up()
            (refused,) = await serving.events("config.refused", count=1)
            assert (refused["key"], refused["line"]) == ("base_path", 1)
            assert [await serving.status("/fresh/x") for _ in range(8)] == [404] * 8
            serving.write("/open", "/fresh")
            serving.hang_up()
            await serving.events("config.reloaded", count=workers)
            assert [await serving.status("/fresh/x") for _ in range(8)] == [200] * 8
        assert set(serving.answers) == {200}
        assert len(serving.gateway.events("config.refused")) == 1


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_process_that_stops_is_not_ended_by_a_hang_up(
    valkey: ValkeyServer, tmp_path: Path, workers: int
) -> None:
    """However late it comes, the exit status is 0."""
    async with a_served_gateway(tmp_path, workers=workers, store=valkey.url) as serving:
        process = serving.gateway.process
        assert process is not None
        serving.gateway.signal(signal.SIGTERM)
        async with asyncio.timeout(120):
            while process.poll() is None:
                serving.hang_up()
                await asyncio.sleep(0.001)
        assert process.returncode == 0


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the workers in /proc")
async def test_a_worker_that_dies_begins_with_what_is_in_force(valkey: ValkeyServer, tmp_path: Path) -> None:
    """While the file is wrong a worker that is started anew serves the last one that was right."""
    async with a_served_gateway(tmp_path, workers=2, store=valkey.url) as serving:
        serving.write("/open", "/fresh")
        serving.hang_up()
        await serving.events("config.reloaded", count=2)
        serving.write("/open", base_path="no slash")
        serving.hang_up()
        await serving.events("config.refused", count=1)
        for worker in _workers(serving.gateway):
            os.kill(worker, signal.SIGKILL)
        await serving.events("gateway.started", count=4)
        assert [await serving.status("/fresh/x") for _ in range(8)] == [200] * 8


def _workers(gateway: FaultGateway) -> list[int]:
    """The process ids of its workers; `multiprocessing` has a child of its own beside them."""
    assert gateway.process is not None
    parent = gateway.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    found = [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]
    assert len(found) == 2
    return found


async def test_nothing_of_a_worker_that_dies_stays_in_the_metrics(valkey: ValkeyServer, tmp_path: Path) -> None:
    """Its open streams are not counted for ever, and an upstream that only it saw fail is up again."""
    async with a_served_gateway(tmp_path, workers=2, store=valkey.url) as serving:
        async with raw_browser(serving.gateway.port) as reader:
            await reader.say(b"GET /open/events HTTP/1.1\r\nHost: localhost:7777\r\nX-CSRF: 1\r\n\r\n")
            await reader.head()
            await until_shown(serving, "bff_streams_open 1.0")
            process = serving.gateway.process
            assert process is not None
            for worker in children(process.pid):
                os.kill(worker, signal.SIGKILL)
        await serving.events("gateway.started", count=4)
        await until_shown(serving, "bff_streams_open 0.0")


async def until_shown(serving: Serving, line: str) -> None:
    """Wait until the metrics have this line."""
    async with asyncio.timeout(30), httpx2.AsyncClient(trust_env=False) as client:
        while line not in (await client.get(serving.gateway.management_url + "/metrics")).text.splitlines():
            await asyncio.sleep(0.05)


def children(pid: int) -> list[int]:
    """The workers of a process: those of its children that run Python's own starter are none."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in found if b"resource_tracker" not in Path(f"/proc/{child}/cmdline").read_bytes()]
