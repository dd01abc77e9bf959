"""What the demo provider gave to whom: codes, refresh tokens and the grants behind them. Pure: `now` is an argument.

- A code is redeemed once, within 60 s, by the client, redirect URI and code_verifier that it was made for. A code that
  comes back revokes what it gave (RFC 6749 section 4.1.2).
- Each use of a refresh token replaces it. A replaced one that comes back means that two parties hold the grant, and
  which is the thief is not known: the grant ends for both (RFC 9700 section 4.14.2).
- A token works for the client it was given to; in other hands it is unknown.
"""

import base64
import hashlib
import secrets
from dataclasses import dataclass, field, replace

CODE_LIFETIME_SECONDS = 60.0
CODES_REMEMBERED_SECONDS = 600.0


class OAuthError(Exception):
    """An error response of RFC 6749 section 5.2 (or 4.1.2.1 when it goes through the browser)."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error = error
        self.description = description
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A registered client; `auth_method` None takes either way of sending the secret."""

    client_id: str
    secret: str = field(repr=False)
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ("openid", "profile", "email", "offline_access")
    auth_method: str | None = None
    backchannel_logout_uri: str | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """What a user allowed a client, as settled by one authorization request."""

    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    resources: tuple[str, ...]
    nonce: str | None = field(repr=False)
    code_challenge: str = field(repr=False)
    user: str
    auth_time: float
    sid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """An authorization that was turned into tokens; its `grant_id` names the whole family."""

    grant_id: str
    authorization: Authorization


@dataclass(frozen=True, slots=True, kw_only=True)
class _Code:
    grant: Grant
    issued_at: float
    redeemed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _RefreshToken:
    grant: Grant
    replaced: bool = False


def s256(code_verifier: str) -> str:
    """The code_challenge of a verifier (RFC 7636 section 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(code_verifier.encode()).digest()).rstrip(b"=").decode()


class GrantBook:
    """Every grant that is alive, and every code and refresh token that was ever given for one."""

    def __init__(self) -> None:
        self._codes: dict[str, _Code] = {}
        self._refresh_tokens: dict[str, _RefreshToken] = {}
        self._alive: set[str] = set()

    def issue_code(self, authorization: Authorization, *, now: float) -> str:
        """A fresh authorization code for this authorization."""
        self._forget_old_codes(now)
        code = secrets.token_urlsafe(24)
        grant = Grant(grant_id=secrets.token_urlsafe(12), authorization=authorization)
        self._codes[code] = _Code(grant=grant, issued_at=now)
        return code

    def _forget_old_codes(self, now: float) -> None:
        for code, record in list(self._codes.items()):
            if now - record.issued_at > CODES_REMEMBERED_SECONDS:
                del self._codes[code]

    def redeem_code(self, code: str, *, client_id: str, redirect_uri: str, code_verifier: str, now: float) -> Grant:
        """Turn a code into a living grant.

        Raises:
            OAuthError: `invalid_grant`; a code that was already redeemed also ends the grant that it gave.
        """
        record = self._codes.get(code)
        if record is None or record.grant.authorization.client_id != client_id:
            raise OAuthError("invalid_grant", "unknown code")
        if record.redeemed:
            self.end(record.grant.grant_id)
            raise OAuthError("invalid_grant", "the code was used before; what it gave is revoked")
        self._codes[code] = replace(record, redeemed=True)
        _check_redemption(record, redirect_uri=redirect_uri, code_verifier=code_verifier, now=now)
        self._alive.add(record.grant.grant_id)
        return record.grant

    def issue_refresh_token(self, grant: Grant) -> str:
        """A refresh token of this grant."""
        token = secrets.token_urlsafe(32)
        self._refresh_tokens[token] = _RefreshToken(grant=grant)
        return token

    def refresh_grant(self, token: str, *, client_id: str) -> Grant:
        """The living grant behind a refresh token.

        Raises:
            OAuthError: `invalid_grant`; a token that was already replaced also ends its grant.
        """
        record = self._refresh_tokens.get(token)
        if record is None or record.grant.authorization.client_id != client_id:
            raise OAuthError("invalid_grant", "unknown refresh token")
        if record.replaced:
            self.end(record.grant.grant_id)
            raise OAuthError("invalid_grant", "the refresh token was used before; its grant is revoked")
        if not self.is_alive(record.grant.grant_id):
            raise OAuthError("invalid_grant", "the grant was revoked")
        return record.grant

    def replace_refresh_token(self, token: str) -> str:
        """Rotate: the old token is spent, the new one is returned."""
        record = self._refresh_tokens[token]
        self._refresh_tokens[token] = replace(record, replaced=True)
        return self.issue_refresh_token(record.grant)

    def grant_of_refresh_token(self, token: str) -> Grant | None:
        """Whose refresh token this is, spent or not; judges nothing."""
        record = self._refresh_tokens.get(token)
        return None if record is None else record.grant

    def is_alive(self, grant_id: str) -> bool:
        """Whether the grant was begun and not ended."""
        return grant_id in self._alive

    def end(self, grant_id: str) -> None:
        """Revoke the grant; ending it twice is the same as once."""
        self._alive.discard(grant_id)


def _check_redemption(record: _Code, *, redirect_uri: str, code_verifier: str, now: float) -> None:
    authorization = record.grant.authorization
    if now - record.issued_at > CODE_LIFETIME_SECONDS:
        raise OAuthError("invalid_grant", "the code has expired")
    if redirect_uri != authorization.redirect_uri:
        raise OAuthError("invalid_grant", "redirect_uri is not the one of the authorization request")
    if not secrets.compare_digest(s256(code_verifier).encode(), authorization.code_challenge.encode()):
        raise OAuthError("invalid_grant", "code_verifier does not fit the code_challenge")
