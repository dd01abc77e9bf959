"""How long a signed-in user's calls take while 256 browsers without a session hold on to the same upstream (R-366).

The two routes have the gateway's own default limits, so the crowd is as large as all of the upstream's connections.
"""

import contextlib
import socket
import time
from collections.abc import Iterator

from bench.browser import Browser
from bench.paced import run_paced

CROWD = 256
RATE = 200.0
CONNECTIONS = 16
SETTLE_SECONDS = 1.0
UPLOAD_BYTES = 100_000  # announced, of which one comes

HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def measure_fairness(browser: Browser, seconds: float) -> dict[str, float | str]:
    """The 99th percentiles in milliseconds: alone, beside each kind of crowd, and how much the worst crowd adds."""
    alone = _p99_ms(browser, seconds)
    beside = {}
    for kind, request in _requests(browser).items():
        with _crowd(browser, request):
            beside[kind] = _p99_ms(browser, seconds)
    return {
        "alone_p99_ms": alone,
        **{f"{kind}_p99_ms": p99 for kind, p99 in beside.items()},
        "added_ms": max(0.0, *beside.values()) - alone,
    }


def _p99_ms(browser: Browser, seconds: float) -> float:
    return run_paced(browser, path="/fair/api/1k", connections=CONNECTIONS, rate=RATE, seconds=seconds).p99_ms


def _requests(browser: Browser) -> dict[str, bytes]:
    """What each browser of a crowd sends, by the kind of crowd."""
    return {
        "uploads": _head(browser, "POST /crowd/api/side/sink", f"Content-Length: {UPLOAD_BYTES}") + b"x",
        "streams": _head(browser, "GET /crowd/api/side/stream"),
        "websockets": _head(browser, "GET /crowd/api/side/socket", f"Origin: {browser.proxy.origin}", *HANDSHAKE),
    }


def _head(browser: Browser, line: str, *more: str) -> bytes:
    """A head without credentials, which are the last of a browser's fields."""
    fields = [f"{name}: {value}" for name, value in browser.fields()[:-1]]
    return "\r\n".join([f"{line} HTTP/1.1", *fields, *more, "", ""]).encode("latin-1")


@contextlib.contextmanager
def _crowd(browser: Browser, request: bytes) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for _ in range(CROWD):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", browser.proxy.port), timeout=10))
            sock.sendall(request)
        time.sleep(SETTLE_SECONDS)  # to open them is work of the processor; here it is asked what they hold
        yield
