"""Fields that the operator adds to answers or takes out of them: `response_headers: {set: {NAME: VALUE}, remove: [NAME]}`.

A name that frames or routes a message, or says how content is coded, is never the operator's: a message with two meanings is what
request smuggling is made of.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bff.config.spelling import SpellingError

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")  # RFC 9110 section 5.6.2
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?")  # section 5.5, without the tab

_FRAMING = frozenset(
    {
        *(
            "connection",
            "content-length",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ),
        *("content-encoding", "content-range", "date", "host", "proxy-authenticate", "proxy-authorization"),
    }
)
_OURS = frozenset({"set-cookie", "set-cookie2", "www-authenticate"})

CSP = b"content-security-policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderChanges:
    """What happens to the fields of an answer; names are lower case. `remove` comes first, so that `set` replaces."""

    set: tuple[tuple[bytes, bytes], ...] = ()
    remove: frozenset[bytes] = frozenset()

    def apply(self, fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The fields as they are to be sent, in their order, what is set at the end."""
        gone = self.remove.union(name for name, _ in self.set)
        return [*(field for field in fields if field[0] not in gone), *self.set]


_OURS_IN_REQUESTS = frozenset(
    {
        *("authorization", "cookie", "destination", "via", "max-forwards", "expect", "forwarded", "x-csrf", "dpop"),
        *("x-request-id", "traceparent", "tracestate"),
    }
)
_OURS_IN_REQUESTS_BY_PREFIX = ("x-forwarded-", "x-bff-", "sec-websocket-")


def request_name(text: str) -> str:
    """The name of a request field that the operator may set, remove or let through, in lower case.

    Raises:
        SpellingError: it is no name, or one of the gateway's. `_` is refused: upstreams that speak CGI read it as `-`.
    """
    name = text.lower()
    if not _TOKEN.fullmatch(text) or "_" in text:
        raise SpellingError("is no field name: letters, digits and hyphens")
    if name in _FRAMING:
        raise SpellingError("frames or routes the message: the gateway itself sets it")
    if name in _OURS_IN_REQUESTS or name.startswith(_OURS_IN_REQUESTS_BY_PREFIX):
        raise SpellingError("is set by the gateway itself")
    return name


def response_name(text: str) -> str:
    """The name of a response field that the operator may set or remove, in lower case.

    Raises:
        SpellingError: it is no name, or one of the gateway's.
    """
    name = text.lower()
    if not _TOKEN.fullmatch(text):
        raise SpellingError("is no field name: letters, digits and hyphens")
    if name in _FRAMING:
        raise SpellingError("frames or routes the message: the gateway itself sets it")
    if name == "x-request-id":
        raise SpellingError("is set by the gateway itself")
    if name in _OURS:
        raise SpellingError("belongs to the session: the gateway itself sets it")
    return name


def field_value(text: str) -> str:
    """A field's value: visible ASCII on one line."""
    if not _VALUE.fullmatch(text):
        raise SpellingError("is no field value: visible ASCII and single lines only")
    return text


def once_each(names: Iterable[str]) -> None:
    """Refuse a name that is there twice; case makes no other name (RFC 9110 section 5.1)."""
    lower = [name.lower() for name in names]
    if len(set(lower)) != len(lower):
        raise SpellingError("names one field twice: upper and lower case make no difference")
