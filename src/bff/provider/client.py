"""The calls to a provider. Each pairs two pure functions of `oauth/`: one builds the request, one parses the response.

An authenticated call goes client -> calls -> http: `calls.py` is the one place where a request is built with a credential, sent
and parsed. Who a token is for is the business of `identity.py`.
"""

from collections.abc import Hashable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial

from bff import signing_key
from bff.clock import Clock, steady_beside
from bff.config.model import ProviderConfig
from bff.errors import ProviderUnavailable
from bff.oauth import dpop, jws, tokens
from bff.oauth.authorization import AuthorizationCode
from bff.oauth.form import Fields
from bff.oauth.messages import ProviderRequest, ProviderResponse
from bff.oauth.metadata import ProviderMetadata
from bff.oauth.tokens import Exchange, TokenResponse
from bff.provider import authorization_requests
from bff.provider.calls import AuthenticatedCalls, Build
from bff.provider.circuit import Circuit
from bff.provider.clock_skew import ClockSkew
from bff.provider.documents import Documents
from bff.provider.http import RENEWAL_CONNECTIONS, ProviderHttp, Transport
from bff.provider.identity import Identity
from bff.provider.places import Places
from bff.provider.public_keys import public_keys
from bff.secret_uses import SecretUses
from bff.signing_key import SigningKey
from bff.telemetry import tokens as telemetry


