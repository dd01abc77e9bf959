"""The checks that our JWTs share (OpenID Connect Core 3.1.3.7, Back-Channel Logout 2.6): issuer, audience, times.

A claim has the type that its specification gives it or the token is refused; nothing is converted.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from bff.errors import JwtRefused
from bff.issuers import ANY_TENANT, is_template, tenant_in
from bff.oauth.messages import shown

FAR_OFF_SECONDS = 86400.0  # a token that was issued longer ago was not issued for what happens now
BACKCHANNEL_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"

_WRONG_TIMES = {"expired": "it is expired", "iat": "iat is too far from now", "nbf": "nbf is ahead of now"}
_END_OF_TIME = 253402300800.0  # the year 10000: instants beyond are mistakes, or attacks on arithmetic


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """The claims of a verified JWT, and whom to blame for them."""

    provider: str
    members: Mapping[str, object] = field(repr=False)

    def refusal(self, message: str, *, reason: str, configured: object = None) -> JwtRefused:
        """The error to raise. With `configured`, what was expected, the claim named `reason` is kept beside it."""
        if configured is None:
            return JwtRefused(message, provider=self.provider, reason=reason)
        found, wanted = shown(self.members.get(reason)), shown(configured)
        return JwtRefused(message, provider=self.provider, reason=reason, found=found, configured=wanted)

    def text(self, name: str, *, longest: int = 255) -> str | None:
        """The claim as a string of 1 to `longest` characters; None if absent.

        Raises:
            JwtRefused: named like the claim: it is anything else.
        """
        if name not in self.members:
            return None
        value = self.members[name]
        if not isinstance(value, str) or not 1 <= len(value) <= longest:
            raise self.refusal(f"{name} is not a string of 1 to {longest} characters", reason=name)
        return value

    def required_text(self, name: str) -> str:
        """Like `text`, but absent is refused too."""
        value = self.text(name)
        if value is None:
            raise self.refusal(f"{name} is missing", reason=name)
        return value

    def instant(self, name: str) -> float | None:
        """The claim as Unix seconds (RFC 7519's NumericDate, fractions allowed); None if absent.

        Raises:
            JwtRefused: named like the claim: not a number, or no instant.
        """
        if name not in self.members:
            return None
        value = self.members[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _END_OF_TIME:
            raise self.refusal(f"{name} is not an instant", reason=name)
        return float(value)

    def required_instant(self, name: str) -> float:
        """Like `instant`, but absent is refused too."""
        value = self.instant(name)
        if value is None:
            raise self.refusal(f"{name} is missing", reason=name)
        return value


def check_issuer(claims: Claims, *, issuer: str, allowed_tenants: tuple[str, ...] = ()) -> str:
    """Core 3.1.3.7-2: "MUST exactly match"; of a template, the issuer of an allowed tenant. Returns `iss`.

    Raises:
        JwtRefused: `iss`, or `tid`: the tenant is not allowed, or not the one that the token itself names.
    """
    found = claims.members.get("iss")
    if is_template(issuer) and isinstance(found, str):
        return _check_tenant(claims, found, template=issuer, allowed_tenants=allowed_tenants)
    if found != issuer:
        raise claims.refusal("iss is another issuer", reason="iss", configured=issuer)
    return issuer


def _check_tenant(claims: Claims, iss: str, *, template: str, allowed_tenants: tuple[str, ...]) -> str:
    tenant = tenant_in(iss, template=template)
    if tenant is None:
        raise claims.refusal("iss is another issuer", reason="iss", configured=template)
    if claims.members.get("tid", tenant) != tenant:
        raise claims.refusal("tid is another tenant than that of iss", reason="tid", configured=tenant)
    if tenant not in allowed_tenants and allowed_tenants != ANY_TENANT:
        raise claims.refusal("its tenant is none of allowed_tenants", reason="tid", configured=list(allowed_tenants))
    return iss


def check_audience(claims: Claims, *, client_id: str, trusted: tuple[str, ...] = ()) -> None:
    """Core 3.1.3.7-3: we are an audience, and all others are `trusted`. Raises JwtRefused `aud`."""
    audience = claims.members.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if client_id not in audiences or any(one != client_id and one not in trusted for one in audiences):
        raise claims.refusal(
            "aud is not this client alone, or with trusted_audiences", reason="aud", configured=[client_id, *trusted]
        )


def check_times(claims: Claims, *, now: float, leeway: float, oldest_seconds: float = FAR_OFF_SECONDS) -> None:
    """`exp` and `iat` are required, `nbf` is honoured; `leeway` and `oldest_seconds` are seconds.

    Raises:
        JwtRefused: `exp`, `expired`, `iat` (missing, ahead of us, or older than `oldest_seconds`) or `nbf`.
    """
    wrong = wrong_time(claims, now=now, leeway=leeway, oldest_seconds=oldest_seconds)
    if wrong is not None:
        raise claims.refusal(_WRONG_TIMES[wrong], reason=wrong)


def wrong_time(claims: Claims, *, now: float, leeway: float, oldest_seconds: float) -> str | None:
    """The reason for which our clock disagrees with the times: `expired`, `iat`, `nbf`; None: it does not.

    Raises:
        JwtRefused: `exp` or `iat` is missing, or one of the three is no instant.
    """
    expires_at, issued_at = claims.required_instant("exp"), claims.required_instant("iat")
    not_before = claims.instant("nbf")
    if now >= expires_at + leeway:
        return "expired"
    if not now - oldest_seconds - leeway <= issued_at <= now + leeway:
        return "iat"
    if not_before is not None and not_before > now + leeway:
        return "nbf"
    return None
