"""Every error and the answer it becomes: one table (RFC 9457). No answer names a host, a token or a query string.

`detail` comes from the error only where the browser is to blame and can do something about it; for all other errors it is in
the words of this table, with the request id under which the log has the rest (ASVS V16.5.1).
"""

import json
import math
from dataclasses import dataclass
from typing import NamedTuple
from urllib.parse import urlencode

from bff import errors
from bff.request_head import Field, RequestHead
from bff.request_id import new_request_id
from bff.telemetry import requests as telemetry
from bff.telemetry.accounts import Account
from bff.web.answers import OwnAnswer, answer, redirect, with_request_id
from bff.web.pages import Look, PageFacts, page_answer, problem_page, requested_path, with_return_to

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
    errors.NotAPage: Row(403, "not-a-page", "Not a page"),
    errors.SignInLoop: Row(400, "sign-in-loop", "Signing in does not help"),
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


class SignInFailed(Exception):
    """A sign-in at `provider` ended in `error`; it was to lead to `return_to`. `error` may be shared, so it is not changed.

    `more`: fields of the answer that leads to the app's own page for failed sign-ins.
    """

    def __init__(self, error: Exception, *, provider: str, return_to: str, more: tuple[Field, ...] = ()) -> None:
        super().__init__(str(error))
        self.error = error
        self.provider = provider
        self.return_to = return_to
        self.more = more


class Shown(NamedTuple):
    """To whom and how an error is shown: `page` is where a failed sign-in ends instead of on a page of ours."""

    look: Look
    sign_in_error: str | None


def problem_of(
    error: Exception,
    head: RequestHead | None = None,
    *,
    base_path: str,
    https: bool,
    shown: Shown | None = None,
    account: Account | None = None,
) -> OwnAnswer:
    """The answer to an error; the request id in it is also in the log event written here (R-364), or in the line of `account`.

    A person gets a page: where `head` says that one waits, and `shown` says how pages look.
    """
    request_id = new_request_id() if head is None else head.request_id
    name = request_id.decode("ascii")
    cause = error.error if isinstance(error, SignInFailed) else error
    row = row_of(cause)
    telemetry.problem_answered(cause, kind=row.type, status=row.status, request_id=name, head=head, account=account)
    own = _answer(error, head, row, name, base_path=base_path, https=https, shown=shown)
    return with_request_id(own, request_id)


def _answer(
    error: Exception,
    head: RequestHead | None,
    row: Row,
    request_id: str,
    *,
    base_path: str,
    https: bool,
    shown: Shown | None,
) -> OwnAnswer:
    failed = error if isinstance(error, SignInFailed) else None
    cause = error if failed is None else failed.error
    detail = _detail(cause, row)
    url = login_url(base_path, cause) if isinstance(cause, errors.LoginRequired) else None
    more = _fields(cause, row, url)
    if head is None or shown is None or not head.wants_page:
        return _json(row, detail, request_id, url, more=more, https=https)
    if failed is not None and shown.sign_in_error is not None:
        return redirect(_page_of_the_app(shown.sign_in_error, failed, row, request_id), https=https, more=failed.more)
    shown_facts = PageFacts(
        status=row.status,
        kind=row.type,
        detail=detail,
        request_id=request_id,
        login_url=_sign_in_again(error, head, base_path),
        retry_after=_retry_after_seconds(cause) if row.status == 503 else None,
    )
    return page_answer(row.status, problem_page(shown_facts, cause, head, shown.look), https=https, more=more)


# What failed at an upstream, in words that name no host. The keys are the reasons of `UpstreamError`.
UPSTREAM_DETAILS = {
    "name": "The name of the API's server was not found.",
    "refused": "The API's server refuses connections: it is not running, or listens elsewhere.",
    "certificate": "The certificate of the API's server cannot be trusted.",
    "tls": "No TLS connection to the API's server could be made.",
    "unreachable": "The network does not lead to the API's server.",
    "stopping": "The gateway is stopping.",
    "connect": "The API's server took no connection in time.",
    "upload": "The API stopped taking the content of the request.",
    "first_byte": "The API did not begin to answer in time.",
    "idle": "The API stopped in the middle of its answer.",
    "lost": "The API's server closed the connection before its answer was complete.",
    "http": "The API's answer breaks the rules of HTTP.",
}


def _detail(error: Exception, row: Row) -> str:
    if isinstance(error, errors.BrowserError):
        return error.detail
    if isinstance(error, errors.UpstreamError) and error.reason is not None:
        return UPSTREAM_DETAILS.get(error.reason, row.detail)
    return row.detail


def _json(
    row: Row, detail: str, request_id: str, url: str | None, *, more: tuple[Field, ...], https: bool
) -> OwnAnswer:
    content: dict[str, object] = {
        "type": f"urn:bff:problem:{row.type}",
        "title": row.title,
        "status": row.status,
        "detail": detail,
        "request_id": request_id,
        **({} if url is None else {"login_url": url}),
    }
    return answer(row.status, json.dumps(content).encode(), "application/problem+json", https=https, more=more)


def _fields(error: Exception, row: Row, url: str | None) -> tuple[Field, ...]:
    """The fields that belong to the status."""
    if url is not None:  # RFC 9110 section 11.6.1: a 401 may carry several challenges
        others = error.challenges if isinstance(error, errors.StepUpRequired) else ()
        challenges = (f'BFF login_url="{url}"'.encode("ascii"), *others)
        return tuple((b"www-authenticate", challenge) for challenge in challenges)
    if isinstance(error, errors.MethodNotAllowed):
        return ((b"allow", error.allow.encode("ascii")),)
    if isinstance(error, errors.WebSocketVersion):
        # RFC 9110 section 15.5.22: "The server MUST send an Upgrade header field in a 426 response"; RFC 6455 section 4.4.
        return ((b"connection", b"upgrade"), (b"upgrade", b"websocket"), (b"sec-websocket-version", b"13"))
    return ((b"retry-after", b"%d" % _retry_after_seconds(error)),) if row.status == 503 else ()


def _sign_in_again(error: Exception, head: RequestHead, base_path: str) -> str | None:
    """Where a sign-in starts that leads where this request, or the sign-in that failed, was to lead; None: none would help."""
    if isinstance(error, SignInFailed):
        return with_return_to(sign_in_url(base_path, provider=error.provider), error.return_to)
    return_to = requested_path(head) if head.is_navigation else "/"
    if isinstance(error, errors.LoginRequired):
        return with_return_to(login_url(base_path, error), return_to)
    if isinstance(error, errors.SignInLoop):
        return with_return_to(sign_in_url(base_path, provider=error.provider), return_to)
    return None


def _page_of_the_app(path: str, failed: SignInFailed, row: Row, request_id: str) -> str:
    """The app's own page for failed sign-ins, with what it needs to tell them and to begin another one."""
    facts = {
        "error": row.type,
        "reason": getattr(failed.error, "reason", None),
        "provider": failed.provider,
        "return_to": failed.return_to,
        "request_id": request_id,
    }
    query = urlencode({name: value for name, value in facts.items() if value is not None}, safe="/")
    return f"{path}{'&' if '?' in path else '?'}{query}"


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


def row_of(error: Exception) -> Row:
    """How this error is answered."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind]
    return LAST_RESORT
