"""Access tokens that a provider gave in exchange for users' (RFC 8693): one per grant and upstream, kept in memory, renewed early.

Rules kept here:

- A token is kept under everything that tells it from another (invariant 8): the session, the grant in it and its user, the token
  that was exchanged, and what was asked for it. A session that has ended is never looked up, so its tokens serve no request.
- The user's access token is what is exchanged: it is renewed first if it has expired.
- A refusal that only the user can mend means a sign-in (R-320), and is repeated for `REFUSAL_SECONDS` without asking. The grant goes
  on, as its own token serves other routes. A new sign-in makes another key, so it is asked for at once.
- The freshness table of `sessions/model.py` holds, with the exchange in the place of the refresh.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from bff.config.model import ExchangeConfig
from bff.errors import LoginRequired, ProviderError, ProviderRefused
from bff.oauth.refresh_refusal import only_the_user_can_mend_the_exchange
from bff.oauth.tokens import Exchange, TokenResponse
from bff.provider.circuit import Circuit
from bff.provider.client import Provider
from bff.sessions.model import AccessToken, Freshness, Target, freshness
from bff.telemetry import tokens as telemetry
from bff.tokens import grants
from bff.tokens.background import BackgroundTasks
from bff.tokens.flights import Flights, Sending

MAX_KEPT = 10_000
REFUSAL_SECONDS = 30.0  # a user or an administrator may consent at the provider, without a sign-in here
# RFC 8693 section 2.2.2: `invalid_request` if "the subject_token [is] invalid for any reason"; `invalid_grant` and `invalid_token`
# are what some providers say.
_SUBJECT_REFUSED = frozenset({"invalid_request", "invalid_grant", "invalid_token"})

V = TypeVar("V")


def exchange(config: ExchangeConfig) -> Exchange:
    """The exchange that the configuration describes."""
    return Exchange(
        audience=config.audience,
        resource=config.resource,
        scope=config.scope,
        requested_token_type=config.requested_token_type,
    )


class UsersToken(Protocol):
    """The access token of a user that is exchanged: `sources.UserToken`."""

    async def usable(self) -> AccessToken:
        """The token, after its renewal if it has expired."""
        ...

    async def instead_of(self, rejected: AccessToken) -> AccessToken | None:
        """Another token in place of one that was refused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which token: everything that tells it from another. `users` is where the token to exchange comes from, of one session's copy."""

    session_key: str
    provider: str
    issuer: str
    subject: str | None
    granted_at: float
    target: Target
    exchange: Exchange
    users: UsersToken = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class _Refusal:
    """What the provider said, and when."""

    reason: str
    said_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Exchanging:
    """A provider as what exchanges tokens."""

    name: str
    circuit: Circuit
    timeout_seconds: float


class ExchangedTokens:
    """Hands out exchanged access tokens."""

    def __init__(
        self, *, providers: Mapping[str, Provider], tasks: BackgroundTasks, clock: Callable[[], float]
    ) -> None:
        self._providers = providers
        self._clock = clock
        self._tokens: OrderedDict[Wanted, AccessToken] = OrderedDict()  # the least recently exchanged first
        self._refusals: OrderedDict[Wanted, _Refusal] = OrderedDict()  # the oldest first
        asked = {
            name: _Exchanging(name=name, circuit=at.exchange_circuit, timeout_seconds=at.timeout_seconds)
            for name, at in providers.items()
        }
        self._flights: Flights[Wanted] = Flights(
            self._exchange, asked=lambda wanted: asked[wanted.provider], tasks=tasks, clock=clock
        )

    def at_once(self, wanted: Wanted) -> AccessToken | None:
        """The access token while it is fresh, or stale, whose renewal then begins; None: it has to be exchanged first."""
        token = self._tokens.get(wanted)
        state = freshness(token, renewable=True, now=self._clock())
        if state is Freshness.EXPIRED:
            return None
        if state is Freshness.STALE and self._refusal(wanted) is None:
            self._flights.begin(wanted)
        return token

    async def usable(self, wanted: Wanted) -> AccessToken:
        """The access token to use now.

        Raises:
            LoginRequired: the user's own token, or this one, cannot be had without a sign-in.
            ProviderError, StoreUnavailable: there is none, and none is to be had now.
        """
        token = self.at_once(wanted)
        if token is not None:
            return token
        refusal = self._refusal(wanted)
        if refusal is not None:
            raise _sign_in_again(wanted, refusal.reason)
        return await self._flights.result(wanted, provider=wanted.provider)

    async def instead_of(self, rejected: AccessToken, wanted: Wanted) -> AccessToken | None:
        """Another token in place of one that the upstream answered with 401; None if there is none to be had now."""
        current = self._tokens.get(wanted)
        if current is not None and current.value != rejected.value:
            return current
        return await self._flights.instead_of(rejected, wanted, provider=wanted.provider)

    async def _exchange(self, wanted: Wanted, rejected: str | None, sending: Sending) -> AccessToken:
        if rejected is not None:
            self._tokens.pop(wanted, None)
        try:
            response = await self._ask(wanted, sending)
        except ProviderError as error:
            telemetry.token_exchange_failed(error, session_key=wanted.session_key)
            if isinstance(error, ProviderRefused) and only_the_user_can_mend_the_exchange(error):
                _keep(self._refusals, wanted, _Refusal(error.error, self._clock()))
                raise _sign_in_again(wanted, error.error) from error
            raise
        self._refusals.pop(wanted, None)
        token = grants.access_token(response, now=self._clock())
        _keep(self._tokens, wanted, token)
        telemetry.token_exchanged(provider=wanted.provider, session_key=wanted.session_key)
        return token

    async def _ask(self, wanted: Wanted, sending: Sending) -> TokenResponse:
        """Exchange the user's token; if the provider refuses that one, once more with another, if there is one."""
        subject = await wanted.users.usable()
        try:
            return await self._call(wanted, subject, sending)
        except ProviderRefused as refused:
            another = await wanted.users.instead_of(subject) if refused.error in _SUBJECT_REFUSED else None
            if another is None:
                raise
        return await self._call(wanted, another, sending)

    async def _call(self, wanted: Wanted, subject: AccessToken, sending: Sending) -> TokenResponse:
        """One call. It has its place after the refresh of `subject`, which needs one too."""
        provider = self._providers[wanted.provider]
        async with provider.place():
            if not sending.admitted:
                await sending.admission()  # after the refresh that it may wait for, which may be the probe
                sending.now()
            return await provider.exchange_token(subject.value, asked=wanted.exchange, dpop_seed=subject.dpop_seed)

    def _refusal(self, wanted: Wanted) -> _Refusal | None:
        """What the provider said a moment ago that only the user can mend."""
        refusal = self._refusals.get(wanted)
        # a clock set back lengthens none
        is_recent = refusal is not None and 0 <= self._clock() - refusal.said_at < REFUSAL_SECONDS
        return refusal if is_recent else None


def _sign_in_again(wanted: Wanted, reason: str) -> LoginRequired:
    return LoginRequired("The provider wants you to sign in again.", provider=wanted.provider, reason=reason)


def _keep(kept: "OrderedDict[Wanted, V]", wanted: Wanted, value: V) -> None:
    """Keep it as the newest, and no more than may be."""
    kept.pop(wanted, None)
    kept[wanted] = value
    while len(kept) > MAX_KEPT:
        kept.popitem(last=False)
