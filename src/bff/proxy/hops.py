"""Where a request came from, as we tell it to the upstream: `Via`, `Forwarded` and `X-Forwarded-*`.

The chain of addresses ends with the peer that spoke to us, in both notations the same. What stands before it is believed only
if that peer is trusted. `X-Forwarded-For` counts where both notations are present: a proxy that appends to one of them passes
the other on as the browser wrote it, and that one is far more often `Forwarded`.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256

from bff.errors import LoopDetected
from bff.request_head import Field, FieldBlock, RequestHead, field_block

_NODE = re.compile(rb"[A-Za-z0-9._:\[\]-]{1,64}")
_FOR = re.compile(rb'(?:^|[;,])[ \t]*for[ \t]*=[ \t]*"?([^";, \t]*)"?', re.IGNORECASE)


def trace(
    *,
    peer_host: str | None,
    earlier: tuple[bytes, ...],
    via: Iterable[bytes],
    scheme: bytes,
    host: bytes,
    prefix: bytes | None = None,
) -> tuple[Field, ...]:
    """The fields; `earlier` are the hops before the peer, `via` the value of `Via` so far, `scheme` and `host` are our public URL's.
    `prefix` is the route's path, where the upstream sees another one (R-361).

    Raises:
        LoopDetected: we stand in `Via` already.
    """
    passed_by = b", ".join(via)
    if _pseudonym(scheme, host) in passed_by:
        raise LoopDetected("The request has been here before.")
    return _build_trace((*earlier, _node(peer_host)), via=passed_by, scheme=scheme, host=host, prefix=prefix)


@lru_cache(maxsize=4096)
def fresh_trace(peer_host: str | None, scheme: bytes, host: bytes, prefix: bytes | None = None) -> FieldBlock:
    """The trace of a request that came without one, as nearly all do."""
    return field_block(_build_trace((_node(peer_host),), via=b"", scheme=scheme, host=host, prefix=prefix))


def _build_trace(
    hops: tuple[bytes, ...], *, via: bytes, scheme: bytes, host: bytes, prefix: bytes | None
) -> tuple[Field, ...]:
    """RFC 9110 section 7.6.3, RFC 7239 section 4: the last hop is the one that spoke to us."""
    own = b"1.1 " + _pseudonym(scheme, host)
    chain = b", ".join(b"for=" + _quoted(hop) for hop in hops)
    return (
        (b"via", via + b", " + own if via else own),
        (b"forwarded", b'%b;host="%b";proto=%b' % (chain, host, scheme)),
        (b"x-forwarded-for", b", ".join(hops)),
        (b"x-forwarded-proto", scheme),
        (b"x-forwarded-host", host),
        *(() if prefix is None else ((b"x-forwarded-prefix", prefix),)),
    )


@lru_cache(maxsize=16)
def _pseudonym(scheme: bytes, host: bytes) -> bytes:
    """Our name in `Via`: the same in every worker of one deployment, so that a loop through another worker shows."""
    return b"bff-" + sha256(scheme + b"://" + host).hexdigest()[:12].encode("ascii")


def earlier_hops(*, forwarded_for: list[bytes], forwarded: list[bytes]) -> tuple[bytes, ...]:
    """The chain that a trusted peer hands on, from the values of the two fields.

    What stands before an impossible element was not written by anybody we trust, and goes with it.
    """
    if forwarded_for:
        elements = [element.strip(b" \t") for element in b",".join(forwarded_for).split(b",")]
    else:
        elements = _FOR.findall(b",".join(forwarded))
    hops: list[bytes] = []
    for element in reversed(elements):
        if _NODE.fullmatch(element) is None:
            break
        hops.append(element)
    return tuple(reversed(hops))


def _node(peer_host: str | None) -> bytes:
    if peer_host is None or not peer_host.isascii():
        return b"unknown"
    node = peer_host.encode("ascii")
    return node if _NODE.fullmatch(node) else b"unknown"


def _quoted(hop: bytes) -> bytes:
    """A node as RFC 7239 section 6 writes it: IPv6 in brackets, and quotes wherever there is a colon or bracket."""
    if hop.count(b":") > 1 and not hop.startswith(b"["):
        hop = b"[%b]" % hop
    return b'"%b"' % hop if b":" in hop or b"[" in hop else hop


def browser_address(head: RequestHead) -> str:
    """The nearest address that is not a trusted proxy's: the peer's, or what the trusted peer says of the hop before it."""
    if not head.peer.trusted:
        return head.peer.host or "unknown"
    forwarded_for = [value for name, value in head.fields if name == b"x-forwarded-for"]
    forwarded = [value for name, value in head.fields if name == b"forwarded"]
    hops = earlier_hops(forwarded_for=forwarded_for, forwarded=forwarded)
    return hops[-1].decode("ascii") if hops else head.peer.host or "unknown"
