"""JSON objects that have one meaning, or none.

Refused beyond what `json` refuses: a repeated member (parsers disagree which one counts, RFC 8259 section 4), NaN and
Infinity, numbers that overflow to infinity, lone surrogates (they cannot be written out again), and nesting deeper than
anything that a provider has to say. Every number fits into 64 bits.
"""

import json
import math
import re
from typing import NoReturn

MAX_DEPTH = 32
# digits with sign: what is longer is read as a float, like every other JSON reader does (RFC 7493)
LONGEST_INTEGER = 18

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def parse_object(data: bytes) -> dict[str, object]:
    """The JSON object in `data`, which is UTF-8.

    Raises:
        ValueError: anything else; the message quotes nothing of `data`.
    """
    try:
        value: object = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_members,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_whole,
        )
    except (ValueError, RecursionError):
        raise ValueError("no JSON") from None  # the decoder's own message can quote the document
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    if not _is_plain(value):
        raise ValueError("JSON that is nested too deeply or is not Unicode")
    return value


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("repeated member")
    return members


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("number out of range")
    return number


def _whole(text: str) -> int | float:
    return int(text) if len(text) <= LONGEST_INTEGER else _finite(text)


def _is_plain(root: dict[str, object]) -> bool:
    level: list[object] = [root]
    for _ in range(MAX_DEPTH):
        level = [child for node in level for child in _children(node)]
        if not level:
            return True
        if any(isinstance(node, str) and _LONE_SURROGATE.search(node) for node in level):
            return False
    return False


def _children(node: object) -> list[object]:
    if isinstance(node, dict):
        return [*node.keys(), *node.values()]
    return node if isinstance(node, list) else []
