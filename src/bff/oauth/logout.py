"""Signing out at the provider (RP-Initiated Logout 1.0), and at its request (Back-Channel Logout 1.0).

A logout token is an ID token's look-alike with the power to end sessions, so each kind is refused in the other's place:
a logout token has `events` and never a `nonce`, and is refused under any `typ` but its own. Without a `typ` it is
taken, because section 2.4 only recommends one; so `jws.verify` is called for it with the types `logout+jwt` and `JWT`,
and an explicit `JWT` is refused here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from bff.errors import MalformedRequest
from bff.oauth.claims import (
    BACKCHANNEL_LOGOUT_EVENT,
    FAR_OFF_SECONDS,
    Claims,
    check_audience,
    check_issuer,
    check_times,
)
from bff.oauth.form import CONTENT_TYPE, RepeatedParameter, add_to_query, decode_once
from bff.oauth.jws import VerifiedJwt
from bff.oauth.messages import media_type

LONGEST_URL = 4096  # bytes; proxies take 8 KiB for a whole request line
RETURN_TO = "{return_to}"


def build_end_session_url(
    *,
    end_session_endpoint: str,
    client_id: str,
    id_token_hint: str | None,
    post_logout_redirect_uri: str,
    state: str | None = None,
    extra: Mapping[str, str] | None = None,
) -> str:
    """Where the browser goes to sign out at the provider (RP-Initiated Logout section 2).

    `extra` is the operator's (`end_session_params`): it adds and replaces parameters, an empty value leaves one out, and
    `{return_to}` in it stands for `post_logout_redirect_uri`. A URL above `LONGEST_URL` goes without `id_token_hint`:
    an ID token with many groups makes one that proxies answer with 414, and `client_id` names us as well.
    """
    parameters = {
        "client_id": client_id,
        "id_token_hint": id_token_hint,
        "post_logout_redirect_uri": post_logout_redirect_uri,
        "state": state,
        **{name: value.replace(RETURN_TO, post_logout_redirect_uri) for name, value in (extra or {}).items()},
    }
    present = {name: value for name, value in parameters.items() if value}
    url = add_to_query(end_session_endpoint, present.items())
    if len(url) <= LONGEST_URL:
        return url
    present.pop("id_token_hint", None)
    return add_to_query(end_session_endpoint, present.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutToken:
    """Whose sessions are to end: that of `sid`, or without one all of `subject`. One of the two is there."""

    issuer: str
    subject: str | None
    sid: str | None
    jti: str
    expires_at: float  # from then on the same token is refused by its age: a `jti` has to be remembered until then


def parse_backchannel_body(body: bytes, content_type: str) -> str:
    """The `logout_token` of a logout request; other parameters are ignored (section 2.5).

    Raises:
        MalformedRequest: not a form, no such parameter, or more than one.
    """
    if media_type(content_type) != CONTENT_TYPE:
        raise MalformedRequest(f"A logout request is {CONTENT_TYPE}.")
    try:
        values = decode_once(body, names=frozenset({"logout_token"}))
    except RepeatedParameter:
        raise MalformedRequest("logout_token is given more than once.") from None
    except ValueError:
        raise MalformedRequest("logout_token is not text.") from None
    if "logout_token" not in values:
        raise MalformedRequest("logout_token is missing.")
    return values["logout_token"]


def check_logout_token(
    jwt: VerifiedJwt,
    *,
    provider: str,
    issuer: str,
    client_id: str,
    now: float,
    leeway: float,
    allowed_tenants: tuple[str, ...] = (),
    trusted_audiences: tuple[str, ...] = (),
) -> LogoutToken:
    """Judge a logout token (section 2.6); that its `jti` is new is the caller's to check.

    Raises:
        JwtRefused: `iss`, `aud`, `exp`, `expired`, `iat`, `nbf`, `typ`, `nonce`, `events`, `sub`,
            `sid` or `jti`.
    """
    claims = Claims(provider=provider, members=jwt.claims)
    iss = check_issuer(claims, issuer=issuer, allowed_tenants=allowed_tenants)
    check_audience(claims, client_id=client_id, trusted=trusted_audiences)
    check_times(claims, now=now, leeway=leeway)
    if jwt.typ not in {None, "logout+jwt"}:
        raise claims.refusal("it is a token of another kind", reason="typ")
    _check_event(claims)
    subject, sid = claims.text("sub"), claims.text("sid")
    if subject is None and sid is None:
        raise claims.refusal("it names neither sub nor sid", reason="sub")
    jti, expires_at = claims.required_text("jti"), _refused_from(claims, leeway=leeway)
    return LogoutToken(issuer=iss, subject=subject, sid=sid, jti=jti, expires_at=expires_at)


def _check_event(claims: Claims) -> None:
    if "nonce" in claims.members:
        raise claims.refusal("a logout token has no nonce", reason="nonce")
    events = claims.members.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(BACKCHANNEL_LOGOUT_EVENT), dict):
        raise claims.refusal("events does not say back-channel logout", reason="events")


def _refused_from(claims: Claims, *, leeway: float) -> float:
    return min(claims.required_instant("exp"), claims.required_instant("iat") + FAR_OFF_SECONDS) + leeway
