"""What the metrics say of requests, upstreams, the store and streams: bounded labels, nothing of a browser's."""

import re

import pytest

from bff.telemetry.running import STREAMS
from support.free_ports import free_port
from support.gateway_world import GatewayWorld, gateway_world
from support.http_client import http_client
from support.raw_world import raw_world
from support.scripted_upstream import Conversation
from support.switched_lane import switched
from support.valkey_server import ValkeyServer
from support.waiting import until


async def series(world: GatewayWorld) -> dict[str, float]:
    """Every sample of `/metrics`, by its name and labels as they are written."""
    async with http_client() as client:
        text = (await client.get(f"{world.management_url}/metrics")).text
    return {name: float(value) for name, value in re.findall(r"^(bff_\S+) (\S+)$", text, re.MULTILINE)}


def grown(before: dict[str, float], after: dict[str, float], name: str) -> float:
    """By how much a sample grew."""
    return after.get(name, 0.0) - before.get(name, 0.0)


@pytest.mark.parametrize("lane", ["on", "off"])
async def test_calls_are_timed_by_route(lane: str) -> None:
    """Requests by route and class of status, upstreams by route; the path stays out."""
    with switched(lane):
        async with gateway_world() as world:
            browser = await world.signed_in()
            await browser.fetch("/api/first")
            before = await series(world)
            for path in ("/api/a", "/api/b", "/api/c"):
                assert (await browser.fetch(path)).status_code == 200
            after = await series(world)
    assert grown(before, after, 'bff_request_seconds_count{route="/api",status="2xx"}') == 3
    assert grown(before, after, 'bff_requests_total{route="/api",status="200"}') == 3
    assert grown(before, after, 'bff_upstream_seconds_count{route="/api"}') == 3
    assert grown(before, after, 'bff_upstream_seconds_sum{route="/api"}') > 0
    assert after["bff_requests_in_flight"] == 0
    assert "/api/a" not in str(after)


async def test_refused_requests_and_endpoints_are_timed() -> None:
    """By what they are for; `none` where nothing matched."""
    async with gateway_world() as world:
        browser = await world.browser()
        before = await series(world)
        await browser.fetch("/bff/user")
        await browser.fetch("/api/x")
        await browser.fetch("/bff/no/such")
        after = await series(world)
    assert grown(before, after, 'bff_request_seconds_count{route="/bff/user",status="2xx"}') == 1
    assert grown(before, after, 'bff_request_seconds_count{route="/api",status="4xx"}') == 1
    assert grown(before, after, 'bff_request_seconds_count{route="none",status="4xx"}') == 1


async def test_sessions_are_counted_from_start_to_end() -> None:
    """One started; one ended, by its cause."""
    async with gateway_world() as world:
        before = await series(world)
        browser = await world.signed_in()
        await browser.fetch("/bff/logout", method="POST")
        after = await series(world)
    assert grown(before, after, "bff_sessions_started_total") == 1
    assert grown(before, after, 'bff_sessions_ended_total{cause="logout"}') == 1


@pytest.mark.parametrize("lane", ["on", "off"])
@pytest.mark.parametrize("path", ["/api/events", "/open/events"])
async def test_open_streams_are_counted(lane: str, path: str) -> None:
    """With a session and without, until the browser leaves."""

    async def streaming(it: Conversation) -> None:
        await it.request()
        await it.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await it.send(b"9\r\ndata: 1\n\n\r\n")
        await it.reader.read(1)

    with switched(lane):
        async with raw_world(streaming) as site:
            before = (await series(site.world))["bff_streams_open"]
            async with site.connect() as browser:
                await browser.say(site.request(f"GET {path}"))
                await browser.head()
                assert (await series(site.world))["bff_streams_open"] == before + 1
            await until(lambda: STREAMS.number == before)


async def test_there_is_one_series_where_one_is_enough() -> None:
    """No `_created` series; the version is a label."""
    async with gateway_world() as world:
        found = await series(world)
    assert not [name for name in found if "_created" in name]
    assert [name for name in found if name.startswith("bff_build_info{version=")]


async def test_the_store_is_timed_by_operation(valkey: ValkeyServer) -> None:
    """What is asked of it, and whether it answered; a store that is away is counted, too."""
    async with gateway_world(store=valkey.url, session={"local_copy": "off"}) as world:
        browser = await world.signed_in()
        before = await series(world)
        await browser.fetch("/api/x")
        after = await series(world)
    assert grown(before, after, 'bff_store_seconds_count{operation="read",outcome="ok"}') == 1
    async with gateway_world(store=f"redis://127.0.0.1:{free_port()}") as world:
        before = await series(world)
        async with http_client() as client:
            assert (await client.get(f"{world.management_url}/readyz")).status_code == 503
        after = await series(world)
    assert grown(before, after, 'bff_store_seconds_count{operation="ping",outcome="unavailable"}') == 1
