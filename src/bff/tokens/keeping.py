"""What keeps tokens usable: one keeping for each provider, which goes on into the next configuration if the provider is the same.

Kept on are the tokens that are held in memory (client tokens, exchanged ones), the flights under way, and the pauses after
failures. For a provider that has changed all of this begins anew: it was made by another client, or at another endpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bff.clock import Clock
from bff.provider.client import Provider
from bff.sessions.store import SessionStore
from bff.tokens.background import BackgroundTasks
from bff.tokens.client_credentials import ClientCredentials
from bff.tokens.exchanged import ExchangedTokens
from bff.tokens.refresh import Refresher
from bff.tokens.renewal import Renewal
from bff.tokens.renewing import renewing


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKeeping:
    """One implementation for each kind of token: users', the gateway's own, exchanged ones."""

    refresher: Refresher
    client_credentials: ClientCredentials
    exchanged: ExchangedTokens


class TokenKeepings:
    """The keepings of a process. `of` is called for each configuration."""

    def __init__(self, *, store: SessionStore, tasks: BackgroundTasks, clock: Clock) -> None:
        self.renewing = renewing(store=store, tasks=tasks, clock=clock)
        self._tasks = tasks
        self._clock = clock
        self._keepings: dict[Provider, TokenKeeping] = {}  # `Provider` compares by identity

    def of(self, providers: Mapping[str, Provider]) -> Mapping[str, TokenKeeping]:
        """The keeping of each of these providers, by its name: that of the last call for a provider that was there."""
        last = self._keepings
        self._keepings = {provider: last.get(provider) or self._new(provider) for provider in providers.values()}
        return {name: self._keepings[provider] for name, provider in providers.items()}

    def _new(self, provider: Provider) -> TokenKeeping:
        tasks, clock, providers = self._tasks, self._clock, {provider.name: provider}
        self.renewing.circuits.join(provider)
        renewal = Renewal(renewing=self.renewing, providers=providers)
        return TokenKeeping(
            refresher=Refresher(renewal=renewal, tasks=tasks, clock=clock),
            client_credentials=ClientCredentials(providers=providers, tasks=tasks, clock=clock),
            exchanged=ExchangedTokens(providers=providers, tasks=tasks, clock=clock),
        )
