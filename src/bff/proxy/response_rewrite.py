"""From an upstream's response fields to the browser's.

Field order and multiplicity stay as they were (invariant 3). No value carries CR, LF or NUL: they become spaces (RFC 9110
section 5.5).
"""

import re

from bff.proxy.field_rules import MAX_SET_COOKIE, PLAIN_RESPONSE, ResponseRules
from bff.proxy.fields import (
    PLAIN_CONNECTIONS,
    RESPONSE_VERDICTS,
    SITE_COMMANDS,
    Verdict,
    clears_cookies,
    commands_site,
    connection_options,
    may_set_cookie,
    without,
)
from bff.proxy.response_head import ResponseHead
from bff.request_head import Field, field_lines, splits_lines

# 204 has no length (RFC 9110 section 8.6); a 304 may leave it out, and none is sent for content that does not follow.
_NO_CONTENT = frozenset({204, 304})


_LINES_TO_SPACES = bytes.maketrans(b"\r\n\0", b"   ")

# `private="set-cookie"` is about that field alone: a shared cache may keep the rest (RFC 9111 section 5.2.2.7).
_SHARED_CACHES_NAMED = re.compile(
    rb"(?:^|[ \t,])(?:(?:private|no-store|public|must-revalidate)(?:$|[ \t,])|s-maxage(?:$|[ \t,=]))", re.IGNORECASE
)
_PRIVATE = ((b"cache-control", b"private"),)
_PRIVATE_NO_CACHE = ((b"cache-control", b"private, no-cache"),)
_VALIDATORS = frozenset({b"etag", b"last-modified"})
_PRIVATE_NO_STORE = ((b"cache-control", b"private, no-store"),)

# A cache that a targeted field is for does not look at Cache-Control (RFC 9213 section 2.2). Surrogate-Control and Edge-Control are
# older than that, and mean the same.
_TARGETED = (b"cdn-cache-control", b"surrogate-control", b"edge-control")
_NOT_STORED = b"no-store"

_SAYS_CACHING = frozenset({b"cache-control", b"expires"})
_LOOKED_AT = frozenset(RESPONSE_VERDICTS) | _SAYS_CACHING


def response_fields(
    status: int, fields: list[Field], *, private_default: bool, rules: ResponseRules = PLAIN_RESPONSE
) -> list[Field]:
    """What of an upstream's response fields, whose names are lower case, the browser may see.

    Dropped: hop-by-hop fields and the fields that `Connection` names, `Set-Cookie` for our names, `Clear-Site-Data` that would
    clear our cookies, what commands the proxies in front of us or the whole site, cookies beyond `MAX_SET_COOKIE`, and a
    Content-Length where no content follows. `rules` are the route's, and come last. With `private_default` (a user's token
    was attached) caches between the browser and us, which cannot see it, must be forbidden to store it (RFC 9111 section 3.5);
    those that an upstream speaks to by a field of their own are forbidden there.
    """
    out: list[Field] = []
    listed: list[bytes] = []
    says_caching = False
    for field in fields:
        name, value = field
        if name not in _LOOKED_AT:
            if not commands_site(name) or name in rules.passes:
                out.append(field)
        elif name in _SAYS_CACHING:
            says_caching = True
            out.append(field)
        elif name == b"connection":
            listed.append(value)
        elif _shown(RESPONSE_VERDICTS[name], value, status=status) or (name in rules.passes and name in SITE_COMMANDS):
            out.append(field)
    if listed not in PLAIN_CONNECTIONS:
        out = without(out, connection_options(listed))
    if private_default:
        out = _targeted_defaults(out, rules.passes)
        out += _cache_defaults(status, out, says_caching=says_caching)
    if splits_lines(out):
        out = [(name, value.translate(_LINES_TO_SPACES)) for name, value in out]
    out = _bounded_cookies(out)
    return out if rules.is_plain else rules.apply(out)


def _bounded_cookies(fields: list[Field]) -> list[Field]:
    """The first cookies of an answer; a browser that is sent hundreds evicts others of the host, ours too (R-368)."""
    names = [name for name, _ in fields]
    if names.count(b"set-cookie") <= MAX_SET_COOKIE:
        return fields
    seen = 0
    kept: list[Field] = []
    for field in fields:
        seen += field[0] == b"set-cookie"
        if field[0] != b"set-cookie" or seen <= MAX_SET_COOKIE:
            kept.append(field)
    return kept


def response_lines(head: ResponseHead, *, private_default: bool, rules: ResponseRules = PLAIN_RESPONSE) -> bytes:
    """The same as they are written, for a head that was read whole: worked out once for all responses that begin with it."""
    key = (rules, private_default)
    lines = head.shown.get(key)
    if lines is None:
        shown = response_fields(head.status, head.fields, private_default=private_default, rules=rules)
        lines = head.shown[key] = field_lines(shown)
    return lines


def _shown(verdict: Verdict, value: bytes, *, status: int) -> bool:
    if verdict is Verdict.LENGTH:
        return status not in _NO_CONTENT
    if verdict is Verdict.COOKIE:
        return may_set_cookie(value)
    return verdict is Verdict.SITE_DATA and not clears_cookies(value)


def _targeted_defaults(fields: list[Field], passes: frozenset[bytes]) -> list[Field]:
    """`no-store` in the place of a targeted field that says nothing of private or public, as Cache-Control gets `private`."""
    return [
        (name, _NOT_STORED)
        if name.endswith(_TARGETED) and name not in passes and not _SHARED_CACHES_NAMED.search(value)
        else (name, value)
        for name, value in fields
    ]


def _cache_defaults(status: int, fields: list[Field], *, says_caching: bool) -> tuple[Field, ...]:
    """`Cache-Control` where the upstream sends none; nothing for 304, which would rewrite what is stored already.

    With a validator the browser may keep the answer and ask whether it has changed: that question carries the cookie (R-373).
    """
    if status == 304:
        return ()
    if not says_caching:
        has_validator = any(name in _VALIDATORS for name, _ in fields)
        return _PRIVATE_NO_CACHE if has_validator else _PRIVATE_NO_STORE
    directives = [value for name, value in fields if name == b"cache-control"]
    if directives:
        return () if _SHARED_CACHES_NAMED.search(b",".join(directives)) else _PRIVATE
    return _PRIVATE if any(name == b"expires" for name, _ in fields) else _PRIVATE_NO_STORE
