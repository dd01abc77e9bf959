"""Processes tell each other when a provider asks for a pause, and when it is over (R-346).

What one process learns by a 429 with `Retry-After` would cost every other process a 429 of its own. So the pause goes out as a message
of the store, and so does its end. A message that is lost, while the store is away for instance, costs what it costs without: each
process finds out for itself. The message names the provider by a hash of issuer and client id: gateways that share a store and are
different clients do not stop each other.
"""

import hashlib
from contextlib import suppress

from bff.errors import StoreUnavailable
from bff.provider.circuit import Circuit
from bff.provider.client import Provider
from bff.sessions.store import SessionStore
from bff.tokens.background import BackgroundTasks


class SharedCircuits:
    """The circuits of this process; `by` is its name."""

    def __init__(self, *, store: SessionStore, tasks: BackgroundTasks, by: str) -> None:
        self._store = store
        self._tasks = tasks
        self._by = by
        self._circuits: dict[str, Circuit] = {}

    def join(self, provider: Provider) -> None:
        """Share this provider's circuit; a later provider of the same issuer and client takes its place."""
        name = _name(provider)
        self._circuits[name] = provider.circuit
        provider.circuit.tell = lambda seconds: self._tell(name, seconds)

    def told(self, text: str) -> None:
        """A message of some process, this one included. What is none of ours is ignored."""
        match text.split(" "):
            case ["circuit", name, seconds, by] if by != self._by and (circuit := self._circuits.get(name)) is not None:
                with suppress(ValueError):
                    circuit.hear(float(seconds))

    def _tell(self, name: str, seconds: float) -> None:
        if not self._tasks.stopping:
            self._tasks.start(self._send(f"circuit {name} {seconds:.3f} {self._by}"))

    async def _send(self, text: str) -> None:
        with suppress(StoreUnavailable):
            await self._store.tell(text)


def _name(provider: Provider) -> str:
    client = f"{provider.config.issuer}\0{provider.config.client_id}"
    return hashlib.sha256(client.encode()).hexdigest()[:32]
