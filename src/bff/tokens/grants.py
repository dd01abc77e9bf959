"""From token responses to grants: values, nothing is asked and nothing is kept here."""

from dataclasses import replace

from bff.backoff import even_chance
from bff.config.model import ProviderConfig
from bff.errors import BffError, LoginRequired, ProviderMisbehaved
from bff.issuers import accepts
from bff.oauth.id_token import IdToken
from bff.oauth.tokens import TokenResponse
from bff.sessions.model import AccessToken, Grant, Target, refresh_instant

DEAD_ON_ARRIVAL_SECONDS = 10.0


def access_token(response: TokenResponse, *, now: float) -> AccessToken:
    """The access token of a response that was received at `now`."""
    return AccessToken(
        value=response.access_token,
        expires_at=response.expires_at,
        refresh_at=refresh_instant(now=now, expires_at=response.expires_at, jitter=even_chance()),
        dpop_seed=response.dpop_seed,
        received_at=now,
        scope=response.scope,
    )


def granted(
    response: TokenResponse,
    *,
    provider: str,
    issuer: str,
    client_id: str,
    target: Target,
    id_token: IdToken | None,
    userinfo: dict[str, object],
    subject: str | None = None,
    now: float,
) -> Grant:
    """What a sign-in gave us. The ID token was checked before; plain OAuth 2.0 has none, and then `subject` is the user."""
    return Grant(
        provider=provider,
        issuer=issuer,
        client_id=client_id,
        subject=id_token.subject if id_token else subject,
        sid=id_token.sid if id_token else None,
        claims={**userinfo, **(id_token.claims if id_token else {})},
        auth_time=id_token.auth_time if id_token else None,
        nonce=id_token.nonce if id_token else None,
        id_token=response.id_token if id_token else None,
        refresh_token=response.refresh_token,
        refresh_token_expires_at=response.refresh_token_expires_at,
        access_tokens=((target, access_token(response, now=now)),),
        granted_at=now,
        dpop_seed=response.dpop_seed,
    )


def refreshed(
    grant: Grant, response: TokenResponse, *, target: Target, token: AccessToken, id_token: IdToken | None
) -> Grant:
    """The grant after a refresh: a new refresh token takes the old one's place, none leaves it (RFC 6749 section 6)."""
    renewed = with_refresh_token(grant, response).with_access_token(target, token)
    if id_token is not None:
        renewed = replace(
            renewed,
            id_token=response.id_token,
            claims={**grant.claims, **id_token.claims},
            auth_time=id_token.auth_time or grant.auth_time,
        )
    return renewed


def with_refresh_token(grant: Grant, response: TokenResponse) -> Grant:
    """The grant with the refresh token of the response, if it brought one."""
    if response.refresh_token is None:
        return grant
    return replace(
        grant, refresh_token=response.refresh_token, refresh_token_expires_at=response.refresh_token_expires_at
    )


def renewable(grant: Grant, target: Target, *, now: float) -> bool:
    """Whether this grant can still be asked for an access token for this target."""
    if grant.refresh_token is None or grant.refusal(target) is not None:
        return False
    return grant.refresh_token_expires_at is None or now < grant.refresh_token_expires_at


def ended(grant: Grant, *, now: float) -> bool:
    """Whether this grant is over, by the provider's own answer: no session outlives its refresh token (RFC 10017 section 6.1.2.2).

    It is also over when the provider wants the user to sign in again for every target, and no access token serves any more (R-320).
    """
    if grant.refresh_token_expires_at is not None and now >= grant.refresh_token_expires_at:
        return True
    known = [target for target, _ in grant.access_tokens]
    return bool(grant.refusals) and not any(_serves(grant, target, now=now) for target in known)


def others_serve(grant: Grant, target: Target, *, now: float) -> bool:
    """Whether an access token for another target lives, whose renewal was not refused: the refresh token may be good (R-321)."""
    return any(
        known != target and grant.refusal(known) is None and _lives(token, now=now)
        for known, token in grant.access_tokens
    )


def _serves(grant: Grant, target: Target, *, now: float) -> bool:
    return renewable(grant, target, now=now) or _lives(grant.access_token(target), now=now)


def _lives(token: AccessToken | None, *, now: float) -> bool:
    return token is not None and (token.expires_at is None or now < token.expires_at)


def not_renewable(grant: Grant, target: Target, *, now: float) -> BffError:
    """Why this grant gives no access token any more, and who can mend it.

    A sign-in helps only if it gave us a token that then expired. Where it gave none, or a dead one, another sign-in would give
    the same, and a navigation would run in circles.
    """
    refusal, token = grant.refusal(target), grant.access_token(target)
    if refusal is not None:
        return LoginRequired("The provider wants you to sign in again.", provider=grant.provider, reason=refusal)
    if token is None:
        reason, text = "no_refresh_token", "gave no refresh token, which the resource of this route needs"
        return ProviderMisbehaved(text, provider=grant.provider, reason=reason)
    if now - grant.granted_at < DEAD_ON_ARRIVAL_SECONDS:
        return ProviderMisbehaved(
            "gave an access token that had expired", provider=grant.provider, reason="dead_on_arrival"
        )
    return LoginRequired("The sign-in has ended.", provider=grant.provider)


def is_of(grant: Grant, config: ProviderConfig) -> bool:
    """Whether the provider that is configured so gave it, to the client that we are there (R-143, R-307)."""
    tenants = config.allowed_tenants or ()
    of_issuer = accepts(grant.issuer, template=config.issuer, allowed_tenants=tenants)
    return of_issuer and config.client_id == grant.client_id
