"""Processes of ours: pinned to a core, in the temporary directory, ended by their id, and by the kernel if we die first."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

PROXY_CORE = 0
LOAD_CORE = 1
START_SECONDS = 20.0
STOP_SECONDS = 5.0


class DidNotStartError(RuntimeError):
    """A process ended or stayed silent instead of listening; the text holds the end of its log."""


def find(program: str, *, beside: Path | None = None) -> str | None:
    """The path of an installed program; Debian keeps servers in sbin, which users may not have in their PATH."""
    folders = [*([str(beside)] if beside else []), os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
    return shutil.which(program, path=os.pathsep.join(folders))


def free_port() -> int:
    """A loopback port without a listener."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def start(command: list[str], *, core: int, log: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Run a command on one core. Its own session keeps Ctrl-C away from it; we stop it in order."""
    pinned = ["setpriv", "--pdeathsig", "TERM", "taskset", "--cpu-list", str(core), *command]
    with log.open("ab") as output:
        return subprocess.Popen(
            pinned,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, **(env or {})},
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ask, wait, then insist. What its children leave behind is in its own session and ends with it."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    for survivor in (process.pid, *_session_of(process.pid)):
        try:
            os.kill(survivor, signal.SIGKILL)
        except ProcessLookupError:
            continue
    process.wait()


def wait_until(
    ready: Callable[[], bool], *, process: subprocess.Popen[bytes], log: Path, seconds: float = START_SECONDS
) -> None:
    """Poll until `ready`.

    Raises:
        DidNotStartError: the process ended, or is not ready in time.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            said = log.read_text(errors="replace")[-3000:] if log.exists() else ""
            raise DidNotStartError(f"{process.args!r} is not ready:\n{said}")
        time.sleep(0.02)


def listens(port: int) -> bool:
    """Whether connections are accepted on this loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def tree(pid: int) -> list[int]:
    """The process and all its living descendants."""
    found = [pid]
    for parent in found:
        found.extend(_children(parent))
    return found


def _children(pid: int) -> list[int]:
    listed: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        listed.extend(int(child) for child in task.read_text().split())
    return listed


def _session_of(session: int) -> list[int]:
    members = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(") ")[2].split()
        except OSError:
            continue  # it ended while we looked
        if int(fields[3]) == session and fields[0] != "Z":
            members.append(int(entry.parent.name))
    return members
