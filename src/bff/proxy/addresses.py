"""In which order the addresses of a name are tried (RFC 8305). Pure: `now` is an argument, in seconds of any clock.

The resolver's order, in which families take turns: "the first address family, followed by an alternate" (RFC 8305 section 4,
https://www.rfc-editor.org/rfc/rfc8305#section-4). An address that another one overtook goes to the end for `SHUNNED_SECONDS`: it
refuses, or it is a black hole, and every connection would wait `HEAD_START_SECONDS` for it.
"""

from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import Any, NamedTuple

HEAD_START_SECONDS = 0.25  # RFC 8305 section 5, "Connection Attempt Delay"
SHUNNED_SECONDS = 30.0


class SocketAddress(NamedTuple):
    """What `connect` takes, and the family of socket for it."""

    family: int
    address: Any  # (host, port), of IPv6 with two numbers more: as the resolver gave it


class Overtaken:
    """Which addresses were too late, and until when that counts."""

    def __init__(self) -> None:
        self._until: dict[SocketAddress, float] = {}

    def note(self, addresses: Iterable[SocketAddress], *, now: float) -> None:
        """Another address was connected to before these."""
        self._until = {address: until for address, until in self._until.items() if until > now}
        self._until.update(dict.fromkeys(addresses, now + SHUNNED_SECONDS))

    def order(self, addresses: Sequence[SocketAddress], *, now: float) -> list[SocketAddress]:
        """The addresses as they are to be tried."""
        return sorted(_alternating(addresses), key=lambda address: self._until.get(address, 0.0) > now)


def _alternating(addresses: Sequence[SocketAddress]) -> list[SocketAddress]:
    by_family: dict[int, list[SocketAddress]] = {}
    for address in dict.fromkeys(addresses):
        by_family.setdefault(address.family, []).append(address)
    return [address for address in chain.from_iterable(zip_longest(*by_family.values())) if address is not None]
