"""What a pool of upstream connections is doing now."""

from typing import NamedTuple

from bff.proxy.places import Kind
from bff.proxy.pool import UpstreamPool


class Usage(NamedTuple):
    """Counts at one instant."""

    connections: int  # made or being made, and places of WebSockets
    idle: int
    active: int  # exchanges, those that wait for a place too
    waiting: int


def usage(pool: UpstreamPool) -> Usage:
    """The counts of this pool, read from its private parts."""
    websockets = sum(pool._places[Kind.WEBSOCKET, signed_in].taken for signed_in in (True, False))
    waiting = sum(places.waiting for places in pool._calls)
    return Usage(len(pool._connections) + websockets, len(pool._idle), len(pool._active), waiting)
