"""What a provider publishes (metadata, keys), kept by whoever reads it.

Fetched once however many ask, used on while the provider is away, and asked for again no faster than the back-off allows: neither
a restart under load nor a flood of invented `kid`s turns into a flood of fetches (mod_auth_openidc 2026-08-12).
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from bff.errors import ProviderError

DOCUMENT_LIFETIME_SECONDS = 3600.0
REFETCH_INTERVAL_SECONDS = 10.0
FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 30.0

log = structlog.get_logger()
T = TypeVar("T")


class PublishedDocument(Generic[T]):
    """Something that a provider publishes (metadata, keys): one fetch at a time, kept, and kept longer while the provider is away."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], *, clock: Callable[[], float]) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._value: T | None = None
        self._fetched_at = 0.0
        self._failure: ProviderError | None = None
        self._backoff_seconds = 0.0
        self._retry_at = 0.0

    async def get(self) -> T:
        """The document, at most `DOCUMENT_LIFETIME_SECONDS` old unless the provider is away.

        Raises:
            ProviderError: it was never fetched, and cannot be now.
        """
        if (value := self._fresh()) is not None:
            return value
        async with self._lock:
            if (value := self._fresh()) is not None:
                return value
            return await self._renew()

    async def get_newer(self, than: T) -> T:
        """A document fetched after `than`, or `than` itself while a fetch would come too soon (a flood of unknown `kid`s).

        Raises:
            ProviderError: it cannot be fetched now.
        """
        async with self._lock:
            too_soon = self._clock() < self._fetched_at + REFETCH_INTERVAL_SECONDS
            if self._value is not None and (self._value is not than or too_soon):
                return self._value
            newer = await self._renew()
            if newer is than and self._failure is not None:
                raise self._failure.with_traceback(None)
            return newer

    def _fresh(self) -> T | None:
        return self._value if self._clock() < self._fetched_at + DOCUMENT_LIFETIME_SECONDS else None

    async def _renew(self) -> T:
        if self._failure is not None and self._clock() < self._retry_at:
            return self._last_known(self._failure)
        try:
            value = await self._fetch()
        except ProviderError as failure:
            self._backoff_seconds = min(max(self._backoff_seconds * 2, FIRST_BACKOFF_SECONDS), LONGEST_BACKOFF_SECONDS)
            self._retry_at = self._clock() + self._backoff_seconds
            self._failure = failure
            log.warning("provider.document_unavailable", provider=failure.provider, kept=self._value is not None)
            return self._last_known(failure)
        self._value, self._fetched_at = value, self._clock()
        self._failure, self._backoff_seconds = None, 0.0
        return value

    def _last_known(self, failure: ProviderError) -> T:
        if self._value is None:
            raise failure.with_traceback(None)
        return self._value
