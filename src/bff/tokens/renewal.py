"""One refresh, start to end, under the lease: read, mark, ask, judge, store (RFC 6749 section 6, OpenID Connect Core section 12.2).

Rules kept here:

- The session is read again once the lease is ours: its former holder may have refreshed already (oauth2-proxy #1992).
- The refresh token is marked before it is sent; what another process has marked is not sent (R-341). At a provider whose refreshes
  leave the refresh token as it is, the mark ends with the lease: the token of a process that died is good, and is sent again.
- The new refresh token is stored before the access token that came with it is used (invariant 5). If the store does not take it,
  it is kept in this process until it does (R-340).
- Writes are conditional (invariant 6): a session that went away meanwhile stays away, and its new refresh token is revoked.
- Only `invalid_grant`, and a refreshed ID token that fails a check other than of its times, end a grant (invariant 7). Any other
  refusal that only the user can mend ends the renewal of one target (R-320, R-321).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bff.errors import (
    JwtRefused,
    LoginRequired,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    StoreUnavailable,
)
from bff.oauth.id_token import IdToken, check_refreshed_id_token
from bff.oauth.refresh_refusal import only_the_user_can_mend_the_refresh
from bff.oauth.tokens import TokenResponse
from bff.provider.client import Provider
from bff.provider.identity import KeyUndecided
from bff.sessions import fates
from bff.sessions.model import AccessToken, Freshness, Grant, Session, Target, freshness
from bff.sessions.store import Begun, MarkEnd, Spent
from bff.telemetry import tokens as telemetry
from bff.tokens import grants
from bff.tokens.flights import Sending
from bff.tokens.renewing import Renewing
from bff.tokens.revoking import revoked
from bff.tokens.writing import grant_written, written

LOOK_EVERY_SECONDS = 2.0  # while another process asks, if no message comes
GRACE_SECONDS = 30.0  # after the provider's limit: for the write
UNKNOWN_PAUSE_SECONDS = 2.0  # after a call that ended without an answer, for all processes
MARK_LIFETIME_SECONDS = 24 * 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Whose access token is wanted and what for: everything that tells one refresh from another (invariant 8)."""

    session_key: str
    provider: str
    target: Target


