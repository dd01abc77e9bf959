"""Several `bff serve` over one store, as behind a load balancer: a process that is not ready gets no new request.

`FAULTS_SOURCE` names the `src` folder of another version, to measure that one: its figures stand in `docs/reliability.md`.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2

from support.bff_command import command, environment
from support.free_ports import free_port
from support.http_client import http_client

OTHER_SOURCE = os.environ.get("FAULTS_SOURCE")
READY_EVERY_SECONDS = 0.1
SHIFTED = """
import runpy, sys, time
true, ahead = time.time, float(sys.argv.pop(1))
time.time = lambda: true() + ahead
runpy.run_module("bff", run_name="__main__", alter_sys=True)
"""  # `bff` with another wall clock


class FaultGateway:
    """One process, and a client that keeps connections to it."""

    def __init__(
        self, settings: dict[str, Any], *, folder: Path, port: int, workers: int = 1, ahead_seconds: float = 0.0
    ) -> None:
        """`ahead_seconds`: by how much its wall clock is ahead of ours."""
        self.port = port
        self._ahead_seconds = ahead_seconds
        self._workers = workers
        self._management = free_port()
        self._file = folder / f"bff-{port}.yaml"
        self.write(settings)
        self._log = folder / f"log-{port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.ready = False
        self.client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}",
            trust_env=False,
            timeout=60,
            limits=httpx2.Limits(max_connections=200, max_keepalive_connections=200),
        )
        self._probe = http_client(timeout=2)

    @property
    def management_url(self) -> str:
        """Of the listener for operators."""
        return f"http://127.0.0.1:{self._management}"

    def write(self, settings: dict[str, Any]) -> None:
        """Write the configuration file."""
        listen = {"listen": f"127.0.0.1:{self.port}", "management": f"127.0.0.1:{self._management}"}
        self._file.write_text(json.dumps({**settings, **listen}))

    def start(self) -> None:
        """Start the process; `ready` says when it serves."""
        source = {} if OTHER_SOURCE is None else {"PYTHONPATH": OTHER_SOURCE}
        with self._log.open("ab") as log:
            arguments = ("serve", "-c", str(self._file), "--workers", str(self._workers))
            shifted = [sys.executable, "-c", SHIFTED, str(self._ahead_seconds), *arguments]
            self.process = subprocess.Popen(
                shifted if self._ahead_seconds else command(*arguments),
                env=environment(BFF_LOG_LEVEL="info", **source),
                stdout=log,
                stderr=log,
            )

    async def look(self) -> None:
        """Find out whether it is ready, as a load balancer does."""
        try:
            answer = await self._probe.get(f"http://127.0.0.1:{self._management}/readyz")
            self.ready = answer.status_code == 200
        except httpx2.TransportError:
            self.ready = False

    async def forget_probe(self) -> None:
        """Close the connection on which it was asked whether it is ready."""
        await self._probe.aclose()
        self._probe = http_client(timeout=2)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self) -> None:
        """Wait for its end."""
        assert self.process is not None
        async with asyncio.timeout(120):
            while self.process.poll() is None:
                await asyncio.sleep(0.05)

    async def close(self) -> None:
        """End it at once."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        await self.client.aclose()
        await self._probe.aclose()

    def log(self) -> str:
        """Everything that it wrote."""
        return self._log.read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log events of this name."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]


class Balancer:
    """Sends each request to one of the processes that are ready, in turn."""

    def __init__(self, gateways: list[FaultGateway]) -> None:
        self.gateways = gateways
        self._turn = 0
        self._looking: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Balancer":
        for gateway in self.gateways:
            gateway.start()
        self._looking = [asyncio.create_task(self._look(gateway)) for gateway in self.gateways]
        async with asyncio.timeout(60):
            while not all(gateway.ready for gateway in self.gateways):
                await asyncio.sleep(0.05)
                for gateway in self.gateways:
                    assert gateway.process is not None
                    assert gateway.process.poll() is None, gateway.log()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._looking:
            task.cancel()
        await asyncio.gather(*self._looking, return_exceptions=True)
        for gateway in self.gateways:
            await gateway.close()

    def next(self) -> FaultGateway | None:
        """The process whose turn it is; None: none is ready."""
        ready = [gateway for gateway in self.gateways if gateway.ready]
        self._turn += 1
        return ready[self._turn % len(ready)] if ready else None

    async def _look(self, gateway: FaultGateway) -> None:
        while True:
            await gateway.look()
            await asyncio.sleep(READY_EVERY_SECONDS)
