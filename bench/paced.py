"""A fixed rate, as users arrive: request number k is due at k / rate, whether or not the answers before it have come.

Latency is counted from the moment a request was *due*. One that had to wait for a free connection, because the proxy was slow,
has waited for the user too; so a stall shows in every request behind it (no coordinated omission). h2load's `--rps` counts
from when it got round to sending, and wrk has no rate: that is why this file exists.

One thread and `select`, whose timeout is in microseconds; an event loop's is in milliseconds, more than what is measured.
"""

import collections
import gc
import select
import socket
import time
from collections import Counter
from dataclasses import dataclass, field

import httptools

from bench.browser import Browser
from bench.sign_in import cookie_field, keep

DRAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Paced:
    """Latencies in milliseconds from when each request was due; a request without an answer counts as lost."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    answered: int
    lost: int
    statuses: dict[int, int]
    seconds: float  # from the first request due to the last answer

    @property
    def all_ok(self) -> bool:
        """Every request was answered with 200."""
        return not self.lost and set(self.statuses) == {200}


@dataclass(slots=True)
class _Session:
    """The cookies that all connections share, as the tabs of one browser do."""

    browser: Browser
    path: str
    cookies: dict[str, str] = field(default_factory=dict)
    request: bytes = b""

    def __post_init__(self) -> None:
        name, value = self.browser.credentials
        if name == "Cookie":
            self.cookies = dict(pair.split("=", 1) for pair in value.split("; "))
        self.request = self.browser.head("GET", self.path)

    def take(self, lines: list[str]) -> None:
        """Keep what an answer set; the next requests send it."""
        for line in lines:
            keep(self.cookies, line)
        old = f"Cookie: {self.browser.credentials[1]}".encode("latin-1")
        fresh = f"Cookie: {cookie_field(self.cookies)}".encode("latin-1")
        self.request = self.browser.head("GET", self.path).replace(old, fresh)


class _Connection:
    """One keep-alive connection with at most one request under way."""

    def __init__(self, session: _Session, port: int) -> None:
        self.session = session
        self.port = port
        self.due = 0.0
        self.complete = False
        self.set_cookies: list[str] = []
        self.sock = self._connect()

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parser = httptools.HttpResponseParser(self)
        return sock

    def fileno(self) -> int:
        return self.sock.fileno()

    def send(self, due: float) -> None:
        self.due, self.complete = due, False
        self.sock.sendall(self.session.request)

    def receive(self) -> int | None:
        """The status once the answer is complete; 0 for a connection that closed under the request."""
        data = self.sock.recv(65536)
        if not data:
            self.sock.close()
            self.sock = self._connect()
            return 0
        self.parser.feed_data(data)
        if not self.complete:
            return None
        status = int(self.parser.get_status_code())
        if self.set_cookies:
            self.session.take(self.set_cookies)
            self.set_cookies = []
        if not self.parser.should_keep_alive():
            self.sock.close()
            self.sock = self._connect()
        return status

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"set-cookie":
            self.set_cookies.append(value.decode("latin-1"))

    def on_message_complete(self) -> None:
        self.complete = True


def run_paced(browser: Browser, *, path: str, connections: int, rate: float, seconds: float) -> Paced:
    """Send `rate` requests a second for `seconds`, then wait a little for what is still under way."""
    session = _Session(browser, path)
    idle = collections.deque(_Connection(session, browser.proxy.port) for _ in range(connections))
    everyone = list(idle)
    gc.collect()
    gc.disable()  # a collection would count as a request's latency
    try:
        return _run(idle, total=int(rate * seconds), rate=rate)
    finally:
        gc.enable()
        for connection in everyone:
            connection.sock.close()


def _run(idle: "collections.deque[_Connection]", *, total: int, rate: float) -> Paced:
    busy: set[_Connection] = set()
    latencies: list[float] = []
    statuses: Counter[int] = Counter()
    began, sent = time.perf_counter(), 0
    give_up = began + total / rate + DRAIN_SECONDS
    while len(latencies) < total and time.perf_counter() < give_up:
        now = time.perf_counter()
        while idle and sent < total and began + sent / rate <= now:
            connection = idle.popleft()
            connection.send(began + sent / rate)
            busy.add(connection)
            sent += 1
        waiting_for_time = idle and sent < total
        timeout = max(0.0, began + sent / rate - time.perf_counter()) if waiting_for_time else 0.1
        for connection in select.select(busy, [], [], timeout)[0]:
            status = connection.receive()
            if status is None:
                continue
            statuses[status] += 1
            latencies.append(time.perf_counter() - connection.due)
            busy.discard(connection)
            idle.append(connection)
    return _judged(latencies, statuses, lost=total - len(latencies), seconds=time.perf_counter() - began)


def _judged(latencies: list[float], statuses: Counter[int], *, lost: int, seconds: float) -> Paced:
    ordered = [1000 * latency for latency in sorted(latencies)] or [float("inf")]
    last = len(ordered) - 1
    return Paced(
        p50_ms=ordered[round(last * 0.50)],
        p99_ms=ordered[round(last * 0.99)],
        max_ms=ordered[-1],
        answered=len(latencies),
        lost=lost,
        statuses=dict(statuses),
        seconds=seconds,
    )
