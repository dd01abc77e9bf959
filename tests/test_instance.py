"""The name of a process among those that share a store."""

import os
import socket

from bff.instance import instance


def test_a_process_is_known_by_its_host_and_its_id() -> None:
    """Two processes of one host have two names."""
    host, _, process = instance().rpartition(":")
    assert (host, process) == (socket.gethostname(), str(os.getpid()))
