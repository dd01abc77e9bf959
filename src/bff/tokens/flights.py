"""Single flights: for each need one attempt at a time, shared by all who want its result and owned by the application.

Used for users' tokens (`refresh.py`) and for our own (`client_credentials.py`). Rules kept here:

- The flight goes on when a waiting request leaves (invariant 5); a request that comes while it is under way waits for the same one.
- The provider is asked no faster than the back-off allows after a failure, and on an upstream's 401 no faster than a back-off of
  its own: an upstream that always says 401 must not make us hammer the provider.
"""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Generic, TypeVar

from bff.clock import Clock
from bff.errors import BffError, ProviderError, ProviderUnavailable
from bff.sessions.model import AccessToken
from bff.tokens.background import BackgroundTasks
from bff.tokens.failures import Failures

PATIENCE_SECONDS = 30.0  # how long a request waits; then it is answered with 503

K = TypeVar("K", bound=Hashable)


class Flights(Generic[K]):
    """Runs `fetch(key, rejected)` for each key that needs it; `rejected` is a token's value that will not do."""

    def __init__(
        self,
        fetch: Callable[[K, str | None], Coroutine[Any, Any, AccessToken]],
        *,
        tasks: BackgroundTasks,
        clock: Clock,
    ) -> None:
        self._fetch = fetch
        self._tasks = tasks
        self._under_way: dict[K, asyncio.Task[AccessToken]] = {}
        self._failures: Failures[K] = Failures(clock=clock)
        self._rejections: Failures[K] = Failures(clock=clock)

    def begin(self, key: K) -> None:
        """Have it fetched in the background, unless it failed a moment ago."""
        if self._failures.permits(key):
            self._flight(key)

    async def result(self, key: K, *, provider: str) -> AccessToken:
        """Wait for it.

        Raises:
            ProviderUnavailable: it failed a moment ago, or takes longer than `PATIENCE_SECONDS`.
            BffError: what `fetch` raises.
        """
        if key not in self._under_way and not self._failures.permits(key):
            raise ProviderUnavailable("failed a moment ago", provider=provider, reason="failed_before")
        return await self._patiently(self._flight(key), provider=provider)

    async def instead_of(self, rejected: AccessToken, key: K, *, provider: str) -> AccessToken | None:
        """Another one than the upstream rejected with 401; None: none to be had now, the upstream's own 401 is the answer."""
        if key not in self._under_way:
            if not self._rejections.permits(key):
                return None
            self._rejections.note(key)
        try:
            token = await self._patiently(self._flight(key, rejected=rejected.value), provider=provider)
        except BffError:  # the flight has logged it; the browser gets the answer of the API
            return None
        return token if token.value != rejected.value else None  # a flight that began earlier knew of no rejection

    async def _patiently(self, flight: "asyncio.Task[AccessToken]", *, provider: str) -> AccessToken:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await asyncio.shield(flight)
        except TimeoutError as error:
            raise ProviderUnavailable("still asking", provider=provider, reason="still_asking") from error

    def _flight(self, key: K, *, rejected: str | None = None) -> "asyncio.Task[AccessToken]":
        flight = self._under_way.get(key)
        if flight is None:
            flight = self._tasks.start(self._fly(key, rejected))
            self._under_way[key] = flight
            flight.add_done_callback(lambda _: self._under_way.pop(key, None))
        return flight

    async def _fly(self, key: K, rejected: str | None) -> AccessToken:
        try:
            token = await self._fetch(key, rejected)
        except ProviderError:
            self._failures.note(key)
            raise
        self._failures.forget(key)
        return token
