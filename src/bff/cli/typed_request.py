"""The request that an operator types for `bff explain`: its head, and the session that is supposed to be behind it. Pure."""

import json
import re
from collections.abc import Sequence

from bff.provider.client import Provider
from bff.request_head import Field, Peer, RequestHead, request_head
from bff.sessions.model import AccessToken, Grant, LiveSession, Session
from bff.web.gateway import Gateway
from bff.web.route_policy import user_targets

HIDDEN = "***"
SUBJECT = "the-user"  # `sub`, where `--claim` gives none
_SIGNED_IN_BEFORE = 60.0  # seconds: not so lately that a page load would be taken for a circle
_LASTS = 3600.0

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METHOD = _NAME
_URL = re.compile(r"(?:https?://([^/?]*))?(/[^?]*|(?=\?|\Z))(?:\?(.*))?", re.DOTALL)
_PAGE: tuple[Field, ...] = (
    (b"accept", b"text/html"),
    (b"sec-fetch-site", b"none"),
    (b"sec-fetch-mode", b"navigate"),
    (b"sec-fetch-dest", b"document"),
)
_HANDSHAKE: tuple[Field, ...] = (
    (b"sec-websocket-version", b"13"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),  # of RFC 6455 section 1.3
)


class NotTyped(ValueError):
    """What was typed is no request; the message says which part, and what it has to look like."""


def typed_head(
    gateway: Gateway, method: str, url: str, *, headers: Sequence[str], page: bool, csrf: bool, signed_in: bool
) -> RequestHead:
    """The head. `headers` win over what is assumed: Host, `X-CSRF: 1` with `csrf`, what browsers send with a page load, and a key and
    version for a WebSocket handshake of which neither is typed.

    Raises:
        NotTyped: the method, the URL or a header is none.
    """
    if _METHOD.fullmatch(method) is None:
        raise NotTyped("METHOD is one word, for example GET")
    parts = _URL.fullmatch(url)
    if parts is None:
        raise NotTyped("URL is a path such as /api/orders?open=1, or an http or https URL")
    if any(ord(character) < 0x20 for text in (url, *headers) for character in text):
        raise NotTyped("a URL or a header holds a line break or another control character")
    host, path, query = parts.groups()
    fields = [_field(header) for header in headers]
    assumed: list[Field] = [(b"host", gateway.site.host if host is None else _bytes(host))]
    if page:
        assumed += _PAGE
    elif csrf:
        assumed.append((b"x-csrf", b"1"))
    typed = {name for name, _ in fields}
    if _is_upgrade(fields) and typed.isdisjoint(name for name, _ in _HANDSHAKE):
        assumed += _HANDSHAKE
    fields = [*(field for field in assumed if field[0] not in typed), *fields]
    if signed_in:
        fields.append((b"cookie", gateway.cookies.session + b"=" + HIDDEN.encode("ascii")))
    return request_head(method.encode("ascii"), _bytes(path or "/"), _bytes(query or ""), fields, Peer(None, False))


def _is_upgrade(fields: list[Field]) -> bool:
    return any(name == b"upgrade" and value.lower() == b"websocket" for name, value in fields)


def typed_session(gateway: Gateway, provider: Provider, claims: Sequence[str], *, now: float) -> LiveSession:
    """A session with a fresh sign-in at `provider` and a token for each of its routes.

    `claims` are the user's, each `NAME=VALUE`; a name given twice has a list.

    Raises:
        NotTyped: a claim is not `NAME=VALUE`.
    """
    held = _claims(claims)
    token = AccessToken(value=HIDDEN, expires_at=None, refresh_at=None)
    auth_time = held.get("auth_time")
    grant = Grant(
        provider=provider.name,
        issuer=provider.config.issuer,
        client_id=provider.config.client_id,
        subject=str(held["sub"]),
        sid=None,
        claims=held,
        auth_time=float(auth_time) if isinstance(auth_time, int | float) else now,
        nonce=None,
        id_token=None,
        refresh_token=None,
        refresh_token_expires_at=None,
        access_tokens=tuple((target, token) for target in user_targets(gateway.config, provider.name)),
        granted_at=now - _SIGNED_IN_BEFORE,
    )
    ends = now + _LASTS
    session = Session(key="typed", version=1, created_at=grant.granted_at, absolute_expires_at=ends, grants=(grant,))
    return LiveSession(session=session, idle_expires_at=ends)


def _claims(typed: Sequence[str]) -> dict[str, object]:
    found: dict[str, list[object]] = {}
    for text in typed:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise NotTyped("--claim is NAME=VALUE, for example groups=admins")
        found.setdefault(name, []).append(_value(name, value))
    held = {name: values[0] if len(values) == 1 else values for name, values in found.items()}
    return {"sub": SUBJECT, **held}


def _value(name: str, text: str) -> object:
    """A text, but JSON where it is a list or an object; `auth_time` is a number."""
    if name != "auth_time" and text[:1] not in {"[", "{"}:
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        raise NotTyped(f"--claim {name}=... is not valid JSON") from error


def _field(header: str) -> Field:
    name, colon, value = header.partition(":")
    if not colon or _NAME.fullmatch(name) is None:
        raise NotTyped("--header is 'NAME: VALUE', for example 'Origin: https://app.example.com'")
    return name.lower().encode("ascii"), _bytes(value.strip(" \t"))


def _bytes(text: str) -> bytes:
    """As a terminal gave it, also where that is no UTF-8."""
    return text.encode("utf-8", "surrogateescape")
