"""Everything that can go wrong, grouped by whose fault it is.

    BffError
    ├── ConfigError                the operator    a configuration that cannot be run; carries every problem found
    ├── SecretUnavailable          the operator    a secret's file or variable is gone
    ├── BrowserError               the browser     nothing was done on its behalf
    │   ├── MalformedRequest           unusable path, repeated parameter
    │   ├── CallbackRefused            an authorization response that is not the answer to our question
    │   ├── CsrfRefused                the call does not prove that it comes from our own pages
    │   │   └── NotAPage                   an API was opened as a page
    │   ├── SignInLoop                 signing in has not helped, twice
    │   ├── LoginRequired              no session, or none at the route's provider
    │   │   └── StepUpRequired             the user has to authenticate in another way, or again
    │   ├── NotPermitted               the user's claims are not those that the route requires
    │   ├── NoRoute                    nothing is configured for this path
    │   ├── MethodNotAllowed           the route does not take this method
    │   ├── MisdirectedRequest         names a host that is not ours
    │   ├── PlainHttp                  came without TLS, where browsers are to use it
    │   ├── RequestTimeout             too slow in sending, or in reading
    │   ├── ContentTooLarge            more body than the route takes
    │   ├── WebSocketVersion           a WebSocket handshake of another version than 13
    │   ├── HeadTooLarge               more header fields than anybody needs
    │   ├── TargetTooLong              a longer target than we take
    │   ├── NotImplementedHere         a method or transfer coding that this server does not have
    │   ├── VersionNotSupported        neither HTTP/1.0 nor HTTP/1.1
    │   ├── LoopDetected               the request has been here before
    │   ├── MaxForwardsReached         an OPTIONS that we are to answer ourselves
    │   └── BrowserGone                it left: there is no one to answer
    ├── ProviderError              the provider
    │   ├── ProviderUnavailable        no answer, too slow, 5xx, 429: asking again later may help
    │   ├── ProviderRefused            an OAuth error response (RFC 6749 section 5.2)
    │   └── UnusableAnswer             an answer that is never used
    │       ├── ProviderMisbehaved         it breaks the specification
    │       └── JwtRefused                 a signed token (ID token, logout token, UserInfo) that fails its checks: never used
    ├── StoreUnavailable           the store       cannot ask; never to be read as "not found"
    └── UpstreamError              the upstream
        ├── UpstreamUnreachable        no connection
        ├── UpstreamBusy               our own limits towards it are used up
        ├── UpstreamBroke              broke HTTP, or went away before an answer
        └── UpstreamTimeout            too slow

Where two values differ that should not, `found` holds what came and `configured` what was expected (for keys: those that
were published). They are texts, quoted and cut, and no secrets. They are for the log, never for a browser, and stand in no
message of `JwtRefused`.

Decisions read attributes, never message text. No message carries a token, code, cookie, secret or query string (invariant 10).
The HTTP status of each class stands in one table, `web/problems.py`.
"""

from dataclasses import dataclass


class BffError(Exception):
    """Base of every error that this package raises on purpose."""


def evidence(error: BffError) -> dict[str, str]:
    """What an error found and what it expected, as fields of a log event; empty where it compared nothing."""
    names = ("found", "configured")
    return {name: value for name in names if (value := getattr(error, name, None)) is not None}


# --- the operator -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigProblem:
    """One thing wrong in the configuration file; `line` and `column` count from 1, `key` is dotted (`routes[0].path`)."""

    line: int
    column: int
    key: str
    message: str


class ConfigError(BffError):
    """The configuration cannot be run. `problems` holds all of them, in the order of the file; `warnings` the rest."""

    def __init__(
        self, *, file: str, problems: tuple[ConfigProblem, ...], warnings: tuple[ConfigProblem, ...] = ()
    ) -> None:
        super().__init__(f"{file}: {len(problems)} problem(s)")
        self.file = file
        self.problems = problems
        self.warnings = warnings


