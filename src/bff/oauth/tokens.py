"""The token endpoint and the revocation endpoint (RFC 6749 sections 4.1.3 to 6, RFC 7009).

An access token is opaque: nothing of it is parsed and its lifetime is only what `expires_in` says (RFC 9068 section 6). What
`scope` was granted is kept for people to see and decides nothing: providers name it in words of their own, and the upstream judges
the token (RFC 6750 section 3.1).

    expires_in                              the access token expires
    absent                                  after `default_lifetime_seconds`; None: unknown, until an API answers 401
    number above 0, or digits in a string   after so many seconds, at most a year
    0, without a refresh token              unknown: Mailchimp and VK write 0 for a token that does not expire
    0 or below                              at once
    anything else, null too                 after `default_lifetime_seconds`, or five minutes: never "forever"

`refresh_expires_in` (or `refresh_token_expires_in`) bounds the refresh token in the same way, except that 0, below 0
and what is no number mean that nothing is known.
"""

import re
from collections.abc import Set
from dataclasses import dataclass, field

from bff.errors import ProviderMisbehaved, ProviderRefused
from bff.oauth.authorization import AuthorizationCode
from bff.oauth.client_auth import Authentication, form_request
from bff.oauth.error_response import has_error_member, raise_error_member, raise_error_response
from bff.oauth.messages import ProviderRequest, ProviderResponse, parse_json_object, shown
from bff.oauth.metadata import ProviderMetadata

LONGEST_LIFETIME_SECONDS = 366 * 86400.0
ASSUMED_LIFETIME_SECONDS = 300.0

_VISIBLE = re.compile(r"[!-~]+")  # RFC 6749 appendix A.12 less the space: it has to fit into an Authorization field
_DIGITS = re.compile(r"[0-9]{1,15}")
_GONE = frozenset({"invalid_token", "unsupported_token_type"})
_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:"  # noqa: S105 - a prefix of names (RFC 8693 section 3)
_FOR_AN_API = (f"{_TOKEN_TYPE}access_token", f"{_TOKEN_TYPE}jwt")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenResponse:
    """A successful answer of the token endpoint. None is what the provider did not say or send."""

    access_token: str = field(repr=False)
    expires_at: float | None
    refresh_token: str | None = field(repr=False)
    refresh_token_expires_at: float | None
    id_token: str | None = field(repr=False)  # not yet verified
    dpop_seed: str | None = field(default=None, repr=False)  # of the key that its tokens are bound to (`dpop.py`)
    scope: str | None = None  # as the provider wrote it


def build_code_exchange_request(
    *,
    metadata: ProviderMetadata,
    by: Authentication,
    code: AuthorizationCode,
    redirect_uri: str,
    code_verifier: str,
    resource: str | None = None,
) -> ProviderRequest:
    """Redeem a code (RFC 6749 section 4.1.3, RFC 7636 section 4.5). Sent once, never repeated."""
    fields = {
        "grant_type": "authorization_code",
        "code": code.value,
        "redirect_uri": redirect_uri,
        "code_verifier": code_verifier,
        "resource": resource,
    }
    return form_request(metadata.token_endpoint, fields.items(), by=by)


def build_refresh_request(
    *,
    metadata: ProviderMetadata,
    by: Authentication,
    refresh_token: str,
    scope: str | None = None,
    resource: str | None = None,
    audience: str | None = None,
) -> ProviderRequest:
    """Refresh an access token (RFC 6749 section 6); `resource` is RFC 8707's."""
    fields = {
        "grant_type": "refresh_token",
        "refresh_token": refresh_token,
        "scope": scope,
        "resource": resource,
        "audience": audience,
    }
    return form_request(metadata.token_endpoint, fields.items(), by=by)


