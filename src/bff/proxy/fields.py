"""What becomes of a field because of its name, and of our cookies inside the fields that carry cookies.

A verdict needs the name alone, so that a browser's eleven fields cost eleven dictionary look-ups. Names are compared
without case and with `_` read as `-`, since upstreams that speak CGI or WSGI cannot tell them apart; what is spelled
with `_` is dropped. A name that is not listed passes (RFC 9110 section 5.1), unless it begins as one of ours does.
"""

from collections.abc import Iterable
from enum import Enum, auto
from functools import lru_cache

from bff.errors import MalformedRequest

SESSION_COOKIE = "__Host-Http-bff"
LOGIN_COOKIE = "__Host-Http-bff-login"
ROUNDS_COOKIE = "__Host-Http-bff-rounds"
SIGNED_OUT_COOKIE = "__Host-Http-bff-out"


class Verdict(Enum):
    """What the rewrite does with a field from the browser."""

    PASS = auto()
    DROP = auto()  # hop-by-hop, ours to say, or ours to answer
    CONNECTION = auto()  # names further fields to drop
    COOKIE = auto()  # our cookies are taken out
    LENGTH = auto()  # framing
    CODING = auto()  # framing
    VIA = auto()
    MAX_FORWARDS = auto()
    FORWARDED = auto()  # believed from a trusted peer only
    FORWARDED_FOR = auto()  # the same
    SITE_DATA = auto()  # responses only: could take our cookies away


# RFC 9110 section 7.6.1, and `Trailer`: we forward no trailers. `HTTP2-Settings` belongs to `Upgrade: h2c`.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
    }
)
# What upstreams are known to read an identity, an address or a method from. Ours to say, also where we say nothing.
OURS_TO_SAY = frozenset(
    {
        b"authorization",
        b"dpop",  # RFC 9449: proves the possession of a key, which is ours
        b"client-ip",
        b"destination",  # RFC 4918 section 10.3: would name a target that the route's prefix never saw
        b"cf-connecting-ip",
        b"fastly-client-ip",
        b"remote-addr",
        b"remote-user",
        b"ssl-client-cert",
        b"ssl-client-verify",
        b"client-cert",  # RFC 9440
        b"client-cert-chain",
        b"true-client-ip",
        b"x-authenticated-user",
        b"x-client-ip",
        b"x-cluster-client-ip",
        b"x-http-method-override",  # a method that the route's allow-list never saw
        b"x-http-method",
        b"x-method-override",
        b"x-original-forwarded-for",
        b"x-original-host",
        b"x-original-method",
        b"x-original-uri",
        b"x-original-url",
        b"x-real-ip",
        b"x-remote-user",
        b"x-rewrite-url",
        b"x-user",
    }
)
OURS_BY_PREFIX = (b"x-forwarded-", b"x-auth-request-", b"x-bff-", b"x-ssl-client-")

# RFC 9110 section 10.1.1: the server in front of us has answered it.
_ANSWERED_HERE = frozenset({b"expect", b"host"})
# Parts of an upgrade: websocket.py writes its own.
_HANDSHAKE = frozenset(
    {b"sec-websocket-accept", b"sec-websocket-extensions", b"sec-websocket-key", b"sec-websocket-protocol"}
    | {b"sec-websocket-version"}
)

# What browsers send most; asked first, since membership in a set costs half a look-up in a dictionary.
PASSED = frozenset(
    (
        b"accept accept-charset accept-encoding accept-language access-control-request-headers "
        b"access-control-request-method baggage cache-control content-disposition content-encoding "
        b"content-language content-location content-range content-type date dnt from if-match "
        b"if-modified-since if-none-match if-range if-unmodified-since last-event-id origin pragma prefer priority "
        b"purpose range referer save-data sec-ch-ua sec-ch-ua-arch sec-ch-ua-mobile sec-ch-ua-model "
        b"sec-ch-ua-platform sec-ch-ua-platform-version sec-fetch-dest sec-fetch-mode sec-fetch-site "
        b"sec-fetch-user sec-gpc sec-purpose traceparent tracestate upgrade-insecure-requests user-agent x-csrf "
        b"x-request-id x-requested-with "
    ).split()
)

