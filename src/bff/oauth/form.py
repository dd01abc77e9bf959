"""application/x-www-form-urlencoded, both ways (RFC 6749 appendix B), and query strings that say nothing twice.

Reading: a parameter of ours that occurs twice makes the whole text unusable, because readers disagree which one counts
(RFC 6749 section 3.1: "Request and response parameters MUST NOT be included more than once"); one without a value
counts as absent; everything else is skipped unread. `;` separates nothing.
Writing: what a URL already says is kept byte for byte, unless we say it too: then ours stands alone.
"""

from collections.abc import Iterable
from urllib.parse import quote, quote_plus, unquote_plus, unquote_to_bytes

Fields = tuple[tuple[str, str], ...]

CONTENT_TYPE = "application/x-www-form-urlencoded"


class RepeatedParameter(ValueError):
    """A parameter that may occur once occurs twice; `name` is which."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} occurs more than once")
        self.name = name


def encode_body(fields: Iterable[tuple[str, str]]) -> bytes:
    """The fields as a request body, in order."""
    return "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in fields).encode("ascii")


def decode_once(data: bytes, *, names: frozenset[str]) -> dict[str, str]:
    """The values of `names` that are present and not empty.

    Raises:
        RepeatedParameter: one of `names` occurs twice, even if empty.
        ValueError: one of them is not UTF-8.
    """
    seen: set[str] = set()
    values: dict[str, str] = {}
    for pair in data.split(b"&"):
        raw_name, _, raw_value = pair.partition(b"=")
        name = unquote_to_bytes(raw_name.replace(b"+", b" ")).decode("utf-8", errors="replace")
        if name not in names:
            continue
        if name in seen:
            raise RepeatedParameter(name)
        seen.add(name)
        if value := unquote_to_bytes(raw_value.replace(b"+", b" ")).decode("utf-8"):
            values[name] = value
    return values


def add_to_query(url: str, parameters: Iterable[tuple[str, str]]) -> str:
    """`url` with `parameters` in its query, after what it already holds (RFC 6749 section 3.1: "MUST be retained")."""
    base, _, query = url.partition("?")
    ours = list(parameters)
    names = {name for name, _ in ours}
    kept = [pair for pair in query.split("&") if pair and unquote_plus(pair.partition("=")[0]) not in names]
    added = [f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in ours]
    return f"{base}?{'&'.join([*kept, *added])}"
