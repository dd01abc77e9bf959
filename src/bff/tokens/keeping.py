"""What keeps tokens usable, for the providers of one configuration, and on into the next one if they are the same.

Kept on are the tokens that are held in memory (client tokens, exchanged ones), the flights under way, and the pauses after
failures. Where a provider has changed all of this begins anew: it was made by another client, or at another endpoint.
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
    """The keeping of a process. `of` is called for each configuration."""

    def __init__(self, *, store: SessionStore, tasks: BackgroundTasks, clock: Clock) -> None:
        self.renewing = renewing(store=store, tasks=tasks, clock=clock)
        self._tasks = tasks
        self._clock = clock
        self._providers: dict[str, Provider] = {}
        self._keeping: TokenKeeping | None = None

    def of(self, providers: Mapping[str, Provider]) -> TokenKeeping:
        """The keeping for these providers: the one of the last call if they are the same objects."""
        if self._keeping is None or self._providers != dict(providers):  # `Provider` compares by identity
            self._providers, self._keeping = dict(providers), self._new(providers)
        return self._keeping

    def _new(self, providers: Mapping[str, Provider]) -> TokenKeeping:
        tasks, clock = self._tasks, self._clock
        for provider in providers.values():
            self.renewing.circuits.join(provider)
        renewal = Renewal(renewing=self.renewing, providers=providers)
        return TokenKeeping(
            refresher=Refresher(renewal=renewal, tasks=tasks, clock=clock),
            client_credentials=ClientCredentials(providers=providers, tasks=tasks, clock=clock),
            exchanged=ExchangedTokens(providers=providers, tasks=tasks, clock=clock),
        )
