"""The gateway as operators run it: `bff serve` in a process of its own, its log kept at debug level.

    with ServedGateway(settings, secrets={"client-secret": "..."}) as gateway:
        ...
        gateway.stop()
        gateway.log()       # every line that it wrote

It is told to stop by SIGTERM and must end by itself.
"""

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2

from support.bff_command import command, environment
from support.http_client import http_get
from support.waiting import PATIENCE_SECONDS


class ServedGateway:
    """One `bff serve`; `settings` is the configuration file, `secrets` are files beside it."""

    def __init__(self, settings: dict[str, Any], *, secrets: dict[str, str], workers: int = 1) -> None:
        self.url: str = settings["public_url"]
        self._management = settings["management"]
        self._workers = workers
        self._directory = Path(tempfile.mkdtemp(prefix="served-"))
        self.file = self._directory / "bff.yaml"
        self.file.write_text(json.dumps(settings))  # YAML 1.2 contains JSON
        for name, value in secrets.items():
            (self._directory / name).write_text(value + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "ServedGateway":
        with (self._directory / "log").open("wb") as log:
            self._process = subprocess.Popen(
                command("serve", "-c", str(self.file), "--workers", str(self._workers)),
                env=environment(BFF_LOG_LEVEL="debug"),
                cwd=self._directory,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()  # a process that is left behind is the warning of a later test
                self._process.wait()
                raise RuntimeError(self.log())
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def stop(self) -> int:
        """Tell it to stop and wait for its end; the exit status."""
        assert self._process is not None
        self._process.terminate()
        try:
            return self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise

    def log(self) -> str:
        """Everything that it wrote so far, to either stream."""
        return (self._directory / "log").read_text()

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log events of this name."""
        lines = [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
        return [line for line in lines if line["event"] == name]

    def check_online(self) -> subprocess.CompletedProcess[str]:
        """`bff check --online` on the same file."""
        return subprocess.run(
            command("check", "--online", "-c", str(self.file)),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def _ready(self) -> bool:
        try:
            return http_get(f"http://{self._management}/readyz", timeout=5).status_code == 200
        except httpx2.TransportError:
            return False
