"""Event streams that are open and silent, and one very large body each way: what they cost in memory, not in time."""

import contextlib
import resource
import select
import socket
import time
from collections.abc import Iterator

from bench.browser import Browser

OPEN_SECONDS = 30.0
CHUNK = bytes(1024 * 1024)


def allow_files(wanted: int) -> None:
    """Raise our own limit of open files, which children inherit, as far as the system lets us."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


@contextlib.contextmanager
def open_streams(browser: Browser, path: str, *, count: int) -> Iterator[list[socket.socket]]:
    """Open `count` streams; gives those whose first event has come."""
    request = browser.head("GET", path)
    with contextlib.ExitStack() as stack:
        opened = []
        deadline = time.monotonic() + OPEN_SECONDS
        for _ in range(count):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", browser.proxy.port), timeout=10))
            sock.sendall(request)
            opened.append(sock)
        yield [sock for sock in opened if _first_event(sock, deadline)]


def _first_event(sock: socket.socket, deadline: float) -> bool:
    received = b""
    while b"data: open" not in received:
        sock.settimeout(max(0.01, deadline - time.monotonic()))
        try:
            data = sock.recv(65536)
        except OSError:
            return False
        if not data:
            return False
        received += data
    return received.startswith(b"HTTP/1.1 200")


def still_open(streams: list[socket.socket]) -> int:
    """How many have neither ended nor said anything since."""
    poller = select.poll()
    for sock in streams:
        poller.register(sock, select.POLLIN)
    return len(streams) - len(poller.poll(0))


def download(browser: Browser, path: str) -> int:
    """Read a whole response; the number of bytes of its body."""
    with socket.create_connection(("127.0.0.1", browser.proxy.port), timeout=60) as sock:
        sock.sendall(browser.head("GET", path).replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        return _read_to_end(sock)[1]


def upload(browser: Browser, path: str, *, size: int) -> bytes:
    """Send `size` zeros; the body of the answer."""
    with socket.create_connection(("127.0.0.1", browser.proxy.port), timeout=60) as sock:
        head = browser.head("POST", path, length=size)
        sock.sendall(head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        for _ in range(size // len(CHUNK)):
            sock.sendall(CHUNK)
        return _read_to_end(sock)[0]


def _read_to_end(sock: socket.socket) -> tuple[bytes, int]:
    """The last few KiB and the length of the body (with its chunk heads, where the proxy chose chunks)."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = sock.recv(65536)
        if not data:
            return received, 0
        received += data
    tail = received.partition(b"\r\n\r\n")[2]
    count, buffer = len(tail), bytearray(1024 * 1024)
    while got := sock.recv_into(buffer):
        tail = (tail + buffer[max(0, got - 4096) : got])[-4096:]
        count += got
    return tail, count
