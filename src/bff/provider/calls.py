"""Calls that authenticate us: the one place where a request is built with a credential, sent and parsed.

a call    build, send, parse with the credential that worked last; on `invalid_client` all three with the other one
          (`credentials.py`)
proved    with a DPoP proof; once more with another one if the provider demands a nonce (`oauth/dpop.py`)
"""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from bff.clock import Clock
from bff.config.model import ProviderConfig
from bff.errors import ProviderMisbehaved
from bff.issuers import of_all_tenants
from bff.oauth import dpop
from bff.oauth.client_auth import Authentication, Client, ClientAuth
from bff.oauth.messages import ProviderRequest, ProviderResponse
from bff.oauth.metadata import ProviderMetadata
from bff.provider.credentials import Credentials
from bff.provider.http import ProviderHttp
from bff.secret_uses import SecretUses
from bff.signing_key import SigningKey

T = TypeVar("T")


class Build(Protocol):
    """A builder of `oauth/`, complete but for what authenticates the client."""

    def __call__(self, *, by: Authentication) -> ProviderRequest:
        """The request."""
        ...


class AuthenticatedCalls:
    """Calls to one provider as its client."""

    def __init__(
        self,
        *,
        provider: str,
        config: ProviderConfig,
        http: ProviderHttp,
        clock: Clock,
        uses: SecretUses | None = None,
    ) -> None:
        self.credentials = Credentials(config, provider=provider, uses=uses)
        self.client = Client(
            provider=provider,
            client_id=config.client_id,
            issuer=of_all_tenants(config.issuer),
            assertion_audience=config.assertion_audience,
        )
        self._http = http
        self._clock = clock
        self._nonces = dpop.Nonces()
        self._needs_tls = config.client_auth in {"tls_client_auth", "self_signed_tls_client_auth"}

    async def call(
        self,
        build: Build,
        parse: Callable[[ProviderResponse, float], T],
        *,
        known: ProviderMetadata,
        key: SigningKey | None = None,
        limit_seconds: float | None = None,
    ) -> T:
        """What `parse` makes of the answer and of the instant at which the request was sent; with `key`, the request is proved.

        `limit_seconds`: how long it may take once it is sent; the provider's `timeout` if None.

        Raises:
            ProviderError: what `parse` raises, or no answer.
            SecretUnavailable: no usable credential.
        """

        async def attempt(auth: ClientAuth) -> T:
            sent_at = self._clock()
            response = await self.send(lambda: self._authenticated(build, auth), key=key, limit_seconds=limit_seconds)
            return parse(response, sent_at)

        if key is not None:
            self.check_proofs(known, key)
        return await self.credentials.call(attempt, known=known)

    async def send(
        self,
        request: Callable[[], ProviderRequest],
        *,
        key: SigningKey | None,
        access_token: str | None = None,
        limit_seconds: float | None = None,
    ) -> ProviderResponse:
        """The answer to a request; with `key`, proved, and once more if the provider demands a nonce (RFC 9449 section 8).

        The repeat is a request of its own: a proof and a client assertion are used once. A provider demands a nonce before it
        looks at the grant, so no code and no refresh token is spent by the first one.
        """
        if key is None:
            return await self._http.send(request(), limit_seconds=limit_seconds)
        proved = partial(self._proved, key=key, access_token=access_token, limit_seconds=limit_seconds)
        response = await proved(request())
        if not dpop.challenged_by_provider(response) or response.dpop_nonce is None:
            return response
        return await proved(request())

    async def _proved(
        self,
        request: ProviderRequest,
        *,
        key: SigningKey,
        access_token: str | None,
        limit_seconds: float | None,
    ) -> ProviderResponse:
        nonce = self._nonces.of(request.url)
        proved = dpop.proved(request, key, now=self._clock(), nonce=nonce, access_token=access_token)
        response = await self._http.send(proved, limit_seconds=limit_seconds)
        self._nonces.note(request.url, response.dpop_nonce)
        return response

    def _authenticated(self, build: Build, auth: ClientAuth) -> ProviderRequest:
        request = build(by=auth.apply(self.client, now=self._clock()))
        if self._needs_tls and not request.url.startswith("https:"):
            # Without TLS no certificate is shown, and the request would not be authenticated.
            raise ProviderMisbehaved(
                "has an endpoint without TLS, which sees no certificate",
                provider=self.client.provider,
                reason="endpoint",
            )
        return request

    def check_proofs(self, known: ProviderMetadata, key: SigningKey) -> None:
        """The provider can verify proofs by this key, as far as its metadata says.

        Raises:
            ProviderMisbehaved: `dpop_alg`.
        """
        if not dpop.verifiable(key, listed=known.dpop_signing_algorithms):
            raise ProviderMisbehaved(
                f"takes no DPoP proofs signed with {key.algorithms[0]}",
                provider=self.client.provider,
                reason="dpop_alg",
            )
