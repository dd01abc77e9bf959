"""From the configuration to the store that it names."""

from bff.config.model import SessionConfig
from bff.secret_uses import SecretUses
from bff.sessions.memory import MemoryStore
from bff.sessions.redis.store import RedisStore
from bff.sessions.sealing import Sealer
from bff.sessions.store import SessionStore


def open_store(config: SessionConfig, *, uses: SecretUses | None = None) -> SessionStore:
    """The store of `session.store`; `await store.open(listener)` starts its subscription to changes. `uses`: where uses of the session
    keys are noted."""
    if config.store.in_memory:
        return MemoryStore(idle_timeout_seconds=config.idle_timeout)
    return RedisStore(
        config.store,
        sealer=Sealer(config.keys, uses=uses),
        idle_timeout_seconds=config.idle_timeout,
        namespace=config.namespace,
    )