class Provider:
    """One authorization server, and us as its confidential client."""

    def __init__(
        self,
        *,
        name: str,
        config: ProviderConfig,
        redirect_uri: str,
        clock: Clock,
        transport: Transport | None = None,
        uses: SecretUses | None = None,
    ) -> None:
        self.name = name
        self.config = config
        self.redirect_uri = redirect_uri
        self._clock = clock
        self.skew = ClockSkew(provider=name, clock=clock)
        self.http = ProviderHttp(
            provider=name,
            timeout_seconds=config.timeout,
            ca_file=config.ca_file,
            proxy=config.proxy,
            proxy_credentials=config.proxy_credentials,
            client_certificate=config.client_certificate,
            skew=self.skew,
            transport=transport,
            uses=uses,
        )
        self.circuit = Circuit(clock=steady_beside(clock))
        self.exchange_circuit = Circuit(clock=steady_beside(clock))  # one that fails at exchanges may refresh well
        self._places = Places(RENEWAL_CONNECTIONS, provider=name)
        self._calls = AuthenticatedCalls(provider=name, config=config, http=self.http, clock=clock, uses=uses)
        self._own_seed = signing_key.new_seed() if config.dpop == "on" else None  # of tokens that are not a user's
        self._documents = Documents(provider=name, config=config, http=self.http, clock=steady_beside(clock))
        self.identity = Identity(provider=name, config=config, documents=self._documents, calls=self._calls)

    @property
    def timeout_seconds(self) -> float:
        """How long a request waits for a call."""
        return self.config.timeout

    @property
    def call_limit_seconds(self) -> float:
        """How long a token call may take once it is sent; never less than a request waits for it."""
        return max(self.config.call_limit, self.config.timeout)

    def place(self) -> AbstractAsyncContextManager[None]:
        """One of the connections for renewals; queues until one is free (`places.py`)."""
        return self._places.place()

    async def give_up_queueing(self) -> None:
        """End the queue for connections: what was not sent is not sent any more."""
        await self._places.close()

    async def close(self) -> None:
        """Close every connection to the provider."""
        await self.http.close()

    async def metadata(self) -> ProviderMetadata:
        """The provider's endpoints: from discovery, or from the configuration, which wins.

        Raises:
            ProviderError: unknown so far, and cannot be fetched now.
        """
        return await self._documents.metadata()

    @property
    def metadata_are_due(self) -> bool:
        """Whether a sign-in is to have the metadata fetched again, in the background."""
        return self._documents.metadata_are_due

    async def renew_metadata(self) -> None:
        """Fetch the metadata again; a failure leaves those that are known."""
        await self._documents.renew_metadata()

    async def keys(self) -> jws.KeySet:
        """The keys that the provider signs with (JWKS).

        Raises:
            ProviderError: unknown so far, and cannot be fetched now.
        """
        return await self._documents.keys()

    async def public_keys(self) -> list[dict[str, object]]:
        """The public halves of our keys, as JWKs (RFC 7517).

        Raises:
            SecretUnavailable: one of them cannot be read.
        """
        return await public_keys(self.config, self._calls.credentials, metadata=self.metadata)

    async def authorization_url(self, parameters: Fields, *, dpop_seed: str | None = None) -> str:
        """The URL that asks for these parameters: with them, with a signed request object, or with a pushed request.

        With `dpop_seed` what is granted will be bound to its key (RFC 9449 section 10).

        Raises:
            ProviderError: the request cannot be pushed now, or the provider has no authorization endpoint.
            SecretUnavailable: no usable key or credential.
        """
        known = await self.metadata()
        key = _key(_for_provider(dpop_seed, known))
        if key is not None:
            parameters = (*parameters, ("dpop_jkt", key.kid))
        with self._pauses(parameters):
            return await authorization_requests.authorization_url(
                parameters, known=known, config=self.config, calls=self._calls, clock=self._clock, key=key
            )

    async def page(self, url: str) -> ProviderResponse:
        """What a browser without cookies is answered with at this URL of the provider's.

        Raises:
            ProviderError: no answer.
        """
        return await self.http.send(ProviderRequest(method="GET", url=url, headers=(("accept", "text/html"),)))

    async def exchange_code(
        self,
        code: AuthorizationCode,
        *,
        code_verifier: str,
        redirect_uri: str,
        resource: str | None,
        dpop_seed: str | None = None,
    ) -> TokenResponse:
        """Redeem an authorization code, once (RFC 6749 section 4.1.3).

        Raises:
            ProviderRefused, ProviderMisbehaved, ProviderUnavailable: see `oauth/tokens.py`.
        """
        known = await self.metadata()
        build = partial(
            tokens.build_code_exchange_request,
            metadata=known,
            code=code,
            redirect_uri=redirect_uri,
            code_verifier=code_verifier,
            resource=resource,
        )
        with self._pauses(code):
            return await self._token_call(
                "authorization_code", build, known=known, dpop_seed=_for_provider(dpop_seed, known)
            )

    @contextmanager
    def _pauses(self, who: Hashable) -> Iterator[None]:
        """A pause that the provider asks of a sign-in holds for renewals, too; a sign-in itself is never made to wait."""
        try:
            yield
        except ProviderUnavailable as error:
            if error.retry_after_seconds:
                self.circuit.failed(who, error)
            raise

    async def refresh(
        self,
        refresh_token: str,
        *,
        scope: str | None,
        resource: str | None,
        audience: str | None,
        dpop_seed: str | None = None,
    ) -> TokenResponse:
        """Ask for a new access token (RFC 6749 section 6).

        Raises:
            ProviderRefused, ProviderMisbehaved, ProviderUnavailable: see `oauth/tokens.py`.
        """
        known = await self.metadata()
        build = partial(
            tokens.build_refresh_request,
            metadata=known,
            refresh_token=refresh_token,
            scope=scope,
            resource=resource,
            audience=audience,
        )
        return await self._token_call(
            "refresh_token", build, known=known, dpop_seed=dpop_seed, limit_seconds=self.call_limit_seconds
        )

    async def client_credentials(
        self, *, scope: str | None, resource: str | None, audience: str | None
    ) -> TokenResponse:
        """Ask for our own access token (RFC 6749 section 4.4.2).

        Raises:
            ProviderRefused, ProviderMisbehaved, ProviderUnavailable: see `oauth/tokens.py`.
        """
        known = await self.metadata()
        build = partial(
            tokens.build_client_credentials_request,
            metadata=known,
            scope=scope,
            resource=resource,
            audience=audience,
        )
        return await self._token_call(
            "client_credentials",
            build,
            known=known,
            dpop_seed=_for_provider(self._own_seed, known),
            limit_seconds=self.call_limit_seconds,
        )

    async def exchange_token(
        self, subject_token: str, *, asked: Exchange, dpop_seed: str | None = None
    ) -> TokenResponse:
        """Exchange a user's access token for another (RFC 8693 section 2.1).

        Raises:
            ProviderRefused, ProviderMisbehaved, ProviderUnavailable: see `oauth/tokens.py`.
        """
        known = await self.metadata()
        build = partial(tokens.build_token_exchange_request, metadata=known, subject_token=subject_token, asked=asked)
        return await self._token_call("token_exchange", build, known=known, exchange=asked, dpop_seed=dpop_seed)

    async def revoke(self, token: str, *, token_type_hint: str) -> None:
        """Revoke a token, where the provider can (RFC 7009 section 2.1).

        Raises:
            ProviderError: it was not revoked, or we cannot know.
        """
        known = await self.metadata()
        if known.revocation_endpoint is None:
            return
        build = partial(
            tokens.build_revocation_request,
            revocation_endpoint=known.revocation_endpoint,
            token=token,
            token_type_hint=token_type_hint,
        )
        await self._calls.call(
            build, lambda response, _: tokens.parse_revocation_response(response, provider=self.name), known=known
        )

    async def _token_call(
        self,
        grant_type: str,
        build: Build,
        *,
        known: ProviderMetadata,
        dpop_seed: str | None,
        exchange: Exchange | None = None,
        limit_seconds: float | None = None,
    ) -> TokenResponse:
        parse = partial(
            tokens.parse_token_response,
            provider=self.name,
            default_lifetime_seconds=self.config.default_token_lifetime,
            exchange=exchange,
            dpop_seed=dpop_seed,
        )
        with telemetry.token_call(provider=self.name, grant_type=grant_type):
            return await self._calls.call(
                build,
                lambda response, sent_at: parse(response, now=sent_at),
                known=known,
                key=_key(dpop_seed),
                limit_seconds=limit_seconds,
            )


def _for_provider(dpop_seed: str | None, known: ProviderMetadata) -> str | None:
    """The seed of a new grant's key, whose proofs this provider can verify; the grant keeps it."""
    return None if dpop_seed is None else dpop.seed_for(dpop_seed, listed=known.dpop_signing_algorithms)


def _key(dpop_seed: str | None) -> SigningKey | None:
    return None if dpop_seed is None else signing_key.from_seed(dpop_seed)
