"""Keeping a user's access token usable, by the freshness table in `sessions/model.py`: who waits, who does not, and for what.

Outages, 5xx, 429 and `invalid_client` end nothing: the token serves until its real expiry, then the answer is 503.
The refresh itself is `renewal.py`; that there is only one of it at a time is `flights.py` here and `holder.py` among workers.
"""

from bff.clock import Clock
from bff.errors import BffError, LoginRequired
from bff.sessions.model import AccessToken, Freshness, Session, Target, freshness
from bff.telemetry import tokens as telemetry
from bff.tokens import grants
from bff.tokens.background import BackgroundTasks
from bff.tokens.flights import Flights, Sending
from bff.tokens.renewal import Need, Renewal


class Refresher:
    """Hands out usable access tokens of users and has them renewed in time."""

    def __init__(self, *, renewal: Renewal, tasks: BackgroundTasks, clock: Clock) -> None:
        self._renewal = renewal
        self._clock = clock
        self._flights: Flights[Need] = Flights(self._renew, asked=renewal.provider, tasks=tasks, clock=clock)

    def at_once(self, session: Session, *, provider: str, target: Target) -> AccessToken | None:
        """The access token while it is fresh, or stale, whose refresh then begins unless it is too early; None once it has expired.

        Raises:
            LoginRequired: there is no grant, or it has ended.
            ProviderMisbehaved: the grant gives no token for this target, and a sign-in would not help.
        """
        now = self._clock()
        grant = self._renewal.newest(session, provider)
        if grant is None or grants.ended(grant, now=now):
            refusal = None if grant is None else grant.refusal(target)
            raise LoginRequired(
                "This session holds nothing from the provider of this route.", provider=provider, reason=refusal
            )
        token = grant.access_token(target)
        state = freshness(token, renewable=grants.renewable(grant, target, now=now), now=now)
        if state is Freshness.ENDED:
            raise grants.not_renewable(grant, target, now=now)
        if state is Freshness.EXPIRED:
            return None
        if token is not None and state is Freshness.STALE and self._renewal.may_begin(token, now=now):
            self._flights.begin(Need(session_key=session.key, provider=provider, target=target))
        return token

    async def usable(self, session: Session, *, provider: str, target: Target) -> AccessToken:
        """The access token to use now: at once while it is fresh or stale, after the refresh once it has expired.

        Raises:
            LoginRequired: there is no grant, or it has ended.
            ProviderError: no token now, though the grant lives.
            StoreUnavailable: the session cannot be read or written.
        """
        token = self.at_once(session, provider=provider, target=target)
        if token is not None:
            return token
        need = Need(session_key=session.key, provider=provider, target=target)
        return await self._flights.result(need, provider=provider)

    async def instead_of(
        self, rejected: AccessToken, session: Session, *, provider: str, target: Target
    ) -> AccessToken | None:
        """Another token in place of one that the upstream answered with 401; None if there is none to be had now."""
        grant = self._renewal.newest(session, provider)
        if grant is None or not grants.renewable(grant, target, now=self._clock()):
            return None
        need = Need(session_key=session.key, provider=provider, target=target)
        known = await self._renewal.known_instead_of(rejected, need)
        if known is not None:
            return known
        return await self._flights.instead_of(rejected, need, provider=provider)

    async def _renew(self, need: Need, rejected: str | None, sending: Sending) -> AccessToken:
        try:
            return await self._renewal.run(need, rejected=rejected, sending=sending)
        except BffError as error:
            telemetry.refresh_failed(error, provider=need.provider, session_key=need.session_key)
            raise
