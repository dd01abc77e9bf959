"""What the demo provider puts into its answers: metadata, ID tokens, access tokens, logout tokens.

Each kind of token has its own `typ`, so that one can never stand for another (RFC 9068 section 2.1, OpenID Connect
Back-Channel Logout 1.0 section 2.4). Every answer goes through one method, so that a subclass in the tests can break
it.
"""

import base64
import hashlib
import secrets
from collections.abc import Sequence
from urllib.parse import urlsplit

from bff.clock import Clock
from bff.demo.grants import Client, Grant, GrantBook, OAuthError
from bff.demo.signing import SigningKeys, TokenError, sign
from bff.loopback import is_loopback

ID_TOKEN_LIFETIME_SECONDS = 300
ACR = "urn:bff:demo:click"  # how people prove who they are here: they click on a name

USERS: dict[str, dict[str, object]] = {
    "alice": {"name": "Alice Adams", "given_name": "Alice", "family_name": "Adams", "email": "alice@example.com"},
    "bob": {"name": "Bob Brown", "given_name": "Bob", "family_name": "Brown", "email": "bob@example.com"},
}
CLAIMS_BY_SCOPE = {
    "profile": ("name", "given_name", "family_name", "preferred_username"),
    "email": ("email", "email_verified"),
}


def user_claims(user: str, scopes: Sequence[str]) -> dict[str, object]:
    """What these scopes tell about a user (OpenID Connect Core section 5.4)."""
    known = {**USERS[user], "preferred_username": user, "email_verified": True}
    return {name: known[name] for scope in scopes for name in CLAIMS_BY_SCOPE.get(scope, ())}


def left_half_hash(value: str) -> str:
    """`at_hash`: the left half of the SHA-256 (OpenID Connect Core section 3.1.3.6)."""
    return base64.urlsafe_b64encode(hashlib.sha256(value.encode()).digest()[:16]).rstrip(b"=").decode()


class TokenIssuer:
    """An issuer on loopback with its keys, clients and grants.

    Raises:
        ValueError: the issuer is not a plain http(s) URL on loopback.
    """

    def __init__(
        self,
        *,
        issuer: str,
        clients: Sequence[Client],
        access_token_lifetime_seconds: int,
        clock: Clock,
        keys: SigningKeys | None = None,
    ) -> None:
        parts = urlsplit(issuer)
        if parts.scheme not in {"http", "https"} or not is_loopback(parts.hostname or ""):
            raise ValueError("the demo provider signs people in without a password: its issuer must be on loopback")
        if parts.query or parts.fragment or issuer.endswith("/"):
            raise ValueError("an issuer has no query, no fragment and no slash at its end")
        self.issuer = issuer
        self.base_path = parts.path
        self.clients = {client.client_id: client for client in clients}
        self.access_token_lifetime_seconds = access_token_lifetime_seconds
        self.clock = clock
        self.keys = keys or SigningKeys()
        self.grants = GrantBook()
        self._revoked_access_tokens: set[str] = set()

    def metadata(self) -> dict[str, object]:
        """OpenID Connect Discovery 1.0 section 3 and RFC 8414 section 2."""
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "jwks_uri": f"{self.issuer}/jwks",
            "revocation_endpoint": f"{self.issuer}/revoke",
            "end_session_endpoint": f"{self.issuer}/end_session",
            "response_types_supported": ["code"],
            "response_modes_supported": ["query", "form_post"],
            "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "revocation_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "code_challenge_methods_supported": ["S256"],
            "prompt_values_supported": ["none", "login", "consent", "select_account"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "claims_supported": ["sub", *CLAIMS_BY_SCOPE["profile"], *CLAIMS_BY_SCOPE["email"]],
            "acr_values_supported": [ACR],
            "authorization_response_iss_parameter_supported": True,
        }

    def jwks(self) -> dict[str, object]:
        """The published JWK Set."""
        return self.keys.published()

    def access_token(
        self, *, subject: str, client: Client, scopes: Sequence[str], resources: Sequence[str], grant_id: str
    ) -> str:
        """A JWT access token (RFC 9068); without a resource it is for the issuer itself."""
        now = int(self.clock())
        audience: object = list(resources) if len(resources) > 1 else (resources[0] if resources else self.issuer)
        claims: dict[str, object] = {
            "iss": self.issuer,
            "sub": subject,
            "aud": audience,
            "client_id": client.client_id,
            "scope": " ".join(scopes),
            "iat": now,
            "exp": now + self.access_token_lifetime_seconds,
            "jti": f"{grant_id}.{secrets.token_urlsafe(8)}",
        }
        return sign(self.keys.current, header={"typ": "at+jwt"}, claims=claims)

    def id_token(self, grant: Grant, *, access_token: str, with_nonce: bool) -> str:
        """Who signed in, for the client (OpenID Connect Core section 2; on refresh without a nonce, section 12.2)."""
        authorization = grant.authorization
        now = int(self.clock())
        claims: dict[str, object] = {
            "iss": self.issuer,
            "sub": authorization.user,
            "aud": authorization.client_id,
            "iat": now,
            "exp": now + ID_TOKEN_LIFETIME_SECONDS,
            "auth_time": int(authorization.auth_time),
            "acr": ACR,
            "sid": authorization.sid,
            "at_hash": left_half_hash(access_token),
            **user_claims(authorization.user, authorization.scopes),
        }
        if with_nonce and authorization.nonce is not None:
            claims["nonce"] = authorization.nonce
        return self.sign_id_token(header={"typ": "JWT"}, claims=claims)

    def sign_id_token(self, *, header: dict[str, object], claims: dict[str, object]) -> str:
        """The last step of every ID token."""
        return sign(self.keys.current, header=header, claims=claims)

    def access_token_claims(self, token: str) -> dict[str, object]:
        """The claims of an access token of ours that still works.

        Raises:
            OAuthError: `invalid_token` (401).
        """
        try:
            claims = self.keys.verify(token, typ="at+jwt")
        except TokenError as error:
            raise OAuthError("invalid_token", "not an access token of this provider", status=401) from error
        token_id = str(claims["jti"])
        expired = self.clock() >= float(str(claims["exp"]))
        ended = claims["sub"] in USERS and not self.grants.is_alive(token_id.partition(".")[0])
        if expired or ended or token_id in self._revoked_access_tokens:
            raise OAuthError("invalid_token", "expired or revoked", status=401)
        return claims

    def revoke_access_token(self, claims: dict[str, object]) -> None:
        """From now on this provider's own endpoints refuse the token; APIs that read it offline cannot know."""
        self._revoked_access_tokens.add(str(claims["jti"]))
