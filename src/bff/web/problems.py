"""Every error and the answer it becomes: one table (RFC 9457). No answer names a host, a token or a query string.

`detail` comes from the error only where the browser is to blame and can do something about it; everybody else's fault is told in
words of this table, with the request id under which the log has the rest (ASVS V16.5.1).
"""

import json
import math
import secrets
from dataclasses import dataclass

from bff import errors
from bff.telemetry import requests as telemetry
from bff.web.answers import OwnAnswer
from bff.web.fields import own_fields

RETRY_AFTER_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """How one class of error is answered: HTTP status, the last part of `type`, `title`, and the `detail` where the error has none."""

    status: int
    type: str
    title: str
    detail: str = ""


TABLE: dict[type[Exception], Row] = {
    errors.MalformedRequest: Row(400, "malformed-request", "Malformed request"),
    errors.CallbackRefused: Row(400, "callback-refused", "Sign-in could not be completed"),
    errors.JwtRefused: Row(
        400,
        "token-refused",
        "Sign-in could not be completed",
        "The provider's answer failed a security check. Sign in again.",
    ),
    errors.LoginRequired: Row(401, "login-required", "Sign-in required"),
    errors.StepUpRequired: Row(401, "step-up-required", "A stronger or more recent sign-in is required"),
    errors.NotPermitted: Row(403, "not-permitted", "Not permitted"),
    errors.CsrfRefused: Row(403, "csrf-refused", "Refused by the CSRF defence"),
    errors.PlainHttp: Row(403, "plain-http", "HTTPS required"),
    errors.NoRoute: Row(404, "no-route", "Not found"),
    errors.MethodNotAllowed: Row(405, "method-not-allowed", "Method not allowed"),
    errors.RequestTimeout: Row(408, "request-timeout", "Request timeout"),
    errors.ContentTooLarge: Row(413, "content-too-large", "Content too large"),
    errors.TargetTooLong: Row(414, "target-too-long", "URI too long"),
    errors.MisdirectedRequest: Row(421, "misdirected-request", "Misdirected request"),
    errors.WebSocketVersion: Row(426, "websocket-version", "Upgrade required"),
    errors.HeadTooLarge: Row(431, "head-too-large", "Request header fields too large"),
    errors.NotImplementedHere: Row(501, "not-implemented", "Not implemented"),
    errors.VersionNotSupported: Row(505, "version-not-supported", "HTTP version not supported"),
    errors.LoopDetected: Row(508, "loop-detected", "Loop detected"),
    errors.BrowserError: Row(400, "bad-request", "Bad request"),
    errors.ProviderUnavailable: Row(
        503,
        "provider-unavailable",
        "Provider unavailable",
        "The sign-in provider does not answer. Try again shortly; you stay signed in.",
    ),
    errors.ProviderError: Row(
        502, "provider-misbehaved", "Bad answer from the provider", "The sign-in provider gave an unusable answer."
    ),
    errors.StoreUnavailable: Row(
        503,
        "store-unavailable",
        "Session store unavailable",
        "Sessions cannot be looked up now. Try again shortly; you stay signed in.",
    ),
    errors.SecretUnavailable: Row(
        503, "secret-unavailable", "Not ready", "The gateway cannot read one of its secrets."
    ),
    errors.UpstreamBusy: Row(
        503, "upstream-busy", "Too many requests in progress", "The API takes no more requests now. Try again shortly."
    ),
    errors.UpstreamTimeout: Row(504, "upstream-timeout", "Upstream timeout", "The API did not answer in time."),
    errors.UpstreamError: Row(
        502, "upstream-failed", "Bad gateway", "The API could not be reached or gave an unusable answer."
    ),
}
LAST_RESORT = Row(500, "internal-error", "Internal error", "Something went wrong on our side.")


def problem_of(error: Exception, *, base_path: str, https: bool) -> OwnAnswer:
    """The answer to an error; the request id in it is also in the log event written here."""
    row = _row(error)
    request_id = secrets.token_hex(8)
    telemetry.problem_answered(error, kind=row.type, status=row.status, request_id=request_id)
    content: dict[str, object] = {
        "type": f"urn:bff:problem:{row.type}",
        "title": row.title,
        "status": row.status,
        "detail": error.detail if isinstance(error, errors.BrowserError) else row.detail,
        "request_id": request_id,
    }
    fields = own_fields("application/problem+json", https=https)
    if isinstance(error, errors.LoginRequired):
        content["login_url"] = login_url(base_path, error)
        fields.append((b"www-authenticate", f'BFF login_url="{content["login_url"]}"'.encode("ascii")))
    if isinstance(error, errors.StepUpRequired):  # RFC 9110 section 11.6.1: a 401 may carry several challenges
        fields += [(b"www-authenticate", challenge) for challenge in error.challenges]
    if isinstance(error, errors.MethodNotAllowed):
        fields.append((b"allow", error.allow.encode("ascii")))
    if isinstance(error, errors.WebSocketVersion):
        # RFC 9110 section 15.5.22: "The server MUST send an Upgrade header field in a 426 response"; RFC 6455 section 4.4.
        fields += [(b"connection", b"upgrade"), (b"upgrade", b"websocket"), (b"sec-websocket-version", b"13")]
    if row.status == 503:
        fields.append((b"retry-after", str(_retry_after_seconds(error)).encode("ascii")))
    body = json.dumps(content).encode()
    return OwnAnswer(status=row.status, fields=[*fields, (b"content-length", str(len(body)).encode())], body=body)


def login_url(base_path: str, needed: errors.LoginRequired) -> str:
    """Where the sign-in starts that is needed; the page adds `return_to`."""
    url = sign_in_url(base_path, provider=needed.provider)
    return f"{url}&step_up={needed.ticket}" if isinstance(needed, errors.StepUpRequired) else url


def sign_in_url(base_path: str, *, provider: str) -> str:
    """Where a sign-in at `provider` starts; the page adds `return_to`."""
    return f"{base_path}/login?provider={provider}"


def _retry_after_seconds(error: Exception) -> int:
    """When asking again may help: at a provider that said so, then (R-346)."""
    seconds = getattr(error, "retry_after_seconds", None)
    if isinstance(seconds, int | float):
        return max(1, math.ceil(seconds))
    return RETRY_AFTER_SECONDS


def _row(error: Exception) -> Row:
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return LAST_RESORT
