"""Ports of loopback for the servers of tests, each given to one process on the machine at a time.

Test processes run side by side, and a port is often chosen long before its server listens. Two that chose the same one met: Envoy
shares a port that another Envoy has (SO_REUSEPORT), and `localhost` is ::1 to a browser while a server has 127.0.0.1 only. So a port
is claimed by a lock on one byte of a file, which the system releases when the process ends, and must be free for both families.
"""

import errno
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

_CLAIMS = Path(tempfile.gettempdir(), f"bff-test-ports-{os.getuid()}").open("ab")  # noqa: SIM115 - until the process ends
_GIVEN: set[int] = set()


def free_port() -> int:
    """A port on which nobody listened a moment ago, below those that the kernel hands out, like a Cluster's bus port (+10000).

    A connection to a port of the kernel's own range on which nobody listens may be given that very port to come from: it
    then connects to itself, and a server that is down seems to answer. No port is given twice by one process.
    """
    while True:
        port = random.randrange(10_000, 22_000)  # noqa: S311 - guards nothing
        if port in _GIVEN or not _claims(port):
            continue
        if _is_free(socket.AF_INET, "127.0.0.1", port) and _is_free(socket.AF_INET6, "::1", port):
            _GIVEN.add(port)
            return port


def _claims(port: int) -> bool:
    try:
        fcntl.lockf(_CLAIMS, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return False
    return True


def _is_free(family: socket.AddressFamily, host: str, port: int) -> bool:
    """Also where there is no such family."""
    try:
        with socket.socket(family) as probe:
            probe.bind((host, port))
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True
