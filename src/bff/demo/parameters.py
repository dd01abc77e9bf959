"""The messages that reach the demo provider, read strictly: a parameter stands at most once (RFC 6749 section 3.1).

Only `resource` may be repeated (RFC 8707 section 2). A parameter without a value counts as left out.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from hmac import compare_digest
from urllib.parse import SplitResult, parse_qsl, unquote_plus, urlsplit

from bff.demo.grants import Client, OAuthError

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request as the provider received it; `path` is below the issuer's own path, e.g. `/token`."""

    method: str
    path: str
    query: Pairs = field(repr=False)
    form: Pairs = field(repr=False)
    headers: Pairs = field(repr=False)
    cookies: Mapping[str, str] = field(repr=False)

    @property
    def parameters(self) -> Pairs:
        """What the caller asked: the form of a POST, the query of anything else."""
        return self.form if self.method == "POST" else self.query

    def header(self, name: str) -> str | None:
        """The first field of this (lower-case) name."""
        return next((value for key, value in self.headers if key == name), None)


def parse_pairs(text: str) -> Pairs:
    """Decode `application/x-www-form-urlencoded`; empty values are dropped.

    Raises:
        OAuthError: `invalid_request`, when it is not UTF-8.
    """
    try:
        return tuple(parse_qsl(text, errors="strict"))
    except ValueError as error:
        raise OAuthError("invalid_request", "parameters are not readable") from error


def every(pairs: Pairs, name: str) -> tuple[str, ...]:
    """All values of a parameter that may be repeated."""
    return tuple(value for key, value in pairs if key == name)


def optional(pairs: Pairs, name: str) -> str | None:
    """The value of a parameter that may be left out.

    Raises:
        OAuthError: `invalid_request`, when it stands there twice.
    """
    values = every(pairs, name)
    if len(values) > 1:
        raise OAuthError("invalid_request", f"{name} is repeated")
    return values[0] if values else None


def required(pairs: Pairs, name: str) -> str:
    """The value of a parameter that must be there.

    Raises:
        OAuthError: `invalid_request`, when it is missing or stands there twice.
    """
    value = optional(pairs, name)
    if value is None:
        raise OAuthError("invalid_request", f"{name} is missing")
    return value


def resources(pairs: Pairs) -> tuple[str, ...]:
    """The resource indicators: absolute URIs without a fragment (RFC 8707 section 2).

    Raises:
        OAuthError: `invalid_target`.
    """
    values = every(pairs, "resource")
    for value in values:
        parts = _split(value)
        if not parts.scheme or not (parts.netloc or parts.path) or "#" in value:
            raise OAuthError("invalid_target", "resource must be an absolute URI without a fragment")
    return values


def _split(uri: str) -> SplitResult:
    try:
        return urlsplit(uri)
    except ValueError as error:
        raise OAuthError("invalid_target", "resource must be an absolute URI without a fragment") from error


def authenticate(call: Call, clients: Mapping[str, Client]) -> Client:
    """The client that sent this request, proven by its secret (RFC 6749 section 2.3.1).

    Raises:
        OAuthError: `invalid_client` (401), or `invalid_request` when it uses two methods at once (section 2.3).
    """
    basic = _basic_credentials(call.header("authorization"))
    posted = optional(call.form, "client_secret")
    if basic is not None and posted is not None:
        raise OAuthError("invalid_request", "two ways of client authentication in one request")
    method = "client_secret_basic" if basic is not None else "client_secret_post"
    client_id, secret = basic or (optional(call.form, "client_id") or "", posted or "")
    client = clients.get(client_id)
    if client is None or client.auth_method not in {None, method}:
        raise OAuthError("invalid_client", "unknown client, or not with this method", status=401)
    if not secret or not compare_digest(secret.encode(), client.secret.encode()):
        raise OAuthError("invalid_client", "wrong secret", status=401)
    return client


def _basic_credentials(authorization: str | None) -> tuple[str, str] | None:
    scheme, _, encoded = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode("utf-8").partition(":")
        return unquote_plus(user, errors="strict"), unquote_plus(password, errors="strict")
    except ValueError as error:
        raise OAuthError("invalid_client", "unreadable credentials", status=401) from error
