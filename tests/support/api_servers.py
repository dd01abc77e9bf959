"""APIs that other people's frameworks serve, each in a process of its own on loopback, stopped by its process id."""

import asyncio
import importlib.util
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from support.documented import ROOT
from support.free_ports import free_port

HERE = ROOT / "tests" / "apis"
GO_PROGRAM = ROOT / "build" / "apis-go"
GO_VERIFYING = ROOT / "build" / "apis-go-verifying"
SPRING_VERIFYING = ROOT / "build" / "apis-spring" / "orders-1.jar"
START_SECONDS = 30.0


def missing(what: str) -> str | None:
    """Why an API cannot run here; None if it can. `what` is a Python module, an npm package, or a program that is built."""
    if what == "spring":
        there = shutil.which("java") is not None and SPRING_VERIFYING.exists()
        return None if there else f"build/apis-spring/{SPRING_VERIFYING.name} is not built: run `make apis`"
    if what in {"go", "go verifying"}:
        program = GO_PROGRAM if what == "go" else GO_VERIFYING
        return None if program.exists() else f"build/{program.name} is not built: run `make apis`"
    if what in {"fastapi", "tornado", "streamlit", "jwt"}:
        return None if importlib.util.find_spec(what) else f"{what} is not installed: run `make apis`"
    there = shutil.which("node") is not None and (HERE / "node" / "node_modules" / what).is_dir()
    return None if there else f"npm {what} is not installed: run `make apis`"


@asynccontextmanager
async def serving(command: Callable[[int], list[str]]) -> AsyncIterator[int]:
    """The server that `command` starts for a port, once it accepts connections; yields the port."""
    port = free_port()
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *command(port), cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        try:
            for _ in range(int(START_SECONDS / 0.05)):
                if _listens(port):
                    break
                assert process.returncode is None, _text(log)
                await asyncio.sleep(0.05)
            else:
                raise RuntimeError(f"it does not listen: {_text(log)}")
            yield port
        finally:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()


def python(name: str) -> Callable[[int], list[str]]:
    """One of the Python programs in tests/apis."""
    return lambda port: [sys.executable, str(HERE / name), str(port)]


def node(name: str) -> Callable[[int], list[str]]:
    """One of the programs in tests/apis/node."""
    return lambda port: ["node", str(HERE / "node" / name), str(port)]


def go(port: int) -> list[str]:
    """The program in tests/apis/go."""
    return [str(GO_PROGRAM), str(port), str(free_port())]


def streamlit(port: int) -> list[str]:
    """Streamlit as its users start it behind a proxy below a path."""
    options = {
        "server.port": port,
        "server.address": "127.0.0.1",
        "server.baseUrlPath": "board",
        "server.headless": True,
    }
    options |= {"browser.gatherUsageStats": False, "server.fileWatcherType": "none"}
    flags = [f"--{name}={str(value).lower()}" for name, value in options.items()]
    return [sys.executable, "-m", "streamlit", "run", str(HERE / "streamlit_app.py"), *flags]


async def run_node(name: str, *arguments: str) -> list[str]:
    """A program of tests/apis/node to its end; the lines that it prints. An error of its own fails the test."""
    process = await asyncio.create_subprocess_exec(
        "node", str(HERE / "node" / name), *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err.decode()
    return out.decode().split()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _text(log: object) -> str:
    log.seek(0)  # type: ignore[attr-defined]  # a temporary file
    return log.read().decode(errors="replace")  # type: ignore[attr-defined]
