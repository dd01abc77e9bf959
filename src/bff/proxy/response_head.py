"""The head of a response that says how long its content is, read whole. Pure.

llhttp judges it, and its lines are its fields: a callback of llhttp for each field costs 1.5 us of 20 a call. Everything else (no
length, chunks, interim responses) is for the parser in `reader.py` to tell.

An API's heads repeat: within a second also their `Date` is the same. So the last ones are kept, with what was made of them. None is
kept that has a `Set-Cookie`, and at most 256 of 4 KB.
"""

from httptools import HttpParserError, HttpResponseParser
from msgspec import Struct

from bff.proxy.field_rules import ResponseRules
from bff.request_head import Field, fields_of_head

MAX_KEPT_HEAD = 4096  # bytes
MAX_KEPT = 256

_NO_CONTENT = frozenset({204, 304})
_WITH_CONTENT = frozenset(b"%d" % status for status in range(200, 600) if status not in _NO_CONTENT)
_STAYS_OPEN = frozenset({None, b"keep-alive"})  # values of `Connection` that leave a connection open and name no field


class Judge:
    """The callbacks of a parser that only judges a head: none."""

    on_message_begin = on_status = on_header = on_headers_complete = None
    on_body = on_message_complete = on_chunk_header = on_chunk_complete = None


JUDGE = Judge()


class ResponseHead(Struct, frozen=True, eq=False):
    """Never change `fields`: equal heads share them. `shown` holds what `response_rewrite.response_lines` has made of it."""

    status: int
    fields: list[Field]  # lower-case names, wire order
    length: int  # of the content, above zero
    keep_alive: bytes | None
    media_type: bytes | None
    shown: dict[tuple[ResponseRules, bool], bytes]


_kept: dict[bytes, ResponseHead] = {}

# The head in these bytes, if it was read lately.
kept_head = _kept.get

# Drops every head that is kept, as `request_head.forget_sections` does.
forget_heads = _kept.clear


def read_head(head: bytes) -> ResponseHead | None:
    """The head in these bytes, which end with its empty line; None: it is of another kind, or cannot be read."""
    if head[:8] != b"HTTP/1.1" or head[9:12] not in _WITH_CONTENT:
        return None
    fields = fields_of_head(head)
    named = dict(fields)
    length = named.get(b"content-length")
    if not length or length == b"0" or b"transfer-encoding" in named or named.get(b"connection") not in _STAYS_OPEN:
        return None
    try:
        HttpResponseParser(JUDGE).feed_data(head)
    except HttpParserError:
        return None
    read = ResponseHead(int(head[9:12]), fields, int(length), named.get(b"keep-alive"), named.get(b"content-type"), {})
    if len(head) <= MAX_KEPT_HEAD and b"set-cookie" not in named:
        if len(_kept) >= MAX_KEPT:
            del _kept[next(iter(_kept))]  # the oldest
        _kept[head] = read
    return read
