"""From the configuration to the store that it names."""

from bff.clock import Clock, wall
from bff.config.model import SessionConfig
from bff.secret_uses import SecretUses
from bff.sessions.memory import MemoryStore
from bff.sessions.redis.store import RedisStore
from bff.sessions.sealing import Sealer
from bff.sessions.store import SessionStore

PATIENCE_SECONDS = 1.0  # of a request
PATIENCE_OF_COMMANDS_SECONDS = 5.0  # of a person who types one


def open_store(
    config: SessionConfig,
    *,
    uses: SecretUses | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
    clock: Clock = wall,
) -> SessionStore:
    """The store of `session.store`; `await store.open(listener)` starts its subscription to changes.

    `uses`: where uses of the session keys are noted. `patience_seconds`: for a connection, and for an answer. `clock`: that of the
    instants that the store is given; only the wall's is compared with the server's.
    """
    if config.store.in_memory:
        return MemoryStore(idle_timeout_seconds=config.idle_timeout)
    return RedisStore(
        config.store,
        sealer=Sealer(config.keys, uses=uses),
        idle_timeout_seconds=config.idle_timeout,
        namespace=config.namespace,
        connect_timeout_seconds=patience_seconds,
        command_timeout_seconds=patience_seconds,
        clock=clock if clock is wall else None,
    )