def build_client_credentials_request(
    *,
    metadata: ProviderMetadata,
    by: Authentication,
    scope: str | None = None,
    resource: str | None = None,
    audience: str | None = None,
) -> ProviderRequest:
    """Ask for an access token of our own (RFC 6749 section 4.4.2)."""
    fields = {"grant_type": "client_credentials", "scope": scope, "resource": resource, "audience": audience}
    return form_request(metadata.token_endpoint, fields.items(), by=by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What is asked for in exchange for a token (RFC 8693 section 2.1). None: the provider's choice."""

    audience: str | None = None
    resource: str | None = None
    scope: str | None = None
    requested_token_type: str | None = None


def build_token_exchange_request(
    *, metadata: ProviderMetadata, by: Authentication, subject_token: str, asked: Exchange
) -> ProviderRequest:
    """Exchange an access token of the user's for another (RFC 8693 section 2.1)."""
    fields = {
        "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
        "subject_token": subject_token,
        "subject_token_type": f"{_TOKEN_TYPE}access_token",
        "requested_token_type": asked.requested_token_type,
        "audience": asked.audience,
        "resource": asked.resource,
        "scope": asked.scope,
    }
    return form_request(metadata.token_endpoint, fields.items(), by=by)


def build_revocation_request(
    *, revocation_endpoint: str, by: Authentication, token: str, token_type_hint: str
) -> ProviderRequest:
    """Revoke a token (RFC 7009 section 2.1); the hint is `refresh_token` or `access_token`."""
    fields = {"token": token, "token_type_hint": token_type_hint}
    return form_request(revocation_endpoint, fields.items(), by=by)


def parse_token_response(
    response: ProviderResponse,
    *,
    provider: str,
    now: float,
    default_lifetime_seconds: float | None = None,
    exchange: Exchange | None = None,
    dpop_seed: str | None = None,
) -> TokenResponse:
    """The tokens that the provider issued (RFC 6749 section 5.1). Unknown members are ignored.

    `now` is the instant before the request was sent: a token's life begins when the provider makes it, so an answer that comes
    late must not make it look younger (R-347).
    `exchange`: the answer is of this token exchange, whose `token_type` is `N_A` for a token that is no access token by name, such as
    a JWT (RFC 8693 section 2.2.1).
    `dpop_seed`: the request was proved with this key, and nothing but a token that is bound to it is taken: a Bearer token would be
    the way back that an attacker wants (RFC 9449 section 5).

    Raises:
        ProviderUnavailable: 408, 429, 5xx, or an error code that says "later".
        ProviderRefused: an OAuth error response, e.g. `invalid_grant`; also with status 200, as some providers do.
        ProviderMisbehaved: `status`, `not_json`, `error_response`, `token_type`, `issued_token_type`, or the name of an unusable
            member.
    """
    if response.status != 200:
        raise_error_response(response, provider=provider)
    members = parse_json_object(response, provider=provider)
    if "access_token" not in members and has_error_member(members):
        raise_error_member(members, response, provider=provider)
    known = {"bearer"} if exchange is None else {"bearer", "n_a"}
    bound = dpop_seed is not None
    _check_token_type(members.get("token_type"), known={"dpop"} if bound else known, provider=provider)
    if exchange is not None:
        _check_issued_type(members.get("issued_token_type"), exchange=exchange, provider=provider)
    return TokenResponse(
        access_token=_access_token(members.get("access_token"), provider=provider),
        expires_at=_expires_at(members, now=now, default_lifetime_seconds=default_lifetime_seconds),
        refresh_token=_text(members, "refresh_token", provider=provider) or None,
        refresh_token_expires_at=_refresh_token_expires_at(members, now=now),
        id_token=_text(members, "id_token", provider=provider) or None,
        dpop_seed=dpop_seed,
        scope=_scope(members.get("scope")),
    )


def parse_revocation_response(response: ProviderResponse, *, provider: str) -> None:
    """Return if the token is revoked, was never known (RFC 7009 section 2.2), or is of a kind that cannot be revoked.

    RFC 7009 section 2.2: "invalid tokens do not cause an error response", but Google answers `invalid_token`; Cognito
    answers `unsupported_token_type` for access tokens. Neither can be mended, so both count as done (R-335).

    Raises:
        ProviderUnavailable: 408, 429, 5xx: the token has to be taken to still exist (section 2.2.1).
        ProviderRefused: e.g. `invalid_client`.
        ProviderMisbehaved: anything else.
    """
    if response.status in {200, 204}:
        return
    try:
        raise_error_response(response, provider=provider)
    except ProviderRefused as refused:
        if refused.error not in _GONE:
            raise


def _check_token_type(token_type: object, *, known: Set[str], provider: str) -> None:
    # RFC 6749 section 5.1: "Value is case insensitive"; section 7.1: "MUST NOT use an access token if it does not
    # understand the token type"
    if not isinstance(token_type, str) or token_type.lower() not in known:
        raise ProviderMisbehaved("issued a token that is not a bearer token", provider=provider, reason="token_type")


def _check_issued_type(issued: object, *, exchange: Exchange, provider: str) -> None:
    """RFC 8693 section 2.2.1: what stands in `access_token` may be a refresh token or a SAML assertion, and that is for no API.

    The member is required there; some providers leave it out.
    """
    if issued is None or issued in _FOR_AN_API or issued == exchange.requested_token_type:
        return
    raise ProviderMisbehaved(
        "exchanged a token for one of a type that is not for an API: name the type that is meant with requested_token_type",
        provider=provider,
        reason="issued_token_type",
        found=shown(issued),
        configured=shown(exchange.requested_token_type),
    )


def _access_token(token: object, *, provider: str) -> str:
    if not isinstance(token, str) or _VISIBLE.fullmatch(token) is None:
        raise ProviderMisbehaved("issued no usable access token", provider=provider, reason="access_token")
    return token


def _text(members: dict[str, object], name: str, *, provider: str) -> str | None:
    text = members.get(name)
    if text is not None and not isinstance(text, str):
        raise ProviderMisbehaved(f"its {name} is not a string", provider=provider, reason=name)
    return text


def _scope(stated: object) -> str | None:
    """GitHub and Twitch write a list. What is neither is left out: a sign-in does not fail by it."""
    if isinstance(stated, list) and all(isinstance(part, str) for part in stated):
        return " ".join(stated)
    return stated if isinstance(stated, str) else None


def _expires_at(members: dict[str, object], *, now: float, default_lifetime_seconds: float | None) -> float | None:
    means_unknown = _is_zero(members.get("expires_in")) and not members.get("refresh_token")
    if "expires_in" not in members or means_unknown:
        return None if default_lifetime_seconds is None else now + default_lifetime_seconds
    stated = _lifetime_seconds(members["expires_in"])
    if stated is None:
        return now + (default_lifetime_seconds or ASSUMED_LIFETIME_SECONDS)
    return now + stated


def _refresh_token_expires_at(members: dict[str, object], *, now: float) -> float | None:
    stated = _lifetime_seconds(members.get("refresh_expires_in", members.get("refresh_token_expires_in")))
    return now + stated if stated else None  # 0 is Keycloak's word for an offline token, which does not expire


def _is_zero(stated: object) -> bool:
    return stated == "0" or (stated == 0 and not isinstance(stated, bool))


def _lifetime_seconds(stated: object) -> float | None:
    if isinstance(stated, str) and _DIGITS.fullmatch(stated):
        stated = int(stated)
    if isinstance(stated, bool) or not isinstance(stated, int | float):
        return None
    return float(min(max(stated, 0), LONGEST_LIFETIME_SECONDS))
