"""One refresh, start to end, under the lease: read, ask, judge, store (RFC 6749 section 6, OpenID Connect Core section 12.2).

Rules kept here:

- The session is read again once the lease is ours: its former holder may have refreshed already (oauth2-proxy #1992).
- The new refresh token is stored before the access token that came with it is used (invariant 5).
- Writes are conditional (invariant 6): a session that went away meanwhile stays away, and its new refresh token is revoked.
- Only `invalid_grant`, and a refreshed ID token that names another user, ends a grant (invariant 7). Any other refusal that only
  the user can mend ends the renewal of one target (R-320, R-321).
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from bff.backoff import Backoff
from bff.clock import Clock
from bff.errors import (
    JwtRefused,
    LoginRequired,
    ProviderError,
    ProviderRefused,
    ProviderUnavailable,
    StoreUnavailable,
)
from bff.oauth.id_token import IdToken, check_refreshed_id_token
from bff.oauth.refresh_refusal import only_the_user_can_mend
from bff.oauth.tokens import TokenResponse
from bff.provider.client import KeyUndecided, Provider
from bff.sessions.model import AccessToken, Freshness, Grant, Session, Target, freshness
from bff.sessions.store import SessionStore
from bff.telemetry import tokens as telemetry
from bff.tokens import grants
from bff.tokens.lease import lease

WRITE_ATTEMPTS = 8
WRITE_BACKOFF = Backoff(first_seconds=0.15, longest_seconds=20.0)  # 8 tries in some 14 s


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
        store: SessionStore,
        providers: Mapping[str, Provider],
        clock: Clock,
        write_backoff: Backoff = WRITE_BACKOFF,
    ) -> None:
        self._store = store
        self._providers = providers
        self._clock = clock
        self._write_backoff = write_backoff

    async def run(self, need: Need, *, rejected: str | None) -> AccessToken:
        """A fresh access token other than `rejected`, from the store if another worker was faster, else from the provider.

        Raises:
            LoginRequired: the session, or what it held from this provider, is gone.
            ProviderError: no answer that could be used; the grant stays as it was.
            StoreUnavailable: the session cannot be read, or the result not be kept.
        """
        async with lease(self._store, need.session_key):
            session, grant = await self._read(need)
            known = self._renewed_by_another(grant, need, rejected=rejected)
            if known is not None:
                return known
            try:
                response = await self._ask(grant, need)
                id_token = await self._judge(response, grant, session)
            except (ProviderRefused, JwtRefused) as refused:
                return await self._refused(refused, grant, need, rejected=rejected)
            self._note_clock(id_token, need)
            token = grants.access_token(response, now=self._clock())
            renewed = grants.refreshed(grant, response, target=need.target, token=token, id_token=id_token)
            await self._keep(renewed, session, used=grant)
            telemetry.refreshed(provider=need.provider, session_key=need.session_key)
            return token

    async def known_instead_of(self, rejected: AccessToken, need: Need) -> AccessToken | None:
        """The token that has taken the place of a rejected one since the request began; None while there is no other."""
        try:
            _, grant = await self._read(need)
        except (LoginRequired, StoreUnavailable):
            return None
        token = grant.access_token(need.target)
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

    async def _judge(self, response: TokenResponse, grant: Grant, session: Session) -> IdToken | None:
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
        await self._keep(grants.with_refresh_token(grant, response), session, used=grant)
        raise outage

    async def _refused(
        self, refused: ProviderRefused | JwtRefused, grant: Grant, need: Need, *, rejected: str | None
    ) -> AccessToken:
        """What a refusal means: what is over is written down before we say so, unless another worker was faster."""
        if isinstance(refused, ProviderRefused) and not only_the_user_can_mend(refused):
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
            await provider.verify(response.id_token, types=("JWT",)),
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

    async def _keep(self, renewed: Grant, session: Session, *, used: Grant) -> None:
        """Write the grant; a store in trouble is tried for some seconds, because the old refresh token is spent."""
        for attempt in range(1, WRITE_ATTEMPTS + 1):
            try:
                if await self._written(
                    session, lambda now: now.with_grant(renewed) if now.grant(renewed.provider) else None
                ):
                    return
                break
            except StoreUnavailable:
                if attempt == WRITE_ATTEMPTS:
                    telemetry.refresh_lost(provider=renewed.provider, session_key=session.key)
                    raise
            await asyncio.sleep(self._write_backoff.pause_seconds(attempt))
        await self._discard(renewed, used=used)
        raise LoginRequired("The session ended while its token was refreshed.", provider=renewed.provider)

    async def _discard(self, renewed: Grant, *, used: Grant) -> None:
        """The session is gone: the tokens that it would have held must not be used."""
        token = renewed.refresh_token or used.refresh_token
        if token is None:
            return
        try:
            await self._providers[renewed.provider].revoke(token, token_type_hint="refresh_token")  # noqa: S106 - a type's name
        except ProviderError as error:
            telemetry.revocation_failed(error, provider=renewed.provider)

    async def _end(self, session: Session, need: Need, *, cause: ProviderError) -> None:
        """Remove a grant that is over, and the session with its last one."""
        is_last = len(session.grants) == 1
        if is_last:
            await self._store.delete(session.key)
        else:
            await self._written(session, lambda now: now.without_grant(need.provider))
        telemetry.grant_ended(cause, session_key=session.key, session_ended=is_last)

    async def _written(self, session: Session, change: Callable[[Session], Session | None]) -> bool:
        """Apply `change` to the newest version of the session; False if the session is gone, or what was to be changed in it."""
        current: Session | None = session
        while current is not None:
            changed = change(current)
            if changed is None:
                return False
            if await self._store.replace(changed, now=self._clock()) is not None:
                return True
            live = await self._store.read(session.key, touch=False, now=self._clock())
            current = live.session if live else None
        return False


def _with_refusal(session: Session, *, need: Need, code: str) -> Session | None:
    """The session whose provider renews this target no more; None if its grant is gone."""
    grant = session.grant(need.provider)
    return None if grant is None else session.with_grant(grant.with_refusal(need.target, code))
