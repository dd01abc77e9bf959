"""What the processes of a store share of a provider's circuit (R-346): a pause that the provider asks for, its end, and the probe.

    a pause, its end    messages of the store. A process that connects later asks the others, and those that keep a pause tell it
    the probe           a lease in the store, which one process gets; it lasts for `PROBE_LIFE_SECONDS` if that process dies, and as
                        long as the pause if the provider asks for one: then no process that missed the message probes sooner

What one process learns by a 429 with `Retry-After` would cost every other process a 429 of its own. A message that is lost, while the
store is away for instance, costs just that. While the store is away, or full, each process may send its own probe.

Messages and leases name the provider by a hash of issuer and client id: gateways that share a store and are different clients do not
stop each other.
"""

import hashlib
import secrets
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from typing import Any

from bff.errors import StoreUnavailable
from bff.provider.circuit import PROBE_LIFE_SECONDS, Circuit
from bff.provider.client import Provider
from bff.sessions.store import Change, SessionStore
from bff.tokens.background import BackgroundTasks


class SharedCircuits:
    """The circuits of this process; `by` is its name. A `ChangeListener`: when changes resume, messages may have been missed.

    A provider's circuits, that of refreshes and that of exchanges, share what processes share.
    """

    def __init__(self, *, store: SessionStore, tasks: BackgroundTasks, by: str) -> None:
        self._store = store
        self._tasks = tasks
        self._by = by
        self._circuits: dict[str, tuple[Circuit, ...]] = {}

    def join(self, provider: Provider) -> None:
        """Share this provider's circuits; a later provider of the same issuer and client takes its place, and its pause."""
        name = _name(provider)
        pause = max((last.asked_for_seconds for last in self._circuits.get(name, ())), default=0.0)
        circuits = self._circuits[name] = (provider.circuit, provider.exchange_circuit)
        for circuit in circuits:
            circuit.hear(pause)
            siblings = tuple(other for other in circuits if other is not circuit)
            circuit.others = _OtherProcesses(name, siblings=siblings, store=self._store, tasks=self._tasks, by=self._by)

    def receive(self, text: str) -> None:
        """A message of some process, this one included. What is none of ours is ignored."""
        match text.split(" "):
            case ["circuit", name, seconds, by] if by != self._by:
                with suppress(ValueError):
                    _tell(self._circuits.get(name, ()), float(seconds))
            case ["circuits?", by] if by != self._by:
                for name, (circuit, *_) in self._circuits.items():
                    if circuit.asked_for_seconds:
                        self._send(_message(name, circuit.asked_for_seconds, by=self._by))

    def session_changed(self, change: Change) -> None:
        """No circuit goes by sessions."""

    def changes_interrupted(self) -> None:
        """Messages may be missed until they resume."""

    def changes_resumed(self) -> None:
        """Ask for pauses that this process does not know of."""
        self._send(f"circuits? {self._by}")

    def _send(self, text: str) -> None:
        _start(self._tasks, _sent(self._store, text))


class _OtherProcesses:
    """`provider.circuit.Others` over the store, for one circuit."""

    def __init__(
        self, name: str, *, siblings: Sequence[Circuit], store: SessionStore, tasks: BackgroundTasks, by: str
    ) -> None:
        self._name = name
        self._siblings = siblings
        self._store = store
        self._tasks = tasks
        self._by = by
        self._holder = secrets.token_hex(8)  # of one probe: giving it back late must not give back the next one

    async def take_probe(self) -> bool:
        try:
            return await self._hold(PROBE_LIFE_SECONDS)
        except StoreUnavailable:
            return True  # each process asks for itself

    def free_probe(self) -> None:
        holder, self._holder = self._holder, secrets.token_hex(8)
        _start(self._tasks, self._freed(holder))

    def tell(self, seconds: float) -> None:
        _tell(self._siblings, seconds)
        _start(self._tasks, self._broadcast(seconds))

    async def _broadcast(self, seconds: float) -> None:
        if seconds:
            with suppress(StoreUnavailable):
                await self._hold(seconds)  # before the message: a process that gets it late finds the probe taken
        await _sent(self._store, _message(self._name, seconds, by=self._by))

    async def _hold(self, seconds: float) -> bool:
        return await self._store.take_lease(self._lease, self._holder, lifetime_seconds=seconds)

    async def _freed(self, holder: str) -> None:
        with suppress(StoreUnavailable):  # then it expires by itself
            await self._store.drop_lease(self._lease, holder)

    @property
    def _lease(self) -> str:
        return f"circuit {self._name}"


def _start(tasks: BackgroundTasks, work: Coroutine[Any, Any, None]) -> None:
    """Run it, unless the process stops."""
    if tasks.stopping:
        work.close()
        return
    tasks.start(work)


async def _sent(store: SessionStore, text: str) -> None:
    with suppress(StoreUnavailable):
        await store.tell(text)


def _tell(circuits: Sequence[Circuit], seconds: float) -> None:
    for circuit in circuits:
        circuit.hear(seconds)


def _message(name: str, seconds: float, *, by: str) -> str:
    return f"circuit {name} {seconds:.3f} {by}"


def _name(provider: Provider) -> str:
    client = f"{provider.config.issuer}\0{provider.config.client_id}"
    return hashlib.sha256(client.encode()).hexdigest()[:32]
