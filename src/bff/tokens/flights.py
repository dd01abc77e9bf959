"""Single flights: for each need one attempt at a time, shared by all who want its result and owned by the application.

Used for users' tokens (`refresh.py`) and for our own (`client_credentials.py`). Rules kept here:

- The flight goes on when a waiting request leaves (invariant 5); a request that comes while it is under way waits for the same one.
- Waiting is not asking (R-342): a request waits for the provider's `timeout`, counted from when the call was sent; the flight is
  heard out. Before the call is sent it queues for a connection, which is not part of `timeout` (R-343).
- A token that has expired when it is here serves no request: its expiry counts from before the call (R-347), so a provider that is
  slower than its tokens live, or a process that was stopped during the call, gives one. It is fetched once more.
- The provider is asked no faster than its circuit and the back-off allow after a failure, and on an upstream's 401 no faster than a
  back-off of its own: an upstream that always says 401 must not make us hammer the provider.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, Protocol, TypeVar

from bff.backoff import Backoff
from bff.clock import Clock, steady_beside
from bff.errors import BffError, ProviderError, ProviderUnavailable, StoreUnavailable
from bff.provider.circuit import Circuit
from bff.sessions.model import AccessToken, is_over
from bff.telemetry import tokens as telemetry
from bff.tokens.background import BackgroundTasks
from bff.tokens.failures import Failures

LONGEST_QUEUE_SECONDS = 180.0  # how long a request queues for a connection at most
OUTAGE_BACKOFF = Backoff(first_seconds=1.0, longest_seconds=2.0)  # short, so that the end of an outage is seen soon

K = TypeVar("K", bound=Hashable)


class Asked(Protocol):
    """What a flight needs of the provider that it asks."""

    @property
    def name(self) -> str:
        """What it is called in the configuration."""
        ...

    @property
    def circuit(self) -> Circuit:
        """Whether it may be asked now."""
        ...

    @property
    def timeout_seconds(self) -> float:
        """How long a request waits for an answer."""
        ...


class Sending:
    """Whether a flight may send its call, whether it has, and when (by the clock of durations)."""

    def __init__(self, who: Hashable, *, asked: Asked, durations: Clock) -> None:
        self.at: float | None = None
        self.admitted = False
        self._who = who
        self._asked = asked
        self._durations = durations
        self._sent = asyncio.Event()

    async def admission(self) -> None:
        """Return if the provider may be asked now: the last step before what belongs to the call itself (R-346).

        Raises:
            ProviderUnavailable: `failed_before`: it is in trouble, and another call is its probe.
        """
        wait = await self._asked.circuit.admit(self._who)
        self.admitted = not wait
        if wait:
            raise failed_before(self._asked.name, wait)

    def by_another(self) -> None:
        """Another process has sent a call for the same: its answer is awaited, and this one is no probe."""
        self._asked.circuit.not_asked(self._who)
        self.now()

    def now(self) -> None:
        """It is sent, or an answer to another process's call is awaited: from now on time counts."""
        if self.at is None:
            self.at = self._durations()
            self._sent.set()

    @property
    def elapsed_seconds(self) -> float:
        """How long ago it was sent; 0.0: it was not."""
        return 0.0 if self.at is None else self._durations() - self.at

    async def wait(self) -> None:
        """Return once it is sent."""
        await self._sent.wait()


Fetch = Callable[[K, str | None, Sending], Coroutine[Any, Any, AccessToken]]


