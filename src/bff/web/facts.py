"""The facts of a request: the fields that the door judges, taken out of it in one pass.

None may be there twice, but for `Cookie`, whose lines are joined (RFC 6265bis section 5.8.3; HTTP/2 splits them).
"""

from collections.abc import Iterable

from bff.errors import MalformedRequest

Facts = dict[bytes, bytes]

_JUDGED = frozenset(
    {b"host", b"cookie", b"origin", b"x-csrf", b"accept", b"sec-fetch-site", b"sec-fetch-mode", b"sec-fetch-dest"}
)


def read(fields: Iterable[tuple[bytes, bytes]]) -> Facts:
    """The fields that guards read, by lower-case name.

    Raises:
        MalformedRequest: one of them is there twice.
    """
    found: Facts = {}
    for name, value in fields:
        if name not in _JUDGED:
            continue
        if name not in found:
            found[name] = value
        elif name == b"cookie":
            found[name] += b"; " + value
        else:
            raise MalformedRequest(f"The field {name.decode('ascii')} may appear only once.")
    return found


def is_navigation(seen: Facts, *, method: str) -> bool:
    """Whether a person waits for a page: then a redirect helps, where a fetch wants a 401 (R-021)."""
    if method not in {"GET", "HEAD"}:
        return False
    mode = seen.get(b"sec-fetch-mode")
    if mode is not None:
        return mode == b"navigate" and seen.get(b"sec-fetch-dest", b"document") == b"document"
    return b"x-csrf" not in seen and b"text/html" in seen.get(b"accept", b"")
