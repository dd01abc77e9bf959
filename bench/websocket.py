"""WebSockets that send a small text and wait for its echo, or that stay open and silent. RFC 6455, as far as this load needs it.

Each connection has one message under way, so the rate is what the proxy, the upstream and this file can take together.
"""

import contextlib
import os
import select
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.browser import Browser
from bench.wrk import LoadFailedError

PATH = "/api/side/socket"
TEXT = b'{"order": 4711, "state": "shipped", "by": "alice@example.com"}  '
ANSWER_SECONDS = 20.0
OPCODE, LENGTH = 0x0F, 0x7F
IS_TEXT, IS_PING, IS_PONG = 0x1, 0x9, 0xA
FINAL, MASKED = 0x80, 0x80


class HandshakeFailedError(LoadFailedError):
    """The proxy opened no WebSocket; the text is the first line of its answer."""


def frame(opcode: int, payload: bytes) -> bytes:
    """A whole frame of a client, which has to be masked (section 5.3); at most 125 bytes."""
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[number % 4] for number, byte in enumerate(payload))
    return bytes([FINAL | opcode, MASKED | len(payload)]) + mask + masked


MESSAGE = frame(IS_TEXT, TEXT)


@dataclass(slots=True)
class Socket:
    """One open WebSocket; `received` is what has come of the next frame."""

    sock: socket.socket
    received: bytes = b""
    sent_at: float = 0.0

    def fileno(self) -> int:
        return self.sock.fileno()

    def ask(self) -> None:
        """Send the message."""
        self.sent_at = time.perf_counter()
        self.sock.sendall(MESSAGE)

    def echoed(self) -> bool:
        """Read once; whether the echo is complete. A ping is answered.

        Raises:
            LoadFailedError: anything else came, or the end.
        """
        data = self.sock.recv(65536)
        if not data:
            raise LoadFailedError("a WebSocket was closed under a message")
        self.received += data
        complete = False
        while (taken := self._next_frame()) is not None:
            opcode, payload = taken
            if opcode == IS_PING:
                self.sock.sendall(frame(IS_PONG, payload))
                continue
            if opcode != IS_TEXT or payload != TEXT:
                raise LoadFailedError(f"not the echo: opcode {opcode}, {payload!r}")
            complete = True
        return complete

    def _next_frame(self) -> tuple[int, bytes] | None:
        """Servers do not mask, and nothing here is longer than 125 bytes."""
        if len(self.received) < 2 or len(self.received) < 2 + (self.received[1] & LENGTH):
            return None
        end = 2 + (self.received[1] & LENGTH)
        opcode, payload = self.received[0] & OPCODE, self.received[2:end]
        self.received = self.received[end:]
        return opcode, payload


@dataclass(slots=True)
class Echoes:
    """Latencies of messages in seconds, and how long all of it took."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def percentile_ms(self, share: float) -> float:
        """Milliseconds."""
        ordered = sorted(self.latencies)
        return 1000 * ordered[round((len(ordered) - 1) * share)]


@contextlib.contextmanager
def open_sockets(browser: Browser, *, count: int, port: int | None = None) -> Iterator[list[Socket]]:
    """Open `count` WebSockets, each of which has echoed one message; `port`: of another process for the same sessions.

    Raises:
        HandshakeFailedError: the first that was refused.
    """
    with contextlib.ExitStack() as stack:
        opened = []
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port or browser.proxy.port), timeout=ANSWER_SECONDS)
            opened.append(_shake_hands(stack.enter_context(sock), browser))
        for each in opened:
            echo_times(each, 1)
        yield opened


def echo_times(each: Socket, count: int) -> None:
    """So many messages and echoes, one after the other."""
    for _ in range(count):
        each.ask()
        while not each.echoed():
            pass


def _shake_hands(sock: socket.socket, browser: Browser) -> Socket:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lines = ["Connection: Upgrade", "Upgrade: websocket", f"Origin: {browser.proxy.origin}"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
    upgrade = "\r\n".join(["", *lines, "", ""]).encode()
    sock.sendall(browser.head("GET", PATH).removesuffix(b"\r\n\r\n") + upgrade)
    received = b""
    while b"\r\n\r\n" not in received:
        data = sock.recv(65536)
        if not data:
            break
        received += data
    if not received.startswith(b"HTTP/1.1 101"):
        raise HandshakeFailedError(received.partition(b"\r\n")[0].decode("latin-1") or "closed")
    return Socket(sock, received.partition(b"\r\n\r\n")[2])


def echo(sockets: Sequence[Socket], *, seconds: float) -> Echoes:
    """Each socket sends, waits for the echo, and sends again, for so many seconds."""
    result, began = Echoes(), time.perf_counter()
    poller, by_number = select.epoll(), {each.fileno(): each for each in sockets}
    with contextlib.closing(poller):
        for each in sockets:
            poller.register(each, select.EPOLLIN)
            each.ask()
        under_way = len(sockets)
        while under_way:
            ready = poller.poll(ANSWER_SECONDS)
            if not ready:
                raise LoadFailedError(f"no echo within {ANSWER_SECONDS:g} s")
            for number, _ in ready:
                each = by_number[number]
                if not each.echoed():
                    continue
                now = time.perf_counter()
                result.latencies.append(now - each.sent_at)
                if now - began < seconds:
                    each.ask()
                else:
                    under_way -= 1
    result.seconds = time.perf_counter() - began
    return result