VERDICTS: dict[bytes, Verdict] = {
    **dict.fromkeys(PASSED, Verdict.PASS),
    **dict.fromkeys(HOP_BY_HOP | OURS_TO_SAY | _ANSWERED_HERE | _HANDSHAKE, Verdict.DROP),
    b"connection": Verdict.CONNECTION,
    b"content-length": Verdict.LENGTH,
    b"transfer-encoding": Verdict.CODING,
    b"cookie": Verdict.COOKIE,
    b"via": Verdict.VIA,
    b"max-forwards": Verdict.MAX_FORWARDS,
    b"forwarded": Verdict.FORWARDED,
    b"x-forwarded-for": Verdict.FORWARDED_FOR,
}

# What is not listed passes. Alt-Svc speaks of the upstream's own origin, not of the one that browsers see (RFC 7838).
RESPONSE_VERDICTS: dict[bytes, Verdict] = {
    **dict.fromkeys(HOP_BY_HOP | {b"alt-svc"}, Verdict.DROP),
    b"connection": Verdict.CONNECTION,
    b"content-length": Verdict.LENGTH,
    b"set-cookie": Verdict.COOKIE,
    b"clear-site-data": Verdict.SITE_DATA,
}

_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
_RESERVED = b"__host-"
_OUR_COOKIE = SESSION_COOKIE.lower().encode("ascii")


def judge(name: bytes) -> Verdict:
    """The verdict on any name, in any case.

    Raises:
        MalformedRequest: not a field name (RFC 9110 section 5.1).
    """
    name = name.lower()
    if not name or name.translate(None, _TOKEN):
        raise MalformedRequest("a header field has an impossible name")
    if b"_" in name:
        return Verdict.DROP
    return VERDICTS.get(name, Verdict.DROP if name.startswith(OURS_BY_PREFIX) else Verdict.PASS)


def is_token(text: str) -> bool:
    """Whether a text is a token (RFC 9110 section 5.6.2)."""
    return text.isascii() and text != "" and not text.lower().encode("ascii").translate(None, _TOKEN)


def connection_options(values: Iterable[bytes]) -> frozenset[bytes]:
    """The lower-case names that `Connection` fields list (RFC 9110 section 7.6.1)."""
    return frozenset(option.strip(b" \t").lower() for value in values for option in value.split(b","))


@lru_cache(maxsize=256)  # pages call in bursts: 0.1 us, not 1. A field that is kept opens nothing after sign-out
def strip_cookies(value: bytes) -> bytes | None:
    """A `Cookie` value without our cookies, the others byte for byte; None when nothing is left.

    Case-blind, and blind to quotes: every `;` ends a pair, as it does for browsers (RFC 6265 section 5.4).
    """
    if _RESERVED not in value.lower():
        return value
    kept = [pair for pair in value.split(b";") if not _is_ours(pair.partition(b"=")[0].strip().lower())]
    return b";".join(kept).strip(b" \t;") or None


def _is_ours(name: bytes) -> bool:
    """Whether a gateway sets this cookie: the session's, the login's, and both with any suffix, of other gateways on this host too."""
    return name == _OUR_COOKIE or name.startswith(_OUR_COOKIE + b"-")


def may_set_cookie(value: bytes) -> bool:
    """Whether an upstream may send this `Set-Cookie`: not for our names, nor any `__Host-` name, which all are ours.

    Leading `=` is skipped: browsers take `=__Host-x=1` for a nameless cookie and send it back as `__Host-x=1`.
    """
    return not value.lstrip(b"\t =").lower().startswith(_RESERVED)


def clears_cookies(value: bytes) -> bool:
    """Whether a `Clear-Site-Data` value would take our cookies away, too."""
    return any(kind in value.lower() for kind in (b"cookies", b"*"))
