"""A real store that is there and refuses, for as long as a block lasts."""

from collections.abc import Iterator
from contextlib import contextmanager

from support.free_ports import free_port
from support.valkey_server import ValkeyServer


@contextmanager
def demoted(server: ValkeyServer) -> Iterator[None]:
    """It is a replica now, that serves what it has, as after a failover that is taken back later (READONLY)."""
    server.ask("REPLICAOF", "127.0.0.1", free_port())
    yield
    server.ask("REPLICAOF", "NO", "ONE")


@contextmanager
def without_replicas(server: ValkeyServer) -> Iterator[None]:
    """It takes writes only while a replica has them too, and there is none (NOREPLICAS)."""
    server.ask("CONFIG", "SET", "min-replicas-to-write", "1")
    yield
    server.ask("CONFIG", "SET", "min-replicas-to-write", "0")


@contextmanager
def in_a_script(server: ValkeyServer) -> Iterator[None]:
    """A script of another client runs without end (BUSY)."""
    server.ask("CONFIG", "SET", "busy-reply-threshold", "10")
    with server.begun("EVAL", "while true do end", 0):
        server.answers_with("BUSY")
        yield
        server.ask("SCRIPT", "KILL")