class Renewal:
    """Renews the access tokens of grants."""

    def __init__(
        self,
        *,
        renewing: Renewing,
        providers: Mapping[str, Provider],
        unknown_pause_seconds: float = UNKNOWN_PAUSE_SECONDS,
    ) -> None:
        self._unknown_pause_seconds = unknown_pause_seconds
        self._store = renewing.store
        self._clock = renewing.clock
        self._holder = renewing.holder
        self._kept = renewing.kept
        self._waits = renewing.waits
        self._providers = providers
        self._rotations: dict[str, bool] = {}  # whether a provider gave a new refresh token at any refresh so far

    def provider(self, need: Need) -> Provider:
        """Who is asked for this."""
        return self._providers[need.provider]

    def may_begin(self, token: AccessToken, *, now: float) -> bool:
        """Whether a token that still serves may be renewed now: another process may have a newer refresh token to write, and the token
        may serve until it has."""
        wait = self._kept.settles_in_seconds
        return not wait or (token.expires_at is not None and token.expires_at - now <= wait)

    def newest(self, session: Session, provider: str) -> Grant | None:
        """The session's grant from this provider: of what was renewed here and is not yet written, that."""
        return self._kept.newest(session, provider)

    async def run(self, need: Need, *, rejected: str | None, sending: Sending) -> AccessToken:
        """A fresh access token other than `rejected`, from the store if another process was faster, else from the provider.

        Raises:
            LoginRequired: the session, or what it held from this provider, is gone.
            ProviderError: no answer that could be used; the grant stays as it was.
            StoreUnavailable: the session cannot be read.
        """
        async with self._holder.turn(need.session_key):
            while True:
                await self._kept.flush(need.session_key)
                async with self.provider(need).place():
                    token = await self._attempt(need, rejected=rejected, sending=sending)
                if token is not None:
                    return token
                sending.by_another()
                await self._waits.changed(need.session_key, within_seconds=LOOK_EVERY_SECONDS)

    async def _attempt(self, need: Need, *, rejected: str | None, sending: Sending) -> AccessToken | None:
        """A fresh token; None: another process asks for one now."""
        session, grant = await self._read(need)
        if self._kept.kept_again(session, need.provider):
            await self._kept.flush(need.session_key)
            _, grant = await self._read(need)
        known = self._renewed_by_another(grant, need, rejected=rejected)
        if known is not None:
            return known
        provider = self.provider(need)
        await sending.admission()  # others may have found out, while this call queued, that the provider is in trouble
        await provider.metadata()  # before the mark: without an endpoint nothing is sent, and nothing spent
        begun = await self._holder.begin(
            need.session_key,
            provider=need.provider,
            refresh_token=grant.refresh_token or "",
            mark_lifetime_seconds=MARK_LIFETIME_SECONDS,
            rotates=self._rotations.get(need.provider, True),
        )
        if isinstance(begun, Spent):
            self._check_answer_may_come(begun, need)
        if begun is not Begun.YES:
            return None
        mark = MarkFate()
        try:
            async with self._holder.extending(need.session_key):
                return await self._renew(grant, need, mark, rejected=rejected, sending=sending)
        finally:
            await self._holder.end(need.session_key, provider=need.provider, mark=mark.end)

    def _check_answer_may_come(self, spent: Spent, need: Need) -> None:
        """A token that another process may have spent is never sent again (R-341). When its answer cannot come any more, the person
        has to sign in.

        Raises:
            LoginRequired: `outcome_unknown`: the provider's limit and a grace have passed.
        """
        if spent.age_seconds > self.provider(need).call_limit_seconds + GRACE_SECONDS:
            raise LoginRequired("The sign-in cannot be renewed.", provider=need.provider, reason="outcome_unknown")

    async def _renew(
        self, marked: Grant, need: Need, mark: "MarkFate", *, rejected: str | None, sending: Sending
    ) -> AccessToken | None:
        """Ask, judge, store: the lease is ours, and the refresh token of `marked` is marked."""
        session, grant = await self._read(need)
        known = self._renewed_by_another(grant, need, rejected=rejected)
        if known is not None:
            return known
        if grant.refresh_token != marked.refresh_token:
            return None  # renewed between our two readings, for another target: mark the new one
        mark.end = MarkEnd.KEEP
        sending.now()
        try:
            response = await self._ask(grant, need)
        except ProviderRefused as refused:
            mark.end = MarkEnd.DROP
            return await self._refused(refused, grant, need, rejected=rejected)
        except ProviderUnavailable as error:
            mark.end = self._unknown_pause_seconds if error.unanswered else MarkEnd.DROP
            raise
        except ProviderError:
            mark.end = MarkEnd.DROP
            raise
        except asyncio.CancelledError:
            telemetry.abandoned(provider=need.provider, session_key=need.session_key, cause="not_answered")
            raise
        self._note_rotation(grant, response)
        try:
            id_token = await self._judge(response, grant, session, mark)
        except JwtRefused as forged:
            mark.end = MarkEnd.DROP
            return await self._refused(forged, grant, need, rejected=rejected)
        self._note_clock(id_token, need)
        token = grants.access_token(response, now=self._clock())
        renewed = grants.refreshed(grant, response, target=need.target, token=token, id_token=id_token)
        if await self._keep(renewed, session, used=grant):
            mark.end = MarkEnd.DROP
            telemetry.refreshed(provider=need.provider, session_key=need.session_key)
        return token

    def _note_rotation(self, grant: Grant, response: TokenResponse) -> None:
        rotated = response.refresh_token not in {None, grant.refresh_token}
        self._rotations[grant.provider] = rotated or self._rotations.get(grant.provider, False)

    async def known_instead_of(self, rejected: AccessToken, need: Need) -> AccessToken | None:
        """The token that has taken the place of a rejected one since the request began; None while there is no other."""
        try:
            session, _ = await self._read(need)
        except (LoginRequired, StoreUnavailable):
            return None
        grant = self.newest(session, need.provider)
        token = None if grant is None else grant.access_token(need.target)
        state = freshness(token, renewable=True, now=self._clock())
        return None if token is None or token.value == rejected.value or state is Freshness.EXPIRED else token

    async def _read(self, need: Need) -> tuple[Session, Grant]:
        live = await self._store.read(need.session_key, touch=False, now=self._clock())
        grant = live.session.grant(need.provider) if live else None
        if live is None or grant is None:
            raise LoginRequired("The session has ended.", provider=need.provider)
        return live.session, grant

    def _renewed_by_another(self, grant: Grant, need: Need, *, rejected: str | None) -> AccessToken | None:
        now = self._clock()
        token = grant.access_token(need.target)
        renewable = grants.renewable(grant, need.target, now=now)
        fresh = freshness(token, renewable=renewable, now=now) is Freshness.FRESH
        if token is not None and fresh and token.value != rejected:
            return token
        if not renewable:
            raise grants.not_renewable(grant, need.target, now=now)
        return None

    async def _ask(self, grant: Grant, need: Need) -> TokenResponse:
        return await self._providers[need.provider].refresh(
            grant.refresh_token or "",
            scope=need.target.scope,
            resource=need.target.resource,
            audience=need.target.audience,
            dpop_seed=grant.dpop_seed,
        )

    async def _judge(self, response: TokenResponse, grant: Grant, session: Session, mark: "MarkFate") -> IdToken | None:
        """The ID token, if there is one and it is right. Without keys to judge by nothing is used, but the refresh token is kept:
        the old one is spent."""
        try:
            return await self._check_id_token(self._providers[grant.provider], grant, response)
        except KeyUndecided as undecided:
            outage: ProviderError = ProviderUnavailable(
                "its keys cannot be fetched now", provider=grant.provider, reason="keys"
            )
            outage.__cause__ = undecided
        except JwtRefused:
            raise
        except ProviderError as unavailable:
            outage = unavailable
        if await self._keep(grants.with_refresh_token(grant, response), session, used=grant):
            mark.end = MarkEnd.DROP
        raise outage

    async def _refused(
        self, refused: ProviderRefused | JwtRefused, grant: Grant, need: Need, *, rejected: str | None
    ) -> AccessToken:
        """What a refusal means: what is over is written down before we say so, unless another worker was faster."""
        if isinstance(refused, ProviderRefused) and not only_the_user_can_mend_the_refresh(refused):
            raise refused
        session, current = await self._read(need)
        if current.refresh_token == grant.refresh_token:
            return await self._over(refused, session, current, need)
        known = self._renewed_by_another(current, need, rejected=rejected)
        if known is None:
            raise ProviderUnavailable(
                "was asked by another at the same time", provider=need.provider, reason="asked_by_another"
            ) from refused
        return known

    async def _over(
        self, refused: ProviderRefused | JwtRefused, session: Session, grant: Grant, need: Need
    ) -> AccessToken:
        """A forged ID token ends the grant. So does `invalid_grant`, unless another target's token shows that it may be about this
        target alone (R-321). Every other refusal ends the renewal of one target; its token serves until it expires (R-320)."""
        if isinstance(refused, JwtRefused):
            await self._end(session, need, cause=refused)
            raise LoginRequired(
                "The sign-in has ended at the provider.", provider=need.provider, reason=refused.reason
            ) from refused
        if refused.error == "invalid_grant" and not grants.others_serve(grant, need.target, now=self._clock()):
            await self._end(session, need, cause=refused)
            raise LoginRequired(
                "The sign-in has ended at the provider.", provider=need.provider, reason=refused.error
            ) from refused
        await self._written(session, partial(_with_refusal, need=need, code=refused.error))
        telemetry.target_refused(provider=need.provider, session_key=need.session_key, reason=refused.error)
        raise LoginRequired(
            "The provider wants you to sign in again.", provider=need.provider, reason=refused.error
        ) from refused

    def _note_clock(self, id_token: IdToken | None, need: Need) -> None:
        """Say that a refreshed ID token's times do not fit to our clock; its tokens are used (R-324)."""
        if id_token is not None and id_token.wrong_time is not None:
            telemetry.clock_disagrees(provider=need.provider, claim=id_token.wrong_time)

    async def _check_id_token(self, provider: Provider, grant: Grant, response: TokenResponse) -> IdToken | None:
        if response.id_token is None or grant.subject is None or grant.id_token is None:
            return None
        return check_refreshed_id_token(
            await provider.identity.verify(response.id_token, types=("JWT",)),
            provider=provider.name,
            issuer=grant.issuer,
            client_id=provider.config.client_id,
            subject=grant.subject,
            auth_time=grant.auth_time,
            nonce=grant.nonce,
            sid=grant.sid,
            access_token=response.access_token,
            now=self._clock(),
            leeway=provider.config.leeway,
            trusted_audiences=provider.config.trusted_audiences,
        )

    async def _keep(self, renewed: Grant, session: Session, *, used: Grant) -> bool:
        """Write the grant; False: the store does not take it now, so it is kept here until it does (R-340).

        Raises:
            LoginRequired: the session is gone.
        """
        discard = partial(self._discard, renewed, used=used)
        try:
            kept = await grant_written(self._store, session, renewed, used=used, clock=self._clock)
        except StoreUnavailable:
            self._kept.keep(renewed, used=used, session=session, discard=discard)
            return False
        if not kept:
            await discard()
            raise LoginRequired("The session ended while its token was refreshed.", provider=renewed.provider)
        self._kept.written(renewed, used=used, session=session, discard=discard)
        return True

    async def _discard(self, renewed: Grant, *, used: Grant) -> None:
        """The session is gone: the tokens that it would have held must not be used."""
        token = renewed.refresh_token or used.refresh_token
        if token is not None:
            await revoked([(token, "refresh_token")], provider=self._providers[renewed.provider])

    async def _end(self, session: Session, need: Need, *, cause: ProviderError) -> None:
        """Remove a grant that is over, and the session with its last one."""
        is_last = len(session.grants) == 1
        if is_last:
            await self._store.delete(session.key)
        else:
            await self._written(session, lambda now: now.without_grant(need.provider))
        telemetry.grant_ended(cause, session_key=session.key)
        if is_last:
            await fates.ended(self._store, session.key, cause="grant_ended", now=self._clock())

    async def _written(self, session: Session, change: Callable[[Session], Session | None]) -> bool:
        return await written(self._store, session, change, clock=self._clock)


class MarkFate:
    """What becomes of the mark when the block ends, however it ends."""

    def __init__(self) -> None:
        self.end: MarkEnd | float = MarkEnd.DROP


def _with_refusal(session: Session, *, need: Need, code: str) -> Session | None:
    """The session whose provider renews this target no more; None if its grant is gone."""
    grant = session.grant(need.provider)
    return None if grant is None else session.with_grant(grant.with_refusal(need.target, code))
