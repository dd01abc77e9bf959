"""The clock of a forwarder's choice among upstreams, and of its pools, at one instant: no pause ends while a test runs."""

from collections.abc import Iterable

from bff.proxy.forward import Forwarder
from bff.proxy.pool import UpstreamPool


def standing_clock(forwarder: Forwarder, pools: Iterable[UpstreamPool], now: float) -> None:
    """Sets it."""
    for upstream in forwarder.upstreams.values():
        upstream._clock = lambda: now
    for pool in pools:
        pool._clock = lambda: now
