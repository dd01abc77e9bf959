"""What a provider publishes about itself, cached: its metadata and its keys.

- One fetch at a time, for all callers.
- A document is used for an hour. If the provider is unavailable then, the old one is used on.
- A sign-in has metadata that are older than `RENEWED_AFTER_SECONDS` fetched again in the background, and waits for nothing. So what
  the provider has begun to announce (an endpoint, `iss` in its responses) counts from then on, and not in an hour.
- An unknown `kid` has the keys fetched at once, also a moment after another fetch: providers rotate without notice. A demand that
  did not help is not repeated for `REFETCH_INTERVAL_SECONDS`. Tokens that anyone can send (logout tokens) count apart, so
  that forged ones do not use up the demand of a sign-in; so do tokens by a known key whose signature does not hold.
- A failed fetch is repeated after a pause that doubles: neither a restart under load nor a flood of invented `kid`s
  becomes a flood of fetches (mod_auth_openidc 2026-08-12).
- Keys are kept for each provider, never by `kid` alone (CVE-2026-49998).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Generic, TypeVar

from bff.backoff import Backoff
from bff.clock import Clock
from bff.config.model import ProviderConfig
from bff.errors import ProviderError, ProviderMisbehaved
from bff.oauth import jws, metadata
from bff.oauth.metadata import ProviderMetadata
from bff.provider.http import ProviderHttp
from bff.telemetry import tokens as telemetry

DOCUMENT_LIFETIME_SECONDS = 3600.0
REFETCH_INTERVAL_SECONDS = 10.0
RENEWED_AFTER_SECONDS = 10.0
BACKOFF = Backoff(first_seconds=1.0, longest_seconds=30.0)

T = TypeVar("T")


class Documents:
    """The metadata and the keys of one provider."""

    def __init__(self, *, provider: str, config: ProviderConfig, http: ProviderHttp, clock: Clock) -> None:
        self._provider = provider
        self._config = config
        self._http = http
        self._metadata = _CachedDocument(self._fetch_metadata, clock=clock)
        self._keys = _CachedDocument(self._fetch_keys, clock=clock)
        self._demands = {demand: _MadeAt() for demand in Demand}

    async def metadata(self) -> ProviderMetadata:
        """The metadata; an endpoint in the configuration replaces the provider's own.

        Raises:
            ProviderError: it was never fetched, and cannot be fetched now.
        """
        return await self._metadata.get()

    @property
    def metadata_are_due(self) -> bool:
        """Whether a sign-in is to have the metadata fetched again."""
        return self._config.discovery != "off" and self._metadata.is_due

    async def renew_metadata(self) -> None:
        """Fetch the metadata again; those that are known stay in use until then, and if they cannot be fetched."""
        await self._metadata.renew()

    async def keys(self) -> jws.KeySet:
        """The keys that the provider signs with (JWKS).

        Raises:
            ProviderError: they were never fetched, and cannot be fetched now.
        """
        return await self._keys.get()

    async def keys_newer_than(self, keys: jws.KeySet, *, demand: "Demand") -> jws.KeySet:
        """Keys that were fetched after `keys`; `keys` itself soon after a demand for newer ones that did not help.

        Raises:
            ProviderError: they cannot be fetched now.
        """
        return await self._keys.get_newer(keys, demand=self._demands[demand])

    def newer_keys_helped(self, demand: "Demand") -> None:
        """The demand found the key: the provider has rotated its keys, and may do so again at once."""
        self._demands[demand].at = 0.0

    async def _fetch_metadata(self) -> ProviderMetadata:
        config, written = self._config, _written_endpoints(self._config)
        url = metadata_location(config)
        if url is None:  # `config/provider_checks.py` demands `token_endpoint` then
            return metadata.written_metadata(written, issuer=config.issuer)
        response = await self._http.send(metadata.build_metadata_request(url))
        known = metadata.parse_metadata_response(
            response,
            provider=self._provider,
            issuer=config.issuer,
            written=written,
            insecure_http=config.insecure_http,
        )
        return metadata.with_mtls_aliases(known, written=written) if config.client_certificate else known

    async def _fetch_keys(self) -> jws.KeySet:
        known = await self.metadata()
        if known.jwks_uri is None:
            raise ProviderMisbehaved("publishes no keys (jwks_uri)", provider=self._provider, reason="no_jwks_uri")
        response = await self._http.send(jws.build_jwks_request(known.jwks_uri))
        return jws.parse_jwks_response(response, provider=self._provider)


def metadata_location(config: ProviderConfig) -> str | None:
    """The URL that the provider's metadata are asked at; None: they are not asked for (`discovery: off`)."""
    if config.discovery == "off":
        return None
    return config.metadata_url or metadata.metadata_url(
        config.issuer, discovery=config.discovery, insecure_http=config.insecure_http
    )


