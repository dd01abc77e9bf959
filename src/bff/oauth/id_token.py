"""ID token validation (OpenID Connect Core 3.1.3.7; after a refresh, 12.2).

Takes a `VerifiedJwt`, so the signature, `alg` and `typ` were judged with the keys of this issuer (steps 6 to 8, `jws`).
Here, in this order: iss, aud, azp, not a logout token, sub, exp, iat, nbf, nonce, acr, auth_time, at_hash. Unknown
claims are kept for `/bff/user` and decide nothing. A user is (iss, sub), never an e-mail address.
"""

import hashlib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hmac import compare_digest

from bff.base64url import base64url
from bff.errors import JwtRefused
from bff.issuers import is_template
from bff.oauth.claims import BACKCHANNEL_LOGOUT_EVENT, Claims, check_audience, check_issuer, check_times, wrong_time
from bff.oauth.jws import VerifiedJwt

# Core 12.2: iat of a refreshed ID token "MUST represent the time that the new ID Token is issued", which is now.
# Entra dates it five minutes back.
REFRESHED_WITHIN_SECONDS = 600.0

_PROTOCOL_CLAIMS = frozenset({"nonce", "at_hash", "c_hash", "s_hash", "exp", "iat", "aud", "azp", "nbf", "jti"})
_HASHES = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


@dataclass(frozen=True, slots=True, kw_only=True)
class IdToken:
    """Who signed in, when and how. `claims` are without those that only serve the protocol."""

    subject: str
    claims: dict[str, object] = field(repr=False)
    sid: str | None
    auth_time: float | None
    nonce: str | None = field(repr=False)
    session_expiry: float | None = None  # when the provider's session ends (IPSIE, OpenID Connect profile)
    wrong_time: str | None = None  # after a refresh: `expired`, `iat` or `nbf` where our clock disagrees

    @property
    def issuer(self) -> str:
        """`iss`: of a provider for many tenants, that of the user's own."""
        return str(self.claims["iss"])


def check_id_token(
    jwt: VerifiedJwt,
    *,
    provider: str,
    issuer: str,
    client_id: str,
    nonce: str,
    access_token: str | None,
    now: float,
    leeway: float,
    max_age: float | None = None,
    acr_values: tuple[str, ...] = (),
    allowed_tenants: tuple[str, ...] = (),
    trusted_audiences: tuple[str, ...] = (),
    insecure_no_nonce: bool = False,
) -> IdToken:
    """Judge the ID token of a sign-in; `nonce`, `max_age` and `acr_values` are those of the authorization request.

    `issuer` may be a template for the `allowed_tenants`. `insecure_no_nonce` takes a token without a nonce, never one with
    another.

    Raises:
        JwtRefused: the claim at fault is the reason; `expired` for a past `exp`, `typ` for a logout token.
    """
    claims = Claims(provider=provider, members=jwt.claims)
    check_issuer(claims, issuer=issuer, allowed_tenants=allowed_tenants)
    if is_template(issuer):
        claims.required_text("tid")
    subject = _check_parties(claims, client_id=client_id, trusted_audiences=trusted_audiences)
    check_times(claims, now=now, leeway=leeway)
    if "nonce" in claims.members or not insecure_no_nonce:
        _check_nonce(claims, nonce=nonce)
    _check_acr(claims, acr_values=acr_values)
    _check_auth_time(claims, max_age=max_age, now=now, leeway=leeway)
    _check_at_hash(claims, access_token=access_token, alg=jwt.alg)
    return _id_token(claims, subject=subject)


