"""Fields that have another value in each request of a page: ids and traces, written by proxies and by tracing in the page.

Without them the lines of a page's calls are equal, and what is kept about equal lines serves them all
(`request_head.section_of_lines`). No judgement reads these fields. The id is replaced by ours or a trusted proxy's; of the others each
request has its own value.
"""

import re

from msgspec import Struct

from bff.request_id import NAME as REQUEST_ID

VARYING = frozenset(
    {
        b"cf-ray",  # Cloudflare
        b"sentry-trace",
        b"traceparent",  # https://www.w3.org/TR/trace-context/
        b"x-amzn-trace-id",
        b"x-azure-ref",
        b"x-b3-spanid",
        b"x-b3-traceid",
        b"x-cloud-trace-context",
        b"x-correlation-id",
        b"x-datadog-parent-id",
        b"x-datadog-trace-id",
        b"x-request-start",
        b"x-trace-id",
    }
)

MAX_SPELLINGS = 8

_NAME = re.compile(rb"\n(%b):" % b"|".join(sorted({REQUEST_ID, *VARYING})))
# One word of visible ASCII; a line that begins with white space belongs to the one before (obs-fold, RFC 9112 section 5.2).
_VALUE = re.compile(rb"[ \t]*([\x21-\x7e]{1,128})[ \t]*(?=\r\n(?![ \t]))")

# A line's beginning -> the field's name. Measured by callgrind: 17,000 instructions to look for the spellings that come, 28,000 for
# every name in every case.
_spellings: dict[bytes, bytes] = {}


class Parted(Struct, frozen=True):
    """A head's field lines without what varies: the line of `request_id` is cut out, of `varying` the values are."""

    lines: bytes
    request_id: bytes | None
    varying: tuple[tuple[bytes, bytes], ...]


def learn_spellings(lines: bytes) -> None:
    """Note how these lines spell the names of fields that vary, for `parted`."""
    lines = b"\r\n" + lines
    for found in _NAME.finditer(lines.lower()):
        beginning = lines[found.start() - 1 : found.end()]
        if beginning not in _spellings:
            if len(_spellings) >= MAX_SPELLINGS:
                del _spellings[next(iter(_spellings))]  # the oldest
            _spellings[beginning] = found[1]


def parted(lines: bytes) -> Parted:
    """The lines of a head's fields, which end with an empty line, without what varies and is spelled as was learnt lately.

    They stay as they are if such a field is there twice, or is not one word in one line.
    """
    rest, values = b"\r\n" + lines, {}
    for beginning, name in _spellings.items():
        at = rest.find(beginning)
        if at < 0:
            continue
        found = _VALUE.match(rest, at + len(beginning))
        if found is None or name in values or rest.find(beginning, at + 1) >= 0:
            return Parted(lines, None, ())
        values[name] = found[1]
        rest = rest[: at if name == REQUEST_ID else found.pos] + rest[found.end() :]
    request_id = values.pop(REQUEST_ID, None)
    return Parted(rest[2:], request_id, tuple(values.items()))
