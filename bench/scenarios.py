"""What is asked of every variant. Each scenario measures one variant once and gives its figures; rounds are the caller's.

A figure is a number (the median of the rounds is reported) or a text, which says why there is no number.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench import callgrind, cost
from bench.browser import Browser, open_browser, sessions_of
from bench.fairness import CROWD, measure_fairness
from bench.instructions import SESSIONS, count_instructions
from bench.paced import Paced, run_paced
from bench.streams import download, open_streams, still_open, upload
from bench.websocket import HandshakeFailedError, echo, open_sockets
from bench.world import FILES, World
from bench.wrk import FullLoad, LoadFailedError, run_wrk

Figures = dict[str, float | str]
Results = dict[str, dict[str, list[Figures]]]  # scenario -> variant -> one entry a round
MIB = 1024 * 1024

RATE = 1000.0
STREAMS = 1000
WEBSOCKETS = 64
NO_WEBSOCKETS = "forwards no WebSockets"
STORM_DELAY_SECONDS = 0.3
STORM_EXPIRIES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`measure` takes the world, a signed-in browser and the seconds of a timed load."""

    name: str
    title: str
    measure: Callable[[World, Browser, float], Figures]
    repeats: bool = True  # in every round; False: once is enough, it is memory


def _full_load(
    path: str, *, connections: int, method: str = "GET", body_bytes: int = 0, upstream_requests_each: int = 1
) -> Callable[[World, Browser, float], Figures]:
    def measure(world: World, browser: Browser, seconds: float) -> Figures:
        def load(length: float) -> FullLoad:
            return run_wrk(
                [browser],
                world.directory,
                method=method,
                path=path,
                body_bytes=body_bytes,
                connections=connections,
                seconds=length,
            )

        return _cost_of(load, world, browser, seconds, upstream_requests_each=upstream_requests_each)

    return measure


def _many_sessions(world: World, browser: Browser, seconds: float) -> Figures:
    """No two requests in a row are of one session: what helps a page that calls in bursts does not help here."""
    browsers = sessions_of(world, browser.proxy, SESSIONS)

    def load(length: float) -> FullLoad:
        return run_wrk(browsers, world.directory, path="/storm/1k", connections=64, seconds=length)

    return _cost_of(load, world, browser, seconds)


def _cost_of(
    load: Callable[[float], FullLoad],
    world: World,
    browser: Browser,
    seconds: float,
    *,
    upstream_requests_each: int = 1,
) -> Figures:
    if seconds > 1:
        load(1)  # warm: connections, caches, allocators
    pid, seen = browser.proxy.pid, world.upstream_requests()
    cost.forget_peak(pid)
    before = cost.cpu_seconds(pid)
    result = load(seconds)
    used = cost.cpu_seconds(pid) - before
    if world.upstream_requests() - seen < result.requests * upstream_requests_each:
        raise LoadFailedError(f"{browser.proxy.variant.name}: answers that never came from the upstream")
    return {
        "cpu_ms": 1000 * used / result.requests,
        "rps": result.requests / result.seconds,
        "p50_ms": result.p50_ms,
        "p99_ms": result.p99_ms,
        "peak_mib": cost.peak_bytes(pid) / MIB,
    }


def _paced(_: World, browser: Browser, seconds: float) -> Figures:
    pid = browser.proxy.pid
    run_paced(browser, path="/api/1k", connections=64, rate=RATE / 10, seconds=min(1.0, seconds))
    before = cost.cpu_seconds(pid)
    result = run_paced(browser, path="/api/1k", connections=64, rate=RATE, seconds=seconds)
    used = cost.cpu_seconds(pid) - before
    return {**_latency(result), "cpu_ms": 1000 * used / max(1, result.answered)}


