"""Sessions as frozen values, and the freshness of an access token as a table. Pure: `now` is an argument, in Unix
seconds.

    state     condition                              a request               in the background
    fresh     now < refresh_at                       uses it                 -
    stale     refresh_at <= now < expires_at         uses it                 refresh
    expired   now >= expires_at, can be renewed      waits for the refresh   -
    ended     cannot be renewed                      401                     the grant is removed

`refresh_at` is `expires_at` minus the larger of 30 s and a tenth of the lifetime, never more than half of it, with
jitter, so that sessions that began together do not refresh together. An access token without a known expiry is fresh
until the API says 401 (RFC 6749 section 5.1 lets a provider leave `expires_in` out).

A token that was received in the future (`received_at`) is stale: the clock was set back since, by NTP or with the machine's snapshot,
and would keep the token for as long as it went back.
"""

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from enum import Enum

from bff.clock import CLOCKS_DIFFER_SECONDS

LATE_SECONDS = 0.5  # what an answer and a connection may take beyond the expiry of a token that they are for
SHOWN_ID_LENGTH = 32  # of 64 hexadecimal digits


class Freshness(Enum):
    """What may be done with an access token now."""

    FRESH = "fresh"
    STALE = "stale"
    EXPIRED = "expired"
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an access token is for. Two tokens of one grant differ in nothing else (invariant 8)."""

    resource: str | None = None
    audience: str | None = None
    scope: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """An access token as received: opaque, never parsed (RFC 9068 section 6)."""

    value: str = field(repr=False)
    expires_at: float | None
    refresh_at: float | None
    dpop_seed: str | None = field(default=None, repr=False)  # of the key that it is bound to; None: a bearer token
    received_at: float | None = None  # None: by an earlier version
    scope: str | None = None  # what the provider says that it granted; for people, no decision reads it


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who is signed in at a provider, and in which session of the provider's (`sid`)."""

    provider: str
    issuer: str
    subject: str | None
    sid: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What one session holds from one provider. The user is (`issuer`, `subject`), never an e-mail address."""

    provider: str
    issuer: str
    client_id: str  # as whom we asked: another gateway on the same store may be another client
    subject: str | None  # None: plain OAuth 2.0, which names no user
    sid: str | None  # OpenID Connect's claim, for back-channel logout
    claims: dict[str, object] = field(repr=False)
    auth_time: float | None
    nonce: str | None = field(repr=False)
    id_token: str | None = field(repr=False)
    refresh_token: str | None = field(repr=False)
    refresh_token_expires_at: float | None
    access_tokens: tuple[tuple[Target, AccessToken], ...]
    granted_at: float
    dpop_seed: str | None = field(default=None, repr=False)  # of the key that this grant's tokens are bound to
    # targets that the provider renews no more until a sign-in, and its error code
    refusals: tuple[tuple[Target, str], ...] = ()

    @property
    def user(self) -> User:
        """Whose it is."""
        return User(provider=self.provider, issuer=self.issuer, subject=self.subject, sid=self.sid)

    def refusal(self, target: Target) -> str | None:
        """The provider's error code if only another sign-in gives a token for this target again."""
        return next((code for known, code in self.refusals if known == target), None)

    def with_refusal(self, target: Target, code: str) -> "Grant":
        """A new grant whose token for `target` is not renewed any more."""
        return replace(self, refusals=(*(pair for pair in self.refusals if pair[0] != target), (target, code)))

    def access_token(self, target: Target) -> AccessToken | None:
        """The token for this target, or None while it was never fetched."""
        for known, token in self.access_tokens:
            if known == target:
                return token
        return None

    def with_access_token(self, target: Target, token: AccessToken | None) -> "Grant":
        """A new grant in which `token` stands for `target`; None forgets it."""
        others = tuple(pair for pair in self.access_tokens if pair[0] != target)
        return replace(self, access_tokens=others if token is None else (*others, (target, token)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """The record behind a session cookie. `version` counts its changes; only the store sets it."""

    key: str
    version: int
    created_at: float
    absolute_expires_at: float
    grants: tuple[Grant, ...]  # newest sign-in first
    user_agent: str | None = None  # what the browser called itself at the sign-in
    # whose grants have ended, while those of other providers go on: one for each provider
    earlier_users: tuple[User, ...] = ()

    @property
    def users(self) -> tuple[User, ...]:
        """Who is, or was last, signed in at each provider."""
        return (*(grant.user for grant in self.grants), *self.earlier_users)

    def grant(self, provider: str) -> Grant | None:
        """What this session holds from `provider`."""
        for grant in self.grants:
            if grant.provider == provider:
                return grant
        return None

    def has_user(self, *, issuer: str, subject: str | None = None, sid: str | None = None) -> bool:
        """Whether it holds, or held, a grant from `issuer` for this subject or this `sid` (the one that is given).

        One that has ended counts: a provider that ends a sign-in also refuses its refresh token, and its back-channel logout may
        arrive after that refusal.
        """
        return any(
            user.issuer == issuer and (user.subject == subject if sid is None else user.sid == sid)
            for user in self.users
        )

    def with_grant(self, grant: Grant) -> "Session":
        """A new session in which `grant` takes the place of that provider's grant, in front if it is new."""
        if self.grant(grant.provider) is None:
            others = tuple(user for user in self.earlier_users if user.provider != grant.provider)
            return replace(self, grants=(grant, *self.grants), earlier_users=others)
        return replace(self, grants=tuple(grant if g.provider == grant.provider else g for g in self.grants))

    def without_grant(self, provider: str) -> "Session":
        """A new session that holds nothing from `provider`, and remembers whose grant that was."""
        ended = self.grant(provider)
        if ended is None:
            return self
        others = tuple(grant for grant in self.grants if grant.provider != provider)
        return replace(self, grants=others, earlier_users=(*self.earlier_users, ended.user))

    def is_of_another_user(self, grant: Grant) -> bool:
        """Whether another user than that of `grant` is, or was last, signed in at its provider here."""
        known = [user for user in self.users if user.provider == grant.provider]
        return any((user.issuer, user.subject) != (grant.issuer, grant.subject) for user in known)


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSession:
    """A session as just read: with the instant at which it ends if it is not used."""

    session: Session
    idle_expires_at: float

    def last_used_at(self, *, idle_timeout_seconds: float) -> float:
        """When it was used last: a use moves the idle deadline, and nothing else does."""
        return max(self.session.created_at, self.idle_expires_at - idle_timeout_seconds)


def new_session_id() -> str:
    """256 random bits, base64url (43 characters)."""
    return secrets.token_urlsafe(32)


def session_key(session_id: str) -> str:
    """The name under which the store knows a session: a hash, so that a dump of the store opens no session."""
    return hashlib.sha256(b"bff session\0" + session_id.encode()).hexdigest()


def shown_id(key: str) -> str:
    """The id by which people name a session: the beginning of its key. It opens nothing, because the key is a hash of the id in the
    cookie."""
    return key[:SHOWN_ID_LENGTH]


def refresh_instant(*, now: float, expires_at: float | None, jitter: float) -> float | None:
    """When to refresh a token received at `now`; `jitter` in [0, 1) makes the lead up to a tenth longer."""
    if expires_at is None:
        return None
    lifetime = max(expires_at - now, 0.0)
    lead = max(30.0, lifetime / 10) * (1 + jitter / 10)
    return expires_at - min(lead, lifetime / 2)


def is_over(token: AccessToken, *, now: float) -> bool:
    """Whether the token must not be sent any more, though it was usable when it was chosen: time has passed since (R-347)."""
    return token.expires_at is not None and now >= token.expires_at + LATE_SECONDS


def _is_of_the_future(token: AccessToken, *, now: float) -> bool:
    """What another process received is not: its clock may be ahead."""
    return token.received_at is not None and now < token.received_at - CLOCKS_DIFFER_SECONDS


def freshness(token: AccessToken | None, *, renewable: bool, now: float) -> Freshness:
    """The state of a token by the table above; None is a token that was never fetched for its target."""
    if token is None:
        return Freshness.EXPIRED if renewable else Freshness.ENDED
    if token.expires_at is not None and now >= token.expires_at:
        return Freshness.EXPIRED if renewable else Freshness.ENDED
    if renewable and token.refresh_at is not None and (now >= token.refresh_at or _is_of_the_future(token, now=now)):
        return Freshness.STALE
    return Freshness.FRESH
