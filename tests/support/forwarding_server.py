"""A forwarder behind a real server, in a process of its own: ours, or granian; or the whole gateway as `bff serve` runs it.

The forwarder's application is the smallest that holds to the contract: a problem before the answer begins is an answer, one after it
is raised to the server, and a browser that left is no problem.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from bff.config.model import RouteConfig
from bff.errors import BffError, BrowserGone, ContentTooLarge, RequestTimeout, UpstreamTimeout
from bff.request_head import field_block
from bff.server.lane import SWITCH
from support.forwarding import Forwarding, a_config
from support.free_ports import free_port
from support.upstream_pools import a_new_owner
from support.waiting import PATIENCE_SECONDS

MAX_BODY = 2 << 30
STATUS: dict[type[BffError], int] = {ContentTooLarge: 413, RequestTimeout: 408, UpstreamTimeout: 504}


class Application:
    """Plain ASGI over a forwarder that is made in the server's own event loop."""

    def __init__(self, upstream: str) -> None:
        self._routes = (
            RouteConfig(path="/api", upstream=upstream, max_body=MAX_BODY, max_connections=4096),
            RouteConfig(path="/small", upstream=upstream, max_body=1000),
        )
        self._room: Forwarding | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        if self._room is None:
            self._room = Forwarding(a_config(*self._routes))
        match = self._room.table.match(scope["raw_path"], scope["method"].encode())
        try:
            answer = await self._room.forwarder.send(
                match,
                self._room.head(scope),
                receive,
                credentials=field_block([(b"authorization", b"Bearer user-token")]),
                owner=a_new_owner(),
            )
        except BrowserGone:
            return
        except BffError as error:
            await _say(send, STATUS.get(type(error), 502))
            return
        with contextlib.suppress(BrowserGone):
            await answer.relay(send)


async def _say(send: Any, status: int) -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})


async def served(scope: Any, receive: Any, send: Any) -> None:
    """What granian imports."""
    await _from_environment()(scope, receive, send)


@lru_cache
def _from_environment() -> Application:
    return Application(os.environ["FORWARD_TO"])


GATEWAY = """\
public_url: https://app.example.com
listen: 127.0.0.1:{port}
management: off
session: {{store: "memory://", keys: ["a session key for a test, of more than 32 characters"]}}
providers:
  corp: {{issuer: "http://idp.localhost:9", client_id: test, client_secret: "a secret that is never sent, for a test"}}
routes:
  - {{path: /api, upstream: "{upstream}", token: none, max_body: 2GiB, max_connections: 4096}}
  - {{path: /small, upstream: "{upstream}", token: none, max_body: 1000B}}
"""


def main() -> None:
    """Serves until it is terminated: the forwarder's application, or the gateway with its lane."""
    from bff.config.load import load
    from bff.config.model import Address
    from bff.server.process import run
    from bff.web.app import create_app

    what, port, upstream = sys.argv[1:]
    address = Address(host="127.0.0.1", port=int(port))
    if what != "gateway":
        run(Application(upstream), address)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bff.yaml"
        file.write_text(GATEWAY.format(port=port, upstream=upstream), encoding="utf-8")
        config = load(file)
    run(create_app(config), address)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A running one."""

    port: int
    upstream_port: int
    process: "subprocess.Popen[bytes]"

    def memory(self, kind: str = "VmRSS") -> int:
        """Resident bytes now, or at their highest (`VmHWM`)."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(kind + ":"):
                return int(line.split()[1]) * 1024
        raise LookupError(kind)

    def forget_highest(self) -> None:
        """Starts `VmHWM` again from now."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


@contextlib.contextmanager
def running(server: str) -> Iterator[Gateway]:
    """A gateway process whose upstream is to listen on `upstream_port`; the `recipe` is the gateway with its lane off."""
    port, upstream_port = free_port(), free_port()
    upstream = f"http://127.0.0.1:{upstream_port}"
    lane = "on" if server == "gateway" else "off"
    if server in {"forwarder", "gateway", "recipe"}:
        what = "forwarder" if server == "forwarder" else "gateway"
        command = [sys.executable, __file__, what, str(port), upstream]
    else:
        options = ["--interface", "asginl", "--loop", "uvloop", "--port", str(port), "--no-log"]
        command = [sys.executable, "-m", "granian", *options, "support.forwarding_server:served"]
    environment = {**os.environ, SWITCH: lane, "FORWARD_TO": upstream, "PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_until_listening(process, port)
        yield Gateway(port=port, upstream_port=upstream_port, process=process)
    finally:
        process.terminate()
        try:
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_listening(process: "subprocess.Popen[bytes]", port: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise RuntimeError("the gateway did not start")


if __name__ == "__main__":
    main()