def _latency(result: Paced) -> Figures:
    """Percentiles, or why there are none: a proxy that gives up under the load (5xx) has failed alone, not the run.

    Raises:
        LoadFailedError: an answer that is wrong in another way.
    """
    others = set(result.statuses) - {200}
    if any(status < 500 for status in others):
        raise LoadFailedError(f"answers by status: {result.statuses}")
    if others:
        return {"note": f"gave up: {result.statuses}"}
    if result.lost or result.answered / result.seconds < 0.9 * RATE:
        return {"note": f"cannot keep up: {result.answered / result.seconds:.0f}/s"}
    return {"p50_ms": result.p50_ms, "p99_ms": result.p99_ms, "max_ms": result.max_ms}


def _streams(_: World, browser: Browser, seconds: float) -> Figures:
    pid = browser.proxy.pid
    run_paced(browser, path="/api/1k", connections=64, rate=RATE / 10, seconds=min(1.0, seconds))
    idle = cost.proportional_bytes(pid)
    with open_streams(browser, "/api/side/stream", count=STREAMS) as streams:
        time.sleep(1.0)  # give late frees their time
        used = cost.proportional_bytes(pid) - idle
        alive = still_open(streams)
    if alive < STREAMS:
        return {"note": f"held {alive} of {STREAMS}"}
    return {"kib_each": used / STREAMS / 1024, "idle_mib": idle / MIB}


def _messages(_: World, browser: Browser, seconds: float) -> Figures:
    if not browser.proxy.variant.websockets:
        return {"note": NO_WEBSOCKETS}
    pid = browser.proxy.pid
    try:
        with open_sockets(browser, count=WEBSOCKETS) as sockets:
            echo(sockets, seconds=min(1.0, seconds))
            before = cost.cpu_seconds(pid)
            result = echo(sockets, seconds=seconds)
            used = cost.cpu_seconds(pid) - before
    except HandshakeFailedError as refused:
        return {"note": f"no WebSocket: {refused}"}
    count = len(result.latencies)
    return {
        "cpu_ms": 1000 * used / count,
        "rps": count / result.seconds,
        "p50_ms": result.percentile_ms(0.50),
        "p99_ms": result.percentile_ms(0.99),
    }


def _idle_sockets(_: World, browser: Browser, seconds: float) -> Figures:
    if not browser.proxy.variant.websockets:
        return {"note": NO_WEBSOCKETS}
    pid = browser.proxy.pid
    run_paced(browser, path="/api/1k", connections=64, rate=RATE / 10, seconds=min(1.0, seconds))
    idle = cost.proportional_bytes(pid)
    try:
        with open_sockets(browser, count=STREAMS) as sockets:
            time.sleep(1.0)  # as for streams
            used = cost.proportional_bytes(pid) - idle
            alive = still_open([each.sock for each in sockets])
    except (LoadFailedError, OSError) as failure:
        return {"note": f"did not hold {STREAMS}: {failure}"}
    if alive < STREAMS:
        return {"note": f"held {alive} of {STREAMS}"}
    return {"kib_each": used / STREAMS / 1024, "idle_mib": idle / MIB}


def _large(_: World, browser: Browser, __: float) -> Figures:
    pid, size = browser.proxy.pid, FILES["1g"]
    cost.forget_peak(pid)
    idle = cost.resident_bytes(pid)
    if download(browser, "/api/1g") < size:
        return {"note": "the download broke off"}
    down = cost.peak_bytes(pid) - idle
    cost.forget_peak(pid)
    if f'"received": {size}'.encode() not in upload(browser, "/api/side/sink", size=size):
        return {"note": "the upload broke off", "down_mib": down / MIB}
    up = cost.peak_bytes(pid) - idle  # below zero when memory was given back in between
    return {"down_mib": down / MIB, "up_mib": max(0, up) / MIB}


def _fairness(_: World, browser: Browser, seconds: float) -> Figures:
    return measure_fairness(browser, seconds) if browser.proxy.variant.name.startswith("bff") else {}