class SecretUnavailable(BffError):
    """A secret could not be read. `source` names the file or variable, never the value."""

    def __init__(self, source: str, *, reason: str) -> None:
        super().__init__(f"secret from {source}: {reason}")
        self.source = source
        self.reason = reason


# --- the browser ------------------------------------------------------------------------------------------------------


class BrowserError(BffError):
    """The request cannot be served as it was sent; `detail` is shown to the caller and says what to do."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class MalformedRequest(BrowserError):
    """A path, query or body that has no single meaning."""


class CallbackRefused(BrowserError):
    """An authorization response that does not belong to this browser, transaction and provider.

    `reason` is a short stable word for logs and tests, e.g. `state_unknown`, `iss_mismatch`, `nonce_mismatch`. `by_provider`: it is
    the provider's own error code (RFC 6749 section 4.1.2.1), and no check of ours has failed.
    """

    def __init__(
        self,
        detail: str,
        *,
        reason: str,
        by_provider: bool = False,
        found: str | None = None,
        configured: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.by_provider = by_provider
        self.found = found
        self.configured = configured


class CsrfRefused(BrowserError):
    """The call does not prove that it comes from our own pages (RFC 10017 section 6.1.3.3)."""


class NotAPage(CsrfRefused):
    """A page load on a route that asks for a header which no page load can send (R-317)."""


class SignInLoop(BrowserError):
    """This browser was signed in twice within a minute, and has no session on the page that asks for one (R-301)."""

    def __init__(self, detail: str, *, provider: str) -> None:
        super().__init__(detail)
        self.provider = provider


class LoginRequired(BrowserError):
    """No session, or no grant from the provider that the route needs; `provider` is that provider's name."""

    def __init__(self, detail: str, *, provider: str, reason: str | None = None) -> None:
        super().__init__(detail)
        self.provider = provider
        self.reason = reason  # a short stable word for logs, where it is known, e.g. `invalid_grant`


class StepUpRequired(LoginRequired):
    """The sign-in is too weak or too old for this call (RFC 9470).

    `ticket` says what a new sign-in has to ask for, signed by this gateway: a parameter of the login URL. `reason` is `acr`,
    `auth_time`, or `upstream`, which asked for it in `challenges` (its values of `WWW-Authenticate`).
    """

    def __init__(
        self, detail: str, *, provider: str, reason: str, ticket: str, challenges: tuple[bytes, ...] = ()
    ) -> None:
        super().__init__(detail, provider=provider)
        self.reason = reason
        self.ticket = ticket
        self.challenges = challenges


class NotPermitted(BrowserError):
    """The user's claims are not those that the route requires; `reason` names the claim, for the log."""

    def __init__(self, detail: str, *, reason: str) -> None:
        super().__init__(detail)
        self.reason = reason


class NoRoute(BrowserError):
    """Nothing is configured for this path, so nothing is forwarded; `reason`: where a route takes the path, what it lacks."""

    def __init__(self, detail: str, *, reason: str | None = None) -> None:
        super().__init__(detail)
        self.reason = reason


class MethodNotAllowed(BrowserError):
    """`allow` is the value of the `Allow` field."""

    def __init__(self, detail: str, *, allow: str) -> None:
        super().__init__(detail)
        self.allow = allow


class MisdirectedRequest(BrowserError):
    """The request names a host that is not ours (RFC 9110 section 15.5.20): `seen` it names, `wanted` is ours."""

    def __init__(self, detail: str, *, seen: str, wanted: str) -> None:
        super().__init__(detail)
        self.seen = seen
        self.wanted = wanted


class PlainHttp(BrowserError):
    """The browser used http where `public_url` is https; `location` is the same page over https, if a person waits for one."""

    def __init__(self, detail: str, *, location: str | None) -> None:
        super().__init__(detail)
        self.location = location


class RequestTimeout(BrowserError):
    """The browser did not send, or read, in time."""


class ContentTooLarge(BrowserError):
    """The request's content is larger than the route takes."""


class WebSocketVersion(BrowserError):
    """A WebSocket handshake of another version than 13 (426; RFC 6455 section 4.4)."""


class HeadTooLarge(BrowserError):
    """The request has more header fields than we take (431)."""


