"""Heads of requests as guards and judgements take them."""

from collections.abc import Iterable, Mapping

from bff.request_head import Field, Peer, RequestHead, request_head


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