class Flights(Generic[K]):
    """Runs `fetch(key, rejected, sending)` for each key that needs it; `rejected` is a token's value that will not do."""

    def __init__(
        self,
        fetch: Fetch[K],
        *,
        asked: Callable[[K], Asked],
        tasks: BackgroundTasks,
        clock: Clock,
    ) -> None:
        self._fetch = fetch
        self._asked = asked
        self._tasks = tasks
        self._clock = clock
        durations = self._durations = steady_beside(clock)
        self._under_way: dict[K, tuple[asyncio.Task[AccessToken], Sending]] = {}
        self._failures: Failures[K] = Failures(clock=durations)
        self._outages: Failures[K] = Failures(clock=durations, backoff=OUTAGE_BACKOFF)
        self._store_outages: Failures[K] = Failures(clock=durations, backoff=OUTAGE_BACKOFF)
        self._rejections: Failures[K] = Failures(clock=durations)

    def begin(self, key: K) -> None:
        """Have it fetched in the background, unless it failed a moment ago or the process stops."""
        paused = self._wait_seconds(key) or self._store_outages.wait_seconds(key)
        if key not in self._under_way and not self._tasks.stopping and not paused:
            self._flight(key)

    async def result(self, key: K, *, provider: str) -> AccessToken:
        """Wait for it.

        Raises:
            ProviderUnavailable: it failed a moment ago, or takes longer than the provider's `timeout`.
            StoreUnavailable: the store failed it a moment ago.
            BffError: what `fetch` raises.
        """
        if key not in self._under_way:
            self._check_due(key, provider=provider)
        return await self._patiently(self._flight(key), key, provider=provider)

    async def instead_of(self, rejected: AccessToken, key: K, *, provider: str) -> AccessToken | None:
        """Another one than the upstream rejected with 401; None: none to be had now, the upstream's own 401 is the answer."""
        if key not in self._under_way:
            if not self._rejections.permits(key) or self._asked(key).circuit.wait_seconds(key):
                return None
            self._rejections.note(key)
        try:
            token = await self._patiently(self._flight(key, rejected=rejected.value), key, provider=provider)
        except BffError:  # the flight has logged it; the browser gets the answer of the API
            return None
        return token if token.value != rejected.value else None  # a flight that began earlier knew of no rejection

    async def _patiently(
        self, flight: tuple["asyncio.Task[AccessToken]", Sending], key: K, *, provider: str
    ) -> AccessToken:
        task, sending = flight
        try:
            async with asyncio.timeout(LONGEST_QUEUE_SECONDS):
                await _first_of(task, sending)
            left = self._asked(key).timeout_seconds - sending.elapsed_seconds
            async with asyncio.timeout(max(left, 0.0)):
                return await asyncio.shield(task)
        except TimeoutError as error:
            raise ProviderUnavailable("still asking", provider=provider, reason="still_asking") from error

    def _check_due(self, key: K, *, provider: str) -> None:
        """A pause is put down to what failed: the provider was not asked where the store did, and its circuit may be closed.

        Raises:
            ProviderUnavailable, StoreUnavailable: it failed a moment ago.
        """
        wait = self._wait_seconds(key)
        if wait:
            raise failed_before(provider, wait)
        if not self._store_outages.permits(key):
            raise StoreUnavailable("the session store failed a moment ago", reason=self._store_outages.reason(key))

    def _wait_seconds(self, key: K) -> float:
        """How long the provider is not asked for this."""
        circuit = self._asked(key).circuit
        return max(self._failures.wait_seconds(key), self._outages.wait_seconds(key), circuit.wait_seconds(key))

    def _flight(self, key: K, *, rejected: str | None = None) -> tuple["asyncio.Task[AccessToken]", Sending]:
        flight = self._under_way.get(key)
        if flight is None:
            sending = Sending(key, asked=self._asked(key), durations=self._durations)
            flight = self._under_way[key] = (self._tasks.start(self._fly(key, rejected, sending)), sending)
            flight[0].add_done_callback(lambda _: self._under_way.pop(key, None))
        return flight

    async def _fly(self, key: K, rejected: str | None, sending: Sending) -> AccessToken:
        circuit = self._asked(key).circuit
        try:
            token = await self._living(key, rejected, sending)
        except ProviderUnavailable as error:
            if sending.admitted:  # else the circuit said no, or nothing was asked yet
                self._outages.note(key)
                circuit.failed(key, error)
            raise
        except ProviderError:
            self._failures.note(key)
            if sending.admitted:
                circuit.answered(key)
            raise
        except StoreUnavailable as error:
            self._store_outages.note(key, reason=error.reason)
            circuit.not_asked(key)
            raise
        except BaseException:
            circuit.not_asked(key)
            raise
        self._failures.forget(key)
        self._outages.forget(key)
        self._store_outages.forget(key)
        (circuit.not_asked if sending.at is None else circuit.answered)(key)
        return token

    async def _living(self, key: K, rejected: str | None, sending: Sending) -> AccessToken:
        """The first token, or the second, that has not expired when it is here.

        Raises:
            ProviderUnavailable: both had: `dead_on_arrival`.
            BffError: what `fetch` raises.
        """
        asked = self._asked(key)
        for _ in range(2):
            token = await self._fetch(key, rejected, sending)
            if not is_over(token, now=self._clock()):
                return token
            telemetry.dead_on_arrival(provider=asked.name)
            if sending.at is not None:
                asked.circuit.answered(key)
        raise ProviderUnavailable(
            "its access tokens expire before they come", provider=asked.name, reason="dead_on_arrival"
        )


def failed_before(provider: str, wait_seconds: float) -> ProviderUnavailable:
    """It was asked a moment ago, and is not asked again so soon."""
    return ProviderUnavailable(
        "failed a moment ago", provider=provider, reason="failed_before", retry_after_seconds=wait_seconds
    )


async def _first_of(task: "asyncio.Task[AccessToken]", sending: Sending) -> None:
    """Return when the call is sent, or the flight is over without."""
    if sending.at is not None or task.done():
        return
    sent = asyncio.ensure_future(sending.wait())
    try:
        await asyncio.wait([task, sent], return_when=asyncio.FIRST_COMPLETED)
    finally:
        sent.cancel()
