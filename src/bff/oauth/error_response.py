"""Answers that are not what was asked for, and what each means.

    status                  body                     is
    408, 429, 5xx           any                      ProviderUnavailable: asking again later may help
    400..499, or 200        {"error": "code"}        ProviderRefused(error="code")
                            some codes mean "later"  ProviderUnavailable: `LATER`
                            or our secret            ProviderRefused(error="invalid_client"): `_REFUSE_THE_CLIENT`
    anything else           any                      ProviderMisbehaved

The code may also lie inside an object, or in a list of them: `{"error": {"code": ...}}`, `{"errors": [{"errorType": ...}]}`.
Of the body only `error` is kept, and only if it looks like a code: an `error_description` can quote the code, token or
secret that we sent, so it goes into no message (invariant 10); it is compared with a few known sentences, whole.
"""

import re
from typing import NoReturn

from bff.errors import ProviderMisbehaved, ProviderRefused, ProviderUnavailable
from bff.oauth.messages import ProviderResponse, parse_json_object
from bff.oauth.retry_after import retry_after_seconds

_CODE = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")  # within RFC 6749 appendix A.7's NQSCHAR; no registered code needs more
# the first that holds a usable code counts
_INSIDE = ("code", "error", "type", "errorType", "errorCode", "name", "status")
_SENTENCES = {  # of `message`, where a provider has no `error`
    "invalid refresh token": "invalid_refresh_token",  # Twitch
    "missing or invalid refresh token": "invalid_refresh_token",  # HubSpot (supaglue-labs/supaglue #1935)
    "invalid client secret": "invalid_client",  # Twitch, with status 403 (PhantomBot/PhantomBot #2860)
}
# What providers say of a client secret that they do not take, where RFC 6749 section 5.2 has `invalid_client`.
_REFUSE_THE_CLIENT = frozenset(
    {
        "incorrect_client_credentials",  # GitHub, with status 200
        "bad_client_secret",  # Slack, with status 200
        "invalid_client_secret",  # Zoho, with status 200 (schmorrison/Zoho #34)
    }
)
# The same with status 401, which that section has for `invalid_client` alone; with another status they say something else.
_REFUSE_THE_CLIENT_WITH_401 = frozenset(
    {
        "unauthorized_client",  # Keycloak (keycloak/keycloak #16923)
        "access_denied",  # Auth0 (auth0/node-auth0 #134)
    }
)
# Some providers give one of the client's codes to a refresh token that is over, and only the description tells. The same code with
# another description is the operator's: Auth0 says `unauthorized_client` with status 403, too, where the client may not refresh.
_MISNAMED = {
    # Atlassian (raycast/extensions #11836, ParabolInc/parabol #11849)
    ("unauthorized_client", "refresh_token is invalid"): "invalid_refresh_token",
    # DeviantArt (wix-incubator/DeviantArt-API #58)
    ("invalid_request", "the refresh_token is invalid"): "invalid_refresh_token",
    # X
    ("invalid_request", "value passed for the token was invalid"): "invalid_refresh_token",
    # LinkedIn (its documentation "Refresh Tokens with OAuth 2.0", table of errors)
    (
        "invalid_request",
        "the provided authorization grant or refresh token is invalid, expired or revoked",
    ): "invalid_refresh_token",
}
# The last two are no registered codes: providers that limit calls say them with status 400 or 403, instead of 429.
LATER = frozenset({"temporarily_unavailable", "server_error", "slow_down", "too_many_requests", "rate_limit_exceeded"})


def is_error_code(text: str) -> bool:
    """Whether `text` may stand as an `error` code in messages and decisions."""
    return _CODE.fullmatch(text) is not None


def check_available(response: ProviderResponse, *, provider: str) -> None:
    """Stop unless the provider dealt with the request.

    Raises:
        ProviderUnavailable: it did not: 408, 429 or 5xx.
    """
    if response.status in {408, 429} or response.status >= 500:
        raise ProviderUnavailable(
            f"answered {response.status}",
            provider=provider,
            reason=f"http_{response.status}",
            retry_after_seconds=retry_after_seconds(response.retry_after, date=response.date),
        )


def check_ok(response: ProviderResponse, *, provider: str) -> None:
    """Stop unless the status is 200.

    Raises:
        ProviderUnavailable: 408, 429 or 5xx.
        ProviderMisbehaved: `status`: any other.
    """
    check_available(response, provider=provider)
    if response.status != 200:
        raise ProviderMisbehaved(f"answered {response.status}", provider=provider, reason="status")


def raise_error_response(response: ProviderResponse, *, provider: str) -> NoReturn:
    """Turn an answer that is not a success into the error that it means (RFC 6749 section 5.2).

    Raises:
        ProviderUnavailable, ProviderRefused, ProviderMisbehaved: by the table above.
    """
    check_available(response, provider=provider)
    if not 400 <= response.status < 500:
        raise ProviderMisbehaved(f"answered {response.status}", provider=provider, reason="status")
    members = parse_json_object(response, provider=provider)
    raise_error_member(members, response, provider=provider)


def has_error_member(members: dict[str, object]) -> bool:
    """Whether a JSON object says that it is an error response; some providers say so with status 200."""
    return bool(members.get("error") or members.get("errors"))


def raise_error_member(members: dict[str, object], response: ProviderResponse, *, provider: str) -> NoReturn:
    """Raise what the `error` member of a JSON error response means; `members` are those of the response.

    Raises:
        ProviderUnavailable, ProviderRefused: by the code.
        ProviderMisbehaved: `error_response`: no usable code.
    """
    code = _code_in(members.get("error") or members.get("errors")) or _code_for(members.get("message"))
    if code is None:
        raise ProviderMisbehaved("refused without a usable error code", provider=provider, reason="error_response")
    code = _MISNAMED.get((code, _text(members.get("error_description")).removesuffix(".")), code)
    if code in _REFUSE_THE_CLIENT or (response.status == 401 and code in _REFUSE_THE_CLIENT_WITH_401):
        raise ProviderRefused(f"refused: {code}", provider=provider, error="invalid_client", status=response.status)
    if code in LATER:
        raise ProviderUnavailable(
            f"answered {code}",
            provider=provider,
            reason=code,
            retry_after_seconds=retry_after_seconds(response.retry_after, date=response.date),
        )
    raise ProviderRefused(f"refused: {code}", provider=provider, error=code, status=response.status)


def _code_in(member: object) -> str | None:
    """The code in an `error` member: the text itself, or the first usable text of an object, or of a list's first object."""
    if isinstance(member, list):
        member = member[0] if member and isinstance(member[0], dict) else None
    codes = [member.get(name) for name in _INSIDE] if isinstance(member, dict) else [member]
    return next((code for code in codes if isinstance(code, str) and is_error_code(code)), None)


def _code_for(sentence: object) -> str | None:
    """The code that a provider without codes means by its sentence; the sentence itself is never kept."""
    return _SENTENCES.get(_text(sentence))


def _text(member: object) -> str:
    return member.lower() if isinstance(member, str) else ""
