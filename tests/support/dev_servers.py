"""Development servers in a process group of their own, in a folder with the files that a test writes."""

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from support.documented import ROOT
from support.http_client import http_client

PLACES = {
    "vite": ROOT / "tests/browser/vite",
    "next": ROOT / "tests/develop/next",
    "angular": ROOT / "tests/develop/angular",
}
PROGRAMS = {
    "vite": "node_modules/vite/bin/vite.js",
    "next": "node_modules/next/dist/bin/next",
    "angular": "node_modules/@angular/cli/bin/ng.js",
}
_START_SECONDS = 120.0


def missing(kind: str) -> str | None:
    """Why it cannot run here; None if it can."""
    return None if (PLACES[kind] / PROGRAMS[kind]).is_file() else f"{kind} is not installed: run `make develop`"


@asynccontextmanager
async def dev_server(
    kind: str, *words: str, port: int, files: Mapping[str, str], folder: Path, pages: Sequence[str] = ()
) -> AsyncIterator[None]:
    """Until the block ends; it begins when the server takes connections, and has built `pages`."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    modules = folder / "node_modules"
    if not modules.is_symlink():
        modules.symlink_to(PLACES[kind] / "node_modules")
    environment = {**os.environ, "NEXT_TELEMETRY_DISABLED": "1", "NG_CLI_ANALYTICS": "false", "CI": "1"}
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *("node", PROGRAMS[kind], *words),
            cwd=folder,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(_START_SECONDS):
                while not _listens(port):
                    assert process.returncode is None, (folder / "log").read_text(errors="replace")
                    await asyncio.sleep(0.1)  # there is no event for a port that another process opens
            async with http_client(timeout=_START_SECONDS) as client:
                for page in pages:
                    assert (await client.get(f"http://localhost:{port}{page}")).status_code == 200, page
            yield
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGTERM)
            await process.wait()


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("localhost", port), timeout=1):
            return True
    except OSError:
        return False
