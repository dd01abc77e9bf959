"""Loopback sockets for the demo and the tests.

Sockets are bound before anything is served, because the addresses go into the configuration first; no other process can take a
port in between. `localhost` may mean 127.0.0.1 or ::1, so a server that is known by that name binds both.
"""

import contextlib
import socket


def bind_loopback(preferred_port: int = 0, *, both_families: bool = False) -> list[socket.socket]:
    """Listening sockets on one port of 127.0.0.1 (and ::1, where there is one): the preferred port or any free one.

    Raises:
        OSError: not even a free port can be had.
    """
    for port in (preferred_port, 0, 0, 0):
        with contextlib.suppress(OSError):
            return _bind(port, both_families=both_families)
    return _bind(0, both_families=both_families)


def _bind(port: int, *, both_families: bool) -> list[socket.socket]:
    bound: list[socket.socket] = []
    try:
        bound.append(_listen(socket.AF_INET, "127.0.0.1", port))
        if both_families and _has_ipv6_loopback():
            bound.append(_listen(socket.AF_INET6, "::1", port_of(bound)))
    except OSError:
        for sock in bound:
            sock.close()
        raise
    return bound


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(128)  # from now on connections wait in the queue until the server is up
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock


def _has_ipv6_loopback() -> bool:
    try:
        _listen(socket.AF_INET6, "::1", 0).close()
    except OSError:
        return False
    return True


def port_of(sockets: list[socket.socket]) -> int:
    """The port that these sockets share."""
    return int(sockets[0].getsockname()[1])