def _written_endpoints(config: ProviderConfig) -> dict[str, str]:
    """The endpoints that the operator wrote, by their names in the metadata."""
    written = {
        "pushed_authorization_request_endpoint": config.pushed_authorization_request_endpoint,
        "authorization_endpoint": config.authorization_endpoint,
        "token_endpoint": config.token_endpoint,
        "jwks_uri": config.jwks_uri,
        "userinfo_endpoint": config.userinfo_endpoint,
        "end_session_endpoint": config.end_session_endpoint,
        "revocation_endpoint": config.revocation_endpoint,
    }
    return {name: url for name, url in written.items() if url is not None}


class Demand(Enum):
    """Why newer keys are demanded. Each kind has its own pause, so that none uses up another's fetch."""

    UNKNOWN = auto()  # a token from the provider itself, by a key that is not known
    REPLACED = auto()  # the same by a key that is known, but did not make the signature
    ANONYMOUS = auto()  # a token that anyone can send


@dataclass(slots=True, kw_only=True)
class _MadeAt:
    """When a newer document was last demanded in vain, or is being demanded."""

    at: float = 0.0


class _CachedDocument(Generic[T]):
    """One document: one fetch at a time, used for its lifetime, and used on while the provider is unavailable."""

    def __init__(self, fetch: Callable[[], Awaitable[T]], *, clock: Clock) -> None:
        self._fetch = fetch
        self._clock = clock
        self._lock = asyncio.Lock()
        self._value: T | None = None
        self._fetched_at = 0.0
        self._failure: ProviderError | None = None
        self._failures = 0  # in a row
        self._retry_at = 0.0

    async def get(self) -> T:
        """The document, at most `DOCUMENT_LIFETIME_SECONDS` old unless the provider is unavailable.

        Raises:
            ProviderError: it was never fetched, and cannot be fetched now.
        """
        if (value := self._fresh()) is not None:
            return value
        async with self._lock:
            if (value := self._fresh()) is not None:
                return value
            return await self._renew()

    async def get_newer(self, than: T, *, demand: "_MadeAt") -> T:
        """A document fetched after `than`, or `than` itself while another fetch on this demand would be too soon.

        Raises:
            ProviderError: it cannot be fetched now.
        """
        async with self._lock:
            too_soon = self._clock() < demand.at + REFETCH_INTERVAL_SECONDS
            if self._value is not None and (self._value is not than or too_soon):
                return self._value
            demand.at = self._clock()
            newer = await self._renew()
            if newer is than and self._failure is not None:
                demand.at = 0.0  # nothing was fetched: the pause after a failure says when to ask again
                raise self._failure.with_traceback(None)
            return newer

    @property
    def is_due(self) -> bool:
        """Whether it is known and not new, and is not being fetched, and no failure asks for a pause."""
        now = self._clock()
        old = self._value is not None and now >= self._fetched_at + RENEWED_AFTER_SECONDS
        return old and not self._lock.locked() and (self._failure is None or now >= self._retry_at)

    async def renew(self) -> None:
        """Fetch it again, unless that has just been done."""
        async with self._lock:
            if self._clock() >= self._fetched_at + RENEWED_AFTER_SECONDS:
                await self._renew()

    def _fresh(self) -> T | None:
        return self._value if self._clock() < self._fetched_at + DOCUMENT_LIFETIME_SECONDS else None

    async def _renew(self) -> T:
        if self._failure is not None and self._clock() < self._retry_at:
            return self._last_known(self._failure)
        try:
            value = await self._fetch()
        except ProviderError as failure:
            self._failures += 1
            self._retry_at = self._clock() + BACKOFF.pause_seconds(self._failures)
            self._failure = failure
            telemetry.document_unavailable(failure, kept=self._value is not None)
            return self._last_known(failure)
        self._value, self._fetched_at = value, self._clock()
        self._failure, self._failures = None, 0
        return value

    def _last_known(self, failure: ProviderError) -> T:
        if self._value is None:
            raise failure.with_traceback(None)
        return self._value