def _storm(world: World, browser: Browser, seconds: float) -> Figures:
    """Calm and storm one after the other on one proxy; in the storm the session is new and its tokens are short-lived."""
    variant = browser.proxy.variant
    if not variant.refreshes:
        return {}
    lifetime = max(1, round(seconds))
    calm = run_paced(browser, path="/storm/1k", connections=64, rate=RATE, seconds=seconds)
    calm_figures = _latency(calm)
    if "note" in calm_figures:
        return calm_figures
    world.provider(lifetime=lifetime, delay=STORM_DELAY_SECONDS, rotate=variant.rotates)
    try:
        stormy = open_browser(world, browser.proxy)
        storm = run_paced(stormy, path="/storm/1k", connections=64, rate=RATE, seconds=lifetime * STORM_EXPIRIES)
        refreshes = world.provider()["refreshes"]
    finally:
        world.provider(rotate=True)
    bursts = count_bursts(refreshes)
    figures: Figures = {
        "calls": len(refreshes),
        "expiries": bursts,
        "failed": storm.answered - storm.statuses.get(200, 0),
    }
    figures |= {"calm_p99_ms": calm.p99_ms, "p99_ms": storm.p99_ms, "max_ms": storm.max_ms, "lost": storm.lost}
    return figures


def _instructions(world: World, browser: Browser, _: float) -> Figures:
    if callgrind.missing() is not None:
        return {"note": callgrind.INSTALL}
    count = count_instructions(world, browser)
    if count is None or count.in_turn is None:
        return {}
    return {
        "instructions": count.one,
        "in_turn_instructions": count.in_turn,
        "message_instructions": count.message,
    }


def count_bursts(calls: list[list[float]]) -> int:
    """How many times a token was renewed: token calls that overlap in time belong to one expiry."""
    bursts, free_at = 0, float("-inf")
    for began, ended in sorted(calls):
        bursts += began > free_at
        free_at = max(free_at, ended)
    return bursts


def median(rounds: list[Figures]) -> Figures:
    """The median of each number; a text in any round stays."""
    merged: Figures = {}
    for name in dict.fromkeys(name for figures in rounds for name in figures):
        values = [figures[name] for figures in rounds if name in figures]
        texts = [value for value in values if isinstance(value, str)]
        merged[name] = texts[-1] if texts else statistics.median(float(value) for value in values)
    return merged


SCENARIOS = (
    Scenario(name="1k", title="1 KB GET, 64 connections, full load", measure=_full_load("/api/1k", connections=64)),
    Scenario(
        name="sessions",
        title=f"1 KB GET, 64 connections, full load, {SESSIONS:,} sessions in turn",
        measure=_many_sessions,
    ),
    Scenario(
        name="instructions",
        title="User-space instructions per 1 KB GET and per WebSocket message, by callgrind",
        measure=_instructions,
        repeats=False,
    ),
    Scenario(name="paced", title="1 KB GET at 1,000 requests/s, 64 connections", measure=_paced),
    Scenario(name="64k", title="64 KB GET, 64 connections, full load", measure=_full_load("/api/64k", connections=64)),
    Scenario(
        name="1m_down", title="1 MB down, 16 connections, full load", measure=_full_load("/api/1m", connections=16)
    ),
    Scenario(
        name="1m_up",
        title="1 MB up, 16 connections, full load",
        measure=_full_load("/api/up", connections=16, method="POST", body_bytes=FILES["1m"], upstream_requests_each=2),
    ),
    Scenario(name="streams", title="1,000 idle event streams", measure=_streams, repeats=False),
    Scenario(
        name="messages",
        title=f"WebSocket messages of 64 bytes and their echoes, {WEBSOCKETS} connections (request: a message and its echo)",
        measure=_messages,
    ),
    Scenario(name="websockets", title="1,000 idle WebSockets", measure=_idle_sockets, repeats=False),
    Scenario(
        name="fairness",
        title=f"A user's calls, 200/s, beside {CROWD} browsers without a session that hold uploads, streams or WebSockets",
        measure=_fairness,
        repeats=False,
    ),
    Scenario(name="large", title="1 GB down, then 1 GB up: memory over idle", measure=_large, repeats=False),
    Scenario(name="storm", title="Refresh storm: 1,000 requests/s on one session", measure=_storm, repeats=False),
)
