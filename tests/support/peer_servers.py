"""Real servers behind the gateway: Node's, Go's, uvicorn with either parser, and nginx; and what each of them read.

Each writes one line of JSON for each request that it read, so that a request which the gateway did not make is seen there, and answers
with the token and the target that it read.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from support.framing_cases import FORGED
from support.free_ports import free_port
from support.started import started

HERE = Path(__file__).parent.parent / "proxies"
Command = Callable[[Path, int, Path], list[str]]  # folder, port, log


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """One server: the binary that it needs, and how it is started on a port with a log."""

    binary: str
    command: Command

    def missing(self) -> str | None:
        """Why it cannot run here; None if it can."""
        return None if found(self.binary) else f"no `{self.binary}` here"

    @contextmanager
    def running(self) -> Iterator["Running"]:
        """Run it; what it read is there when the block has ended."""
        port = free_port()
        with TemporaryDirectory(prefix="peer-log-") as folder:
            log = Path(folder) / "requests"
            it = Running(port=port)
            with started(lambda files: self.command(files, port, log), files={}, port=port) as files:
                yield it
                it.output = (files / "log").read_text()
            it.lines = [json.loads(line) for line in log.read_text().splitlines()]


@dataclass(slots=True, kw_only=True)
class Running:
    """A running server, and afterwards what it read and wrote."""

    port: int
    lines: list[dict[str, Any]] = field(default_factory=list)
    output: str = ""

    def faults(self, *, bearers: dict[str, str]) -> list[str]:
        """What it read and should not have; `bearers` maps each user's token to its name."""
        wrong = [f"{fault}: {line}" for line in self.lines for fault in _faults(line, bearers)]
        wrong += ["a request that it could not read"] * self.output.count("Invalid HTTP request")
        made = [line["target"] for line in self.lines if line.get("method") == "POST"]
        return wrong + [f"sent twice: {target}" for target in sorted({one for one in made if made.count(one) > 1})]


def _faults(line: dict[str, Any], bearers: dict[str, str]) -> list[str]:
    if "malformed" in line or not line["target"]:
        return ["a request that it could not read"]
    name = bearers.get(line["authorization"].removeprefix("Bearer "))
    judged = {
        "a forged field": FORGED.decode() in line["authorization"],
        "the user of another request": line["target"].split("/")[1] != name,
        "content that is the head of a request": any(bearer in line["content"] for bearer in bearers),
    }
    return [fault for fault, holds in judged.items() if holds]


def found(binary: str) -> str | None:
    """The path of a binary, also where only root looks or where Go is put."""
    return shutil.which(binary) or shutil.which(binary, path="/usr/sbin:/usr/local/sbin:/usr/local/go/bin")


def _node(_folder: Path, port: int, log: Path) -> list[str]:
    return [found("node") or "node", str(HERE / "servers" / "node.mjs"), str(port), str(log)]


def _go(folder: Path, port: int, log: Path) -> list[str]:
    binary, source = folder / "server", HERE / "servers" / "server.go"
    caches = {
        "GOCACHE": str(Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "go-build"),
        "GOFLAGS": "",
    }
    subprocess.run(
        [found("go") or "go", "build", "-o", str(binary), str(source)], check=True, env={**os.environ, **caches}
    )
    return [str(binary), str(port), str(log)]


def _uvicorn(parser: str) -> Command:
    def command(_folder: Path, port: int, log: Path) -> list[str]:
        serve = ["-m", "uvicorn", "--app-dir", str(HERE / "servers"), "--no-access-log", "--http", parser]
        return ["/usr/bin/env", f"PEER_LOG={log}", sys.executable, *serve, "--port", str(port), "asgi_server:app"]

    return command


def _nginx(folder: Path, port: int, log: Path) -> list[str]:
    text = (HERE / "conf" / "nginx_behind.conf").read_text()
    values = {"folder": folder, "port": port, "inner": free_port(), "log": log}
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    file = folder / "nginx.conf"
    file.write_text(text)
    return [found("nginx") or "nginx", "-c", str(file), "-e", "stderr"]


PEERS = {
    "node": Peer(binary="node", command=_node),
    "go": Peer(binary="go", command=_go),
    "uvicorn with httptools": Peer(binary="env", command=_uvicorn("httptools")),
    "uvicorn with h11": Peer(binary="env", command=_uvicorn("h11")),
    "nginx": Peer(binary="nginx", command=_nginx),
}
