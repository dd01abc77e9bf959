"""A server of someone else's in a process of its own, with its files in a folder that goes with it.

    with started(lambda folder: ["nginx", "-c", str(folder / "nginx.conf")], files={"nginx.conf": text}, port=port):
        ...

It is started in front of the test and stopped by its process id.
"""

import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.waiting import PATIENCE_SECONDS


@contextmanager
def started(command: Callable[[Path], list[str]], *, files: Mapping[str, str], port: int) -> Iterator[Path]:
    """Run it until the block ends; the folder with its files, and its output in `log`."""
    folder = Path(tempfile.mkdtemp(prefix="peer-"))
    for name, text in files.items():
        (folder / name).write_text(text)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command(folder), cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        _wait_for(process, port, folder)
        yield folder
    finally:
        _stop(process)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_for(process: "subprocess.Popen[bytes]", port: int, folder: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not _answers(port):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((folder / "log").read_text())
        time.sleep(0.02)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
