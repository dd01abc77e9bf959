"""Which part of a file a request wants (RFC 9110 section 14): one range is answered with 206, several with the whole file.

"A server MAY ignore the Range header field", and a list of ranges is what denial of service was made of (CVE-2011-3192,
CVE-2025-62727); no browser asks for more than one.
"""

import re
from typing import NamedTuple

_ONE_RANGE = re.compile(rb"(\d*)-(\d*)")
_ENOUGH_DIGITS = 19  # a position of more is behind the end of every file; `int` refuses thousands of them


class Part(NamedTuple):
    """Bytes `start` up to, not including, `end`."""

    start: int
    end: int


class BadRange(Exception):
    """The field holds no range (400)."""


class BeyondEnd(Exception):
    """The range begins after the last byte (416)."""


def wanted(field: bytes | None, *, size: int) -> Part | None:
    """The part of `size` bytes that the field `Range` asks for; None: the whole.

    A unit that is not known is ignored: "A server that does not support the range unit MUST ignore" it (section 14.2).

    Raises:
        BadRange, BeyondEnd: there is no such part.
    """
    if field is None or not field.startswith(b"bytes=") or b"," in field:
        return None
    match = _ONE_RANGE.fullmatch(field[len(b"bytes=") :].strip())
    if match is None or match[0] == b"-":
        raise BadRange
    first, last = map(_position, match.groups())
    if first is None:  # the last so many bytes
        return _within(Part(max(0, size - (last or 0)), size), size)
    if last is not None and last < first:
        raise BadRange
    return _within(Part(first, size if last is None else min(last + 1, size)), size)


def _position(digits: bytes) -> int | None:
    return int(digits.lstrip(b"0")[:_ENOUGH_DIGITS] or b"0") if digits else None


def _within(part: Part, size: int) -> Part:
    if part.start >= size:
        raise BeyondEnd
    return part
