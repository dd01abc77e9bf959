"""The UserInfo endpoint (OpenID Connect Core 5.3): an answer about another `sub` is another person's, and is discarded.

With plain OAuth 2.0 there is no ID token to compare with: the endpoint (GitHub's `/user`) says itself who the access token
is for, under names of its own, and `parse_user_response` finds them (`subject_claim`, `userinfo_path`).

An OpenID Connect answer is JSON, or a signed JWT under `application/jwt`: ask `signed_userinfo` first, verify what it returns with
`jws`, then `check_signed_userinfo`; if it returns None, `parse_userinfo_response`.
"""

from dataclasses import dataclass, field
from typing import Literal

from bff.errors import JwtRefused, ProviderMisbehaved, ProviderRefused
from bff.oauth.claims import Claims, check_audience, check_issuer
from bff.oauth.error_response import check_available, check_ok
from bff.oauth.jws import VerifiedJwt
from bff.oauth.messages import ProviderRequest, ProviderResponse, media_type, parse_json_object, shown

LONGEST_SUBJECT = 255
_PROTOCOL_CLAIMS = frozenset({"iss", "aud", "exp", "iat", "nbf", "jti"})


def build_userinfo_request(
    *, endpoint: str, access_token: str, scheme: Literal["Bearer", "DPoP"] = "Bearer"
) -> ProviderRequest:
    """GET with the access token in the Authorization field (Core 5.3.1, RFC 6750 section 2.1)."""
    return ProviderRequest(
        method="GET",
        url=endpoint,
        headers=(("Accept", "application/json, application/jwt"), ("Authorization", f"{scheme} {access_token}")),
    )


def signed_userinfo(response: ProviderResponse, *, provider: str) -> str | None:
    """The JWT of a signed answer, not yet verified; None if the answer is of another kind.

    Raises:
        JwtRefused: `format`: not ASCII.
    """
    if response.status != 200 or media_type(response.content_type) != "application/jwt":
        return None
    try:
        return response.body.decode("ascii").strip()
    except UnicodeDecodeError:
        raise JwtRefused("its signed UserInfo is not a JWT", provider=provider, reason="format") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who an access token of plain OAuth 2.0 is for, and what the provider says of them."""

    subject: str
    claims: dict[str, object] = field(repr=False)


def parse_user_response(response: ProviderResponse, *, provider: str, subject_claim: str, path: str | None) -> User:
    """The user of plain OAuth 2.0: `subject_claim` (a string, or a whole number) below the members of `path`.

    Raises:
        ProviderUnavailable: 408, 429 or 5xx.
        ProviderRefused: `invalid_token` or `insufficient_scope`: 401 or 403 (RFC 6750 section 3.1).
        ProviderMisbehaved: `status`, `not_json`, `userinfo_path`, or `subject_claim`: no such member, or no name.
    """
    claims = _members_below(_answered(response, provider=provider), path, provider=provider)
    subject = _as_text(claims.get(subject_claim))
    if not isinstance(subject, str) or not 1 <= len(subject) <= LONGEST_SUBJECT:
        raise ProviderMisbehaved(
            f"its user has no usable {subject_claim}: name the member that identifies users with subject_claim",
            provider=provider,
            reason="subject_claim",
            found=shown(sorted(claims)),
            configured=shown(subject_claim),
        )
    return User(subject=subject, claims=claims)


def _as_text(subject: object) -> object:
    """A whole number as text: 7.0 is the number 7 (RFC 8259 section 6). A float from 2**53 on may be another user's, rounded."""
    if isinstance(subject, float) and subject.is_integer() and abs(subject) < 2**53:
        return str(int(subject))
    return str(subject) if isinstance(subject, int) and not isinstance(subject, bool) else subject


def _members_below(answer: dict[str, object], path: str | None, *, provider: str) -> dict[str, object]:
    for name in path.split(".") if path else ():
        inner = answer.get(name)
        if not isinstance(inner, dict):
            raise ProviderMisbehaved(
                "its answer has no such member: see userinfo_path",
                provider=provider,
                reason="userinfo_path",
                found=shown(sorted(answer)),
                configured=shown(path),
            )
        answer = inner
    return answer


def parse_userinfo_response(response: ProviderResponse, *, provider: str, subject: str) -> dict[str, object]:
    """The claims about `subject`.

    Raises:
        ProviderUnavailable: 408, 429 or 5xx.
        ProviderRefused: `invalid_token` or `insufficient_scope`: 401 or 403 (RFC 6750 section 3.1).
        ProviderMisbehaved: `status`, `not_json`, or `sub`: missing or another's.
    """
    claims = _answered(response, provider=provider)
    if claims.get("sub") != subject:
        raise ProviderMisbehaved("its UserInfo is about another user", provider=provider, reason="sub")
    return claims


def _answered(response: ProviderResponse, *, provider: str) -> dict[str, object]:
    check_available(response, provider=provider)
    if response.status in {401, 403}:
        error = "invalid_token" if response.status == 401 else "insufficient_scope"
        raise ProviderRefused(f"refused UserInfo with {response.status}", provider=provider, error=error)
    check_ok(response, provider=provider)
    return parse_json_object(response, provider=provider)


def check_signed_userinfo(
    jwt: VerifiedJwt,
    *,
    provider: str,
    issuer: str,
    client_id: str,
    subject: str,
    allowed_tenants: tuple[str, ...] = (),
    trusted_audiences: tuple[str, ...] = (),
) -> dict[str, object]:
    """The claims about `subject`, from an answer that this issuer signed for us.

    Raises:
        JwtRefused: `iss`, `aud`, `sub`, or `typ`: it is an ID token or a logout token.
    """
    claims = Claims(provider=provider, members=jwt.claims)
    check_issuer(claims, issuer=issuer, allowed_tenants=allowed_tenants)
    check_audience(claims, client_id=client_id, trusted=trusted_audiences)
    if "nonce" in jwt.claims or "events" in jwt.claims:
        raise claims.refusal("it is a token of another kind", reason="typ")
    if claims.text("sub") != subject:
        raise claims.refusal("sub is another user", reason="sub")
    return {name: value for name, value in jwt.claims.items() if name not in _PROTOCOL_CLAIMS}
