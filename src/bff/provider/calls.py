"""Calls that authenticate us: the one place where a request is built with a credential, sent and parsed.

a call    build, send, parse with the credential that worked last; on `invalid_client` all three with the other one
          (`credentials.py`)
"""

from collections.abc import Callable
from typing import Protocol, TypeVar

from bff.clock import Clock
from bff.config.model import ProviderConfig
from bff.errors import ProviderMisbehaved
from bff.oauth.client_auth import Authentication, Client, ClientAuth
from bff.oauth.messages import ProviderRequest, ProviderResponse
from bff.oauth.metadata import ProviderMetadata
from bff.provider.credentials import Credentials
from bff.provider.http import ProviderHttp

T = TypeVar("T")


class Build(Protocol):
    """A builder of `oauth/`, complete but for what authenticates the client."""

    def __call__(self, *, by: Authentication) -> ProviderRequest:
        """The request."""
        ...


class AuthenticatedCalls:
    """Calls to one provider as its client."""

    def __init__(self, *, provider: str, config: ProviderConfig, http: ProviderHttp, clock: Clock) -> None:
        self.credentials = Credentials(config, provider=provider)
        self.client = Client(provider=provider, client_id=config.client_id, issuer=config.issuer)
        self._http = http
        self._clock = clock
        self._needs_tls = config.client_auth in {"tls_client_auth", "self_signed_tls_client_auth"}

    async def call(
        self,
        build: Build,
        parse: Callable[[ProviderResponse, float], T],
        *,
        known: ProviderMetadata,
        limit_seconds: float | None = None,
    ) -> T:
        """What `parse` makes of the answer and of the instant at which the request was sent.

        `limit_seconds`: how long it may take once it is sent; the provider's `timeout` if None.

        Raises:
            ProviderError: what `parse` raises, or no answer.
            SecretUnavailable: no usable credential.
        """

        async def attempt(auth: ClientAuth) -> T:
            sent_at = self._clock()
            request = build(by=auth.apply(self.client, now=sent_at))
            self._check_tls(request)
            return parse(await self._http.send(request, limit_seconds=limit_seconds), sent_at)

        return await self.credentials.call(attempt, known=known)

    def _check_tls(self, request: ProviderRequest) -> None:
        """Without TLS no certificate is shown, and the request would be nobody's (R-091)."""
        if self._needs_tls and not request.url.startswith("https:"):
            raise ProviderMisbehaved(
                "has an endpoint without TLS, which sees no certificate",
                provider=self.client.provider,
                reason="endpoint",
            )
