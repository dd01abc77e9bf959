"""The `bff` command as a process of its own, run by the interpreter that runs the tests.

subprocess.run(command("serve", "-c", str(file)), env=environment())    a new interpreter, as an operator starts it
run_bff("check", "-c", str(file))                                         a fork of one that has imported `bff` already
"""

import atexit
import functools
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

TIMEOUT_SECONDS = 60
_ONE_AT_A_TIME = threading.Lock()


def command(*arguments: str) -> list[str]:
    """What starts `bff` with these arguments."""
    return [sys.executable, "-m", "bff", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """The variables that it gets: ours, without any setting of bff's own that a developer has exported, and these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BFF_")}
    return {**inherited, **variables}


def run_bff(
    *arguments: str, answers: str = "", folder: Path | None = None, variables: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """A command run to its end: its exit status and what it wrote. `answers` is what it reads from standard input."""
    request = {
        "arguments": arguments,
        "folder": str(folder or Path.cwd()),
        "environment": environment(**(variables or {})),
    }
    with TemporaryFile("w+") as standard_input, TemporaryFile("w+") as output, TemporaryFile("w+") as errors:
        standard_input.write(answers)
        files = [standard_input, output, errors]
        for file in files:
            file.seek(0)  # flushes, too
        with _ONE_AT_A_TIME:
            asked = _forks()
            socket.send_fds(asked, [json.dumps(request).encode()], [file.fileno() for file in files])
            status = int(asked.recv(100))
        output.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(arguments, status, output.read(), errors.read())


@functools.cache
def _forks() -> socket.socket:
    """The process that forks (command_forks.py), asked by this socket; it ends when the socket is closed, with this process."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = Path(__file__).with_name("command_forks.py")
    with its:
        process = subprocess.Popen([sys.executable, str(script), str(its.fileno())], pass_fds=[its.fileno()])
    ours.settimeout(TIMEOUT_SECONDS)

    @atexit.register
    def stop() -> None:
        ours.close()
        process.wait()

    return ours
