"""The name of this process among those that share a store."""

import os
import socket


def instance() -> str:
    """Host and process id; in a container the host is the container's name."""
    return f"{socket.gethostname()}:{os.getpid()}"
