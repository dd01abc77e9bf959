"""Browsers over TLS: everything as over plain HTTP, and what is no TLS is closed.

`BFF_TEST_TLS=on` in the environment runs every test that starts a gateway over TLS.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from prometheus_client import REGISTRY
from websockets.asyncio.client import connect

from bff.server.arrival import TlsArrival
from bff.server.process import _states
from support.fault_gateways import FaultGateway
from support.free_ports import free_port
from support.gateway_world import gateway_world
from support.http_client import http_client
from support.raw_browser import raw_browser
from support.raw_world import RawWorld, raw_world
from support.scripted_upstream import answering, scripted_upstream
from support.tls_certificates import Authority
from support.waiting import until
from support.websocket_world import echo, upstream_server

LARGE = os.urandom(3 * 1024 * 1024)


def failed() -> float:
    """How many handshakes have failed."""
    return REGISTRY.get_sample_value("bff_tls_handshakes_failed_total") or 0.0


def arriving(site: RawWorld) -> int:
    """How many handshakes are under way."""
    return sum(isinstance(one, TlsArrival) for one in _states[site.world.app].connections)


@asynccontextmanager
async def a_site(**settings: Any) -> AsyncIterator[RawWorld]:
    """A gateway that speaks TLS itself, and a session."""
    async with raw_world(tls=True, **settings) as site:
        yield site


async def test_calls_are_forwarded_as_over_plain_http() -> None:
    """With the session's token, content both ways, one after the other on one connection and pipelined."""
    async with a_site() as site, site.connect() as browser:
        await browser.say(site.request("POST /api/x", body=b"hello"))
        assert (await browser.reply(to="POST")).status == 200
        await browser.say(site.request("GET /api/y") * 3)
        assert [(await browser.reply()).status for _ in range(3)] == [200] * 3
        assert [request.content for request in site.seen] == [b"hello", b"", b"", b""]
        assert all(request.values(b"authorization")[0].startswith(b"Bearer ") for request in site.seen)
        assert {request.values(b"x-forwarded-proto")[0] for request in site.seen} == {b"https"}


async def test_megabytes_pass_both_ways() -> None:
    """An upload and a download of several records."""
    async with raw_world(answering(LARGE), tls=True, routes=OPEN) as site:
        reply = await site.ask(site.request("POST /open/x", body=LARGE, signed_in=False), to="POST")
        assert reply.body == LARGE


OPEN = [{"path": "/open", "upstream": "{raw}", "token": "none", "csrf": "origin"}]


async def test_no_proxy_is_believed_about_the_scheme() -> None:
    """The connection is https, whatever a browser says; the answer has HSTS."""
    async with a_site() as site:
        reply = await site.ask(site.request("GET /api/x", b"X-Forwarded-Proto: http"))
        assert reply.status == 200
        refused = await site.ask(site.request("GET /nowhere"))
        assert refused.values("strict-transport-security") == ["max-age=31536000"]


async def test_a_websocket_over_tls() -> None:
    """Messages pass both ways, and its end is a WebSocket's."""
    async with upstream_server(echo) as port:
        routes = [
            {"path": "/api", "upstream": "{raw}", "provider": "corp"},
            {"path": "/ws", "upstream": f"http://127.0.0.1:{port}", "provider": "corp", "websocket": True},
        ]
        async with (
            a_site(routes=routes) as site,
            connect(
                f"wss://localhost:{site.port}/ws/x",
                origin=site.world.url,  # type: ignore[arg-type]  # a NewType of str
                additional_headers={"cookie": site.cookie.decode()},
                ssl=site.world.tls,
                proxy=None,
            ) as browser,
        ):
            await browser.send("x" * 100_000)
            assert await browser.recv() == "x" * 100_000


async def test_plain_http_is_closed_without_an_answer() -> None:
    """No byte of HTTP comes back, nothing is forwarded, and the failed handshake is counted."""
    async with a_site() as site, raw_browser(site.port) as browser:
        before = failed()
        await browser.say(site.request("GET /api/x"))
        assert b"HTTP" not in await browser.rest()
        assert site.seen == []
        await until(lambda: failed() == before + 1)
        assert (await site.ask(site.request("GET /api/x"))).status == 200


async def test_silence_is_closed_in_time() -> None:
    """A connection without a handshake ends after `limits.head_timeout`, and so does one whose handshake stops."""
    async with a_site(limits={"head_timeout": "300ms"}) as site:
        for said in (b"", b"\x16\x03\x01\x02\x00\x01"):
            async with raw_browser(site.port) as browser:
                await browser.say(said)
                assert b"HTTP" not in await browser.rest()
        await until(lambda: not arriving(site))


