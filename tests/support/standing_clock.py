"""The clock of a forwarder's choice among upstreams, and of its pools, as a test sets it."""

import asyncio
from collections.abc import Iterable

from bff.clock import Clock
from bff.proxy.forward import Forwarder
from bff.proxy.pool import UpstreamPool


def standing_clock(forwarder: Forwarder, pools: Iterable[UpstreamPool], now: float) -> None:
    """One instant: no pause ends while a test runs."""
    _set(forwarder, pools, lambda: now)


def loops_clock(forwarder: Forwarder, pools: Iterable[UpstreamPool]) -> None:
    """The clock of the test's loop, which a test moves (`support.patient_loop`)."""
    _set(forwarder, pools, asyncio.get_running_loop().time)


def _set(forwarder: Forwarder, pools: Iterable[UpstreamPool], clock: Clock) -> None:
    for upstream in forwarder.upstreams.values():
        upstream._clock = clock
    for pool in pools:
        pool._clock = clock
