"""Where the access token of one forwarded request comes from: the signed-in user's grant, or the gateway's own credentials.

A source is a value for one request. It answers at once if a token is usable now, can be waited for, and finds another token when the
upstream has rejected one. `bearer` gives the fields that carry a token upstream (RFC 6750 section 2.1).
"""

import math
from typing import NamedTuple, Protocol

from bff.oauth.tokens import Exchange
from bff.request_head import FieldBlock, field_block
from bff.sessions.model import AccessToken, Session, Target
from bff.tokens.client_credentials import ClientCredentials
from bff.tokens.exchanged import ExchangedTokens, Wanted
from bff.tokens.refresh import Refresher


class TokenSource(Protocol):
    """One of those below."""

    def fresh_until(self, token: AccessToken) -> float:
        """Until when `at_once` gives this token and does nothing else, as long as the session does not change."""
        ...

    def at_once(self) -> AccessToken | None:
        """The token if it is fresh, or stale (then its renewal begins); None: it has to be waited for.

        Raises:
            LoginRequired, ProviderMisbehaved: there will be none.
        """
        ...

    async def usable(self) -> AccessToken:
        """The token, after its renewal if it has expired.

        Raises:
            LoginRequired: a sign-in is needed.
            ProviderError, StoreUnavailable: none to be had now.
        """
        ...

    async def instead_of(self, rejected: AccessToken) -> AccessToken | None:
        """Another token in place of one that the upstream answered with 401; None: none to be had now."""
        ...


class UserToken(NamedTuple):
    """The access token that a provider granted the user of a session."""

    refresher: Refresher
    session: Session
    provider: str
    target: Target

    def fresh_until(self, token: AccessToken) -> float:
        """See TokenSource."""
        grant = self.session.grant(self.provider)
        ends = [token.refresh_at, token.expires_at, None if grant is None else grant.refresh_token_expires_at]
        return min((end for end in ends if end is not None), default=math.inf)

    def at_once(self) -> AccessToken | None:
        """See TokenSource."""
        return self.refresher.at_once(self.session, provider=self.provider, target=self.target)

    async def usable(self) -> AccessToken:
        """See TokenSource."""
        return await self.refresher.usable(self.session, provider=self.provider, target=self.target)

    async def instead_of(self, rejected: AccessToken) -> AccessToken | None:
        """See TokenSource."""
        return await self.refresher.instead_of(rejected, self.session, provider=self.provider, target=self.target)


class ClientToken(NamedTuple):
    """The gateway's own access token (RFC 6749 section 4.4)."""

    client_credentials: ClientCredentials
    provider: str
    target: Target

    def fresh_until(self, token: AccessToken) -> float:
        """See TokenSource. It may be fetched anew at any time."""
        return 0.0

    def at_once(self) -> AccessToken | None:
        """See TokenSource."""
        return self.client_credentials.at_once(provider=self.provider, target=self.target)

    async def usable(self) -> AccessToken:
        """See TokenSource."""
        return await self.client_credentials.usable(provider=self.provider, target=self.target)

    async def instead_of(self, rejected: AccessToken) -> AccessToken | None:
        """See TokenSource."""
        return await self.client_credentials.instead_of(rejected, provider=self.provider, target=self.target)


class ExchangedToken(NamedTuple):
    """A token for one upstream, that the provider gave in exchange for the user's (RFC 8693)."""

    exchanged: ExchangedTokens
    users: UserToken
    exchange: Exchange

    def fresh_until(self, token: AccessToken) -> float:
        """See TokenSource. It may be exchanged anew at any time."""
        return 0.0

    def at_once(self) -> AccessToken | None:
        """See TokenSource."""
        self.users.at_once()  # raises if the user's grant has ended, and has its token renewed in time
        return self.exchanged.at_once(self._wanted)

    async def usable(self) -> AccessToken:
        """See TokenSource."""
        self.users.at_once()
        return await self.exchanged.usable(self._wanted)

    async def instead_of(self, rejected: AccessToken) -> AccessToken | None:
        """See TokenSource."""
        return await self.exchanged.instead_of(rejected, self._wanted)

    @property
    def _wanted(self) -> Wanted:
        users = self.users
        grant = users.session.grant(users.provider)
        return Wanted(
            session_key=users.session.key,
            provider=users.provider,
            issuer="" if grant is None else grant.issuer,
            subject=None if grant is None else grant.subject,
            granted_at=0.0 if grant is None else grant.granted_at,
            target=users.target,
            exchange=self.exchange,
            users=users,
        )


class BroughtToken(NamedTuple):
    """The bearer token that a request brings itself (`bearer: pass`): opaque, forwarded as it is, never renewed."""

    value: str

    def fresh_until(self, token: AccessToken) -> float:
        """See TokenSource. It belongs to one request."""
        return 0.0

    def at_once(self) -> AccessToken:
        """See TokenSource."""
        return AccessToken(value=self.value, expires_at=None, refresh_at=None)

    async def usable(self) -> AccessToken:
        """See TokenSource."""
        return self.at_once()

    async def instead_of(self, rejected: AccessToken) -> AccessToken | None:
        """See TokenSource: the caller has to bring another."""
        return None


def bearer(token: AccessToken) -> FieldBlock:
    """The field that carries the token; its characters were judged when it was received (RFC 6749 section 5.1).

    Raises:
        ValueError: the token is bound to a key, and is never a bearer's (`proofs.py`).
    """
    if token.dpop_seed is not None:
        raise ValueError("a bound token is no bearer token")
    return field_block([(b"authorization", b"Bearer " + token.value.encode("ascii"))])
