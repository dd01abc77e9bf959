"""`bff serve` as a process of its own, ready when the block begins and gone when it ends."""

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from support.bff_command import command, environment
from support.http_client import http_get
from support.waiting import PATIENCE_SECONDS


@contextmanager
def serving(file: Path, *arguments: str, management: str | None = None) -> Iterator[subprocess.Popen[str]]:
    """`bff serve` until the block ends; killed by its process id if it does not stop. `management`: of a file that is not JSON."""
    process = subprocess.Popen(
        command("serve", "-c", str(file), *arguments), env=environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        _wait_until_ready(management or json.loads(file.read_text())["management"], process)
        yield process
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stderr is not None:
            process.stderr.close()


def _wait_until_ready(management: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if http_get(f"http://{management}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not ready; exit {process.poll()}")