class TargetTooLong(BrowserError):
    """The request target is longer than we take (414)."""


class NotImplementedHere(BrowserError):
    """A method that is not known, or a transfer coding other than `chunked` (501; RFC 9110 section 9.1, RFC 9112 section 6.1)."""


class VersionNotSupported(BrowserError):
    """A version of HTTP that is not spoken here (505)."""


class LoopDetected(BrowserError):
    """Our own name stands in `Via`: a route leads back to us (508)."""


class MaxForwardsReached(BrowserError):
    """Not a failure: an OPTIONS with `Max-Forwards: 0` is answered here (200); `allow` is the value of the `Allow` field."""

    def __init__(self, detail: str, *, allow: str) -> None:
        super().__init__(detail)
        self.allow = allow


class BrowserGone(BrowserError):
    """The browser closed the connection before its answer was complete: no answer can be sent."""


# --- the provider -----------------------------------------------------------------------------------------------------


class ProviderError(BffError):
    """Something about a provider; `provider` is its name in the configuration."""

    def __init__(self, message: str, *, provider: str) -> None:
        super().__init__(f"provider {provider}: {message}")
        self.provider = provider


class ProviderUnavailable(ProviderError):
    """No usable answer now. Ends nothing: the session and its tokens stay.

    `reason` is a short stable word; `retry_after_seconds` is after how long asking again may help, where it is known; `unanswered`:
    the request may have been sent, and no answer came, so that what it carried may be spent.
    """

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        reason: str = "unavailable",
        retry_after_seconds: float | None = None,
        unanswered: bool = False,
    ) -> None:
        super().__init__(message, provider=provider)
        self.reason = reason
        self.retry_after_seconds = retry_after_seconds
        self.unanswered = unanswered


class ProviderRefused(ProviderError):
    """An OAuth error response. `error` is the code on the wire, or RFC 6749's (section 5.2) where a provider says the same by a code
    of its own; `status` is HTTP's."""

    def __init__(self, message: str, *, provider: str, error: str, status: int = 400) -> None:
        super().__init__(message, provider=provider)
        self.error = error
        self.status = status


class UnusableAnswer(ProviderError):
    """An answer that is never used. `reason` is a short stable word; `found` and `configured` are what differed, for the log."""

    def __init__(
        self,
        message: str,
        *,
        provider: str,
        reason: str,
        found: str | None = None,
        configured: str | None = None,
    ) -> None:
        super().__init__(message, provider=provider)
        self.reason = reason
        self.found = found
        self.configured = configured


class ProviderMisbehaved(UnusableAnswer):
    """An answer that breaks the specification; `reason` is e.g. `token_type`, `not_json`."""


class JwtRefused(UnusableAnswer):
    """A JWT that fails a check; `reason` is e.g. `signature`, `nonce`, `expired`, `aud`, `alg`."""


# --- the store --------------------------------------------------------------------------------------------------------


class StoreUnavailable(BffError):
    """The session store did not answer. Not the same as "no such session": no user is signed out by it.

    `reason` is a stable word for why, where that is known: `store_loading`, `store_full` and so on.
    """

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason


# --- the upstream -----------------------------------------------------------------------------------------------------


class UpstreamError(BffError):
    """Something about the resource server behind a route; `origin` and `what` are for logs, never for the caller.

    `reason` is a stable word for what failed, e.g. `name`, `refused`, `certificate`, `first_byte`, `lost`, `http`; `what` says more.
    """

    def __init__(self, message: str, *, origin: str, reason: str | None = None) -> None:
        super().__init__(f"upstream {origin}: {message}")
        self.origin = origin
        self.reason = reason
        self.what = message


class UpstreamUnreachable(UpstreamError):
    """No connection could be made (name, network, TLS)."""


class UpstreamBusy(UpstreamError):
    """All connections are in use and the queue is full."""


class UpstreamBroke(UpstreamError):
    """It broke HTTP, or closed before a complete answer."""


class UpstreamTimeout(UpstreamError):
    """It did not connect, answer or go on in time."""