async def test_a_head_that_does_not_come_is_a_408() -> None:
    """The time for it begins when the handshake is over."""
    async with a_site(limits={"head_timeout": "500ms"}) as site, site.connect() as browser:
        await browser.say(b"GET / HTTP/1.1\r\n")
        assert (await browser.reply()).status == 408


async def test_slow_handshakes_take_no_place() -> None:
    """With many of them open, calls are answered."""
    async with a_site() as site:
        port = site.port
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(50)]
        await until(lambda: arriving(site) == 50)
        assert (await site.ask(site.request("GET /api/x"))).status == 200
        for _, writer in slow:
            writer.close()
        await until(lambda: not arriving(site))


async def test_who_leaves_in_the_handshake_leaves_nothing() -> None:
    """By FIN or by RST, before a byte or behind some."""
    async with a_site() as site:
        for said in (b"", b"\x16\x03\x01\x02\x00\x01"):
            for at_once in (False, True):
                async with raw_browser(site.port) as browser:
                    await until(lambda: arriving(site) == 1)
                    await browser.say(said)
                    if at_once:
                        browser.leave()
                await until(lambda: not arriving(site))
        assert not _states[site.world.app].tasks


async def test_a_server_that_stops_waits_for_no_handshake() -> None:
    """What has asked for nothing is closed."""
    async with a_site() as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        await until(lambda: arriving(site) == 1)
    assert await reader.read() == b""
    writer.close()


async def test_the_management_listener_stays_plain() -> None:
    """Probes and collectors inside of the machine need no certificate."""
    async with gateway_world(tls=True) as world, http_client() as client:
        assert (await client.get(world.management_url + "/readyz")).status_code == 200


# --- as operators run it, on uvloop -----------------------------------------------------------------------------------


@asynccontextmanager
async def served(folder: Path) -> AsyncIterator[tuple[FaultGateway, Authority, Path]]:
    """`bff serve` with TLS; the file with its certificate and key."""
    authority = Authority(folder)
    pair = folder / "pair.pem"
    os.replace(authority.server_file("localhost"), pair)
    async with scripted_upstream(answering(b"fine")) as upstream:
        port = free_port()
        settings = {
            "public_url": f"https://localhost:{port}",
            "tls": {"certificate": str(pair), "key": str(pair)},
            "limits": {"head_timeout": "2s"},
            "session": {"store": "memory://", "keys": ["a session key that is long enough 0123456789"]},
            "providers": {
                "corp": {
                    "issuer": "http://127.0.0.1:9",
                    "client_id": "shop",
                    "client_secret": "a secret of the shop that is long enough",
                }
            },
            "routes": [{"path": "/open", "upstream": upstream.url, "token": "none"}],
        }
        gateway = FaultGateway(settings, folder=folder, port=port)
        try:
            gateway.start()
            async with asyncio.timeout(30):
                while not gateway.ready:
                    await gateway.look()
            yield gateway, authority, pair
        finally:
            await gateway.close()


async def test_a_served_gateway_speaks_tls(tmp_path: Path) -> None:
    """Calls with keep-alive; plain HTTP and silence are closed; a certificate that was replaced is shown to the next connection."""
    async with served(tmp_path) as (gateway, authority, pair):
        client_tls = ssl.create_default_context(cafile=authority.file)
        url = f"https://localhost:{gateway.port}/open/x"
        async with httpx2.AsyncClient(trust_env=False, verify=client_tls, timeout=30) as client:
            answers = [await client.post(url, headers={"x-csrf": "1"}, content=LARGE) for _ in range(3)]
            assert [(answer.status_code, answer.text) for answer in answers] == [(200, "fine")] * 3
            async with raw_browser(gateway.port) as plain, raw_browser(gateway.port) as silent:
                await plain.say(b"GET /open/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert b"HTTP" not in await plain.rest()
                assert await silent.rest() == b""
            before = await _shown(gateway.port, client_tls)
            os.replace(authority.server_file("localhost"), pair)
            async with asyncio.timeout(30):
                while await _shown(gateway.port, client_tls) == before:
                    await asyncio.sleep(0.1)
            assert (await client.get(url, headers={"x-csrf": "1"})).status_code == 200
        assert len(gateway.events("tls.certificate_loaded")) == 2


async def _shown(port: int, tls: ssl.SSLContext) -> bytes | None:
    """The certificate that a new connection is shown."""

    def ask() -> bytes | None:
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            tls.wrap_socket(plain, server_hostname="localhost") as it,
        ):
            return it.getpeercert(binary_form=True)

    return await asyncio.to_thread(ask)
