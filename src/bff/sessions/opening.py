"""From the configuration to the store that it names."""

from bff.config.model import SessionConfig
from bff.sessions.memory import MemoryStore
from bff.sessions.redis.store import RedisStore
from bff.sessions.sealing import Sealer
from bff.sessions.store import SessionStore


def open_store(config: SessionConfig) -> SessionStore:
    """The store of `session.store`, not yet listening: `await store.open(listener)` begins.

    Raises:
        ValueError: the URL is not one that we know; the message does not repeat it.
    """
    if config.store == "memory://":
        return MemoryStore(idle_timeout_seconds=config.idle_timeout)
    return RedisStore(config.store, sealer=Sealer(config.keys), idle_timeout_seconds=config.idle_timeout)
