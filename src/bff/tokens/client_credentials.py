"""The gateway's own access tokens (RFC 6749 section 4.4): one per provider and target, fetched once however many ask, renewed early.

Never mixed with users' tokens: they are kept here, in memory, and nowhere else. The same freshness table holds, with the fetch in
the place of the refresh.
"""

from collections.abc import Mapping

from bff.clock import Clock
from bff.errors import ProviderError
from bff.provider.client import Provider
from bff.sessions.model import AccessToken, Freshness, Target, freshness
from bff.telemetry import tokens as telemetry
from bff.tokens import grants
from bff.tokens.background import BackgroundTasks
from bff.tokens.flights import Flights, Sending

Wanted = tuple[str, Target]
"""Provider and target: with the client that each provider knows us as, all that tells two such tokens apart (invariant 8)."""


class ClientCredentials:
    """Hands out the gateway's own access tokens."""

    def __init__(self, *, providers: Mapping[str, Provider], tasks: BackgroundTasks, clock: Clock) -> None:
        self._providers = providers
        self._clock = clock
        self._tokens: dict[Wanted, AccessToken] = {}
        self._flights: Flights[Wanted] = Flights(
            self._fetch, asked=lambda wanted: providers[wanted[0]], tasks=tasks, clock=clock
        )

    def at_once(self, *, provider: str, target: Target) -> AccessToken | None:
        """The access token while it is fresh, or stale, whose renewal then begins; None: it has to be fetched first."""
        token = self._tokens.get((provider, target))
        state = freshness(token, renewable=True, now=self._clock())
        if state is Freshness.EXPIRED:
            return None
        if state is Freshness.STALE:
            self._flights.begin((provider, target))
        return token

    async def usable(self, *, provider: str, target: Target) -> AccessToken:
        """The access token to use now; the first caller and those after an expiry wait for the one fetch.

        Raises:
            ProviderError: there is none, and none is to be had now.
        """
        token = self.at_once(provider=provider, target=target)
        if token is not None:
            return token
        return await self._flights.result((provider, target), provider=provider)

    async def instead_of(self, rejected: AccessToken, *, provider: str, target: Target) -> AccessToken | None:
        """Another token in place of one that the upstream answered with 401; None if there is none to be had now."""
        current = self._tokens.get((provider, target))
        if current is not None and current.value != rejected.value:
            return current
        return await self._flights.instead_of(rejected, (provider, target), provider=provider)

    async def _fetch(self, wanted: Wanted, rejected: str | None, sending: Sending) -> AccessToken:
        provider, target = wanted
        if rejected is not None:
            self._tokens.pop(wanted, None)
        try:
            async with self._providers[provider].place():
                await sending.admission()
                sending.now()
                response = await self._providers[provider].client_credentials(
                    scope=target.scope, resource=target.resource, audience=target.audience
                )
        except ProviderError as error:
            telemetry.client_token_failed(error, provider=provider)
            raise
        token = grants.access_token(response, now=self._clock())
        self._tokens[wanted] = token
        telemetry.client_token_fetched(provider=provider)
        return token