def check_refreshed_id_token(
    jwt: VerifiedJwt,
    *,
    provider: str,
    issuer: str,
    client_id: str,
    subject: str,
    auth_time: float | None,
    nonce: str | None,
    access_token: str | None,
    now: float,
    leeway: float,
    sid: str | None = None,
    trusted_audiences: tuple[str, ...] = (),
) -> IdToken:
    """Judge an ID token that came with a refresh; `issuer`, `subject`, `auth_time`, `nonce` and `sid` are the last one's (Core 12.2).

    Times that our clock disagrees with refuse nothing (R-324): the token came over TLS in answer to our own question, so they show
    that a clock is wrong. `wrong_time` of the result names the claim.

    Raises:
        JwtRefused: as `check_id_token`; `sub` or `nonce` that differ, an `auth_time` that is earlier, or later with another `sid`.
    """
    claims = Claims(provider=provider, members=jwt.claims)
    check_issuer(claims, issuer=issuer)
    if _check_parties(claims, client_id=client_id, trusted_audiences=trusted_audiences) != subject:
        raise claims.refusal("sub is another user", reason="sub")
    wrong = wrong_time(claims, now=now, leeway=leeway, oldest_seconds=REFRESHED_WITHIN_SECONDS)
    if "nonce" in jwt.claims:  # "SHOULD NOT have a nonce Claim [...] if it is present, its value MUST be the same"
        _check_nonce(claims, nonce=nonce)
    _check_new_auth_time(claims, auth_time=auth_time, sid=sid)
    _check_at_hash(claims, access_token=access_token, alg=jwt.alg)
    return replace(_id_token(claims, subject=subject), wrong_time=wrong)


def _check_new_auth_time(claims: Claims, *, auth_time: float | None, sid: str | None) -> None:
    """A later one is the same person who signed in again at the provider, for another client for instance (Keycloak 26.7)."""
    new = claims.instant("auth_time")
    if new is None or auth_time is None or new == auth_time:
        return
    if new < auth_time:
        raise claims.refusal("auth_time is before that of the last authentication", reason="auth_time")
    if sid is not None and claims.text("sid") not in {None, sid}:
        raise claims.refusal("sid is another session at the provider", reason="sid")


def _check_parties(claims: Claims, *, client_id: str, trusted_audiences: tuple[str, ...]) -> str:
    """For us, asked for by us, about whom: returns `sub`."""
    check_audience(claims, client_id=client_id, trusted=trusted_audiences)
    if claims.members.get("azp", client_id) != client_id:
        raise claims.refusal("azp is another client", reason="azp", configured=client_id)
    events = claims.members.get("events")
    if isinstance(events, dict) and BACKCHANNEL_LOGOUT_EVENT in events:
        raise claims.refusal("it is a logout token", reason="typ")
    return claims.required_text("sub")


def _check_nonce(claims: Claims, *, nonce: str | None) -> None:
    theirs = claims.members.get("nonce")
    if nonce is None or not isinstance(theirs, str) or not compare_digest(theirs.encode(), nonce.encode()):
        raise claims.refusal("nonce is not ours", reason="nonce")


def _check_acr(claims: Claims, *, acr_values: tuple[str, ...]) -> None:
    if acr_values and claims.members.get("acr") not in acr_values:
        raise claims.refusal("acr is none of those asked for", reason="acr", configured=list(acr_values))


def _check_auth_time(claims: Claims, *, max_age: float | None, now: float, leeway: float) -> None:
    auth_time = claims.instant("auth_time")
    if max_age is None:
        return
    if auth_time is None or not now - max_age - leeway <= auth_time <= now + leeway:
        raise claims.refusal("the authentication is older than max_age, or undated", reason="auth_time")


def _check_at_hash(claims: Claims, *, access_token: str | None, alg: str) -> None:
    if "at_hash" not in claims.members or access_token is None:
        return
    # Core 3.1.3.6: left half of the hash of the ASCII access token, with the hash of alg; Ed25519 hashes with SHA-512.
    digest = _HASHES.get(alg[-3:], hashlib.sha512)(access_token.encode("ascii")).digest()
    expected = base64url(digest[: len(digest) // 2])
    if claims.members["at_hash"] != expected:
        raise claims.refusal("at_hash is not that of the access token", reason="at_hash")


def _id_token(claims: Claims, *, subject: str) -> IdToken:
    return IdToken(
        subject=subject,
        claims={name: value for name, value in claims.members.items() if name not in _PROTOCOL_CLAIMS},
        sid=claims.text("sid"),
        auth_time=claims.instant("auth_time"),
        nonce=claims.text("nonce"),
        session_expiry=_session_expiry(claims),
    )


def _session_expiry(claims: Claims) -> float | None:
    """When the provider wants the session to end; None if it says nothing that is an instant, which refuses no sign-in."""
    with suppress(JwtRefused):
        return claims.instant("session_expiry")
    return None
