"""Heads of requests as guards and judgements take them."""

from collections.abc import Iterable, Mapping

from bff.request_head import Field, Peer, RequestHead, request_head

# Page loads as a service worker sends them: passed on as they are, or as a new request.
BY_SERVICE_WORKERS: list[dict[bytes, bytes]] = [
    {b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": b"empty", b"sec-fetch-site": b"same-origin"},
    {b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": b"empty", b"sec-fetch-site": b"cross-site"},
    {b"sec-fetch-mode": b"navigate", b"sec-fetch-dest": b"empty", b"sec-fetch-site": b"none"},
    {
        b"sec-fetch-mode": b"same-origin",
        b"sec-fetch-dest": b"empty",
        b"sec-fetch-site": b"same-origin",
        b"accept": b"text/html,application/xhtml+xml,*/*;q=0.8",
    },
]


def a_head(
    fields: Mapping[bytes, bytes] | Iterable[Field] = (),
    *,
    method: bytes = b"GET",
    path: bytes = b"/",
    query: bytes = b"",
    trusted: bool = False,
) -> RequestHead:
    """A head with these fields, from a peer that is a trusted proxy or is none."""
    lines = [*fields.items()] if isinstance(fields, Mapping) else [*fields]
    return request_head(method=method, path=path, query=query, fields=lines, peer=Peer("192.0.2.7", trusted))
