"""A failed upstream says why, in the log, the problem and the page, and names no inner address to the browser (R-363)."""

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import httpx2
import pytest
from structlog.testing import capture_logs

from support.free_ports import free_port
from support.gateway_world import SERVER, GatewayWorld, gateway_world
from support.raw_browser import raw_browser
from support.scripted_upstream import Conversation, Script, scripted_upstream
from support.switched_lane import switched
from support.tls_certificates import Authority, client_files
from support.tls_ends import ending_tls

INNER = "secret-inner-name.invalid"
NO_LAST_CHUNK = pytest.mark.skipif(
    SERVER == "granian", reason="granian ends the chunks in order when the application breaks its answer off"
)


def routes(upstream: str, **more: object) -> list[dict[str, Any]]:
    """One route to this upstream."""
    return [{"path": "/open", "upstream": upstream, "token": "none", **more}, {"path": "/", "files": "dist"}]


async def failed(world: GatewayWorld) -> tuple[dict[str, Any], dict[str, Any], str]:
    """The problem, the log's entry, and the page of a failing call."""
    browser = await world.browser()
    with capture_logs() as logs:
        problem = (await browser.fetch("/open/orders?secret=1")).json()
    page = await browser.open_once("/open/orders?secret=1", from_url=world.url + "/")
    (entry,) = (entry for entry in logs if entry["event"] == "request.not_served")
    return problem, dict(entry), page.text


async def _no_such_name(_: object, host: object, *__: object, **___: object) -> Any:
    """A resolver without a network: it knows addresses only."""
    if host == INNER:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", __[0] if __ else 0))]


@pytest.mark.requirement("R-363")
async def test_a_name_that_is_not_found_and_a_refused_connection_are_two_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has its own reason and sentence; path and request id lead from the page to the log."""
    monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", _no_such_name)
    for upstream, reason, words in (
        (f"http://{INNER}:8000", "name", "name"),
        (f"http://127.0.0.1:{free_port()}", "refused", "refuses connections"),
    ):
        async with gateway_world(routes=routes(upstream)) as world:
            problem, entry, page = await failed(world)
        assert (entry["reason"], entry["path"], entry["method"]) == (reason, "/open/orders", "GET")
        assert entry["request_id"] == problem["request_id"]
        assert words in problem["detail"]
        assert words in page
        for shown in (str(problem), page):
            assert INNER not in shown
            assert upstream.partition("//")[2] not in shown
        assert "secret=1" not in str(entry)


@pytest.mark.requirement("R-363")
@pytest.mark.parametrize("lane", ["on", "off"])
async def test_an_api_that_stops_reading_an_upload_did_not_stop_in_its_answer(lane: str) -> None:
    """A timeout names what was waited for: no answer had begun."""

    async def deaf(it: Conversation) -> None:
        await it.head()
        await asyncio.Event().wait()

    with switched(lane):
        async with (
            scripted_upstream(deaf) as upstream,
            gateway_world(routes=routes(upstream.url, max_body="64MiB", timeouts={"idle": "1s"})) as world,
            raw_browser(world.config.listen.port, tls=world.tls) as browser,
        ):
            size = 32 * 1024 * 1024  # more than the sockets on the way hold
            head = b"POST /open/x HTTP/1.1\r\nHost: %b\r\nContent-Length: %d\r\n\r\n"
            with capture_logs() as logs:
                await browser.say(head % (world.config.public_url.authority, size), bytes(size))
                reply = await browser.reply()
    (entry,) = (entry for entry in logs if entry["event"] == "request.not_served")
    assert (reply.status, entry["reason"]) == (504, "upload")
    assert b"stopped taking the content" in reply.body


def saying(*pieces: bytes, reset: bool = False) -> Script:
    """An API that reads the request, says this, and goes away."""

    async def script(it: Conversation) -> None:
        await it.request()
        await it.send(*pieces)
        if reset:
            it.reset()
        else:
            it.cut()

    return script


@pytest.mark.requirement("R-363")
@pytest.mark.parametrize(
    ("names", "expired", "own", "what"),
    [
        (("127.0.0.1",), True, True, "expired"),
        (("other.example",), False, True, "IP address mismatch"),
        (("127.0.0.1",), False, False, "local issuer"),
    ],
)
async def test_a_bad_certificate_says_how(
    tmp_path: Path, names: tuple[str, ...], expired: bool, own: bool, what: str
) -> None:
    """One word for all of them, and the log says whether it is expired, another host's, or of an unknown authority."""
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    context = (authority if own else other).server(*names, expired=expired)
    async with (
        scripted_upstream(saying(), tls=context) as upstream,
        gateway_world(routes=routes(upstream.url, ca_file=str(authority.file))) as world,
    ):
        problem, entry, page = await failed(world)
        assert (entry["reason"], entry["route"]) == ("certificate", "/open")
        assert what in entry["what"]
        assert "certificate" in problem["detail"]
        for shown in (str(problem), page):
            assert str(upstream.port) not in shown
            assert what not in shown


@pytest.mark.requirement("R-363")
@pytest.mark.parametrize(
    ("script", "reason", "words"),
    [
        (saying(), "lost", "closed the connection"),
        (saying(reset=True), "lost", "closed the connection"),
        (saying(b"HTTP/1.1 200 OK\r\nContent-"), "lost", "closed the connection"),
        (saying(b"HTTP/1.1 100 Continue\r\n\r\n"), "lost", "closed the connection"),
        (saying(b"SSH-2.0-OpenSSH_9\r\n"), "http", "rules of HTTP"),
        (saying(b"\x00\x00\x06\x04\x00\x00\x00\x00\x00"), "http", "rules of HTTP"),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"), "http", "rules of HTTP"),
        (saying(b"HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n"), "http", "rules of HTTP"),
    ],
)
async def test_a_connection_that_is_closed_and_a_broken_answer_are_two_words(
    script: Script, reason: str, words: str
) -> None:
    """The first is what a restart or a crash of the API looks like; the other names the rule in the log."""
    async with scripted_upstream(script) as upstream, gateway_world(routes=routes(upstream.url)) as world:
        problem, entry, page = await failed(world)
        assert (entry["reason"], entry["why"]) == (reason, reason)
        assert entry["what"]
        assert entry["remedy"]
        assert words in problem["detail"]
        assert words in page


@pytest.mark.requirement("R-363")
@pytest.mark.parametrize(
    ("piece", "reason"),
    [
        (b"Content-Length: 10\r\n\r\nabc", "lost"),
        pytest.param(b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", "http", marks=NO_LAST_CHUNK),
    ],
)
async def test_an_answer_that_breaks_off_says_why(piece: bytes, reason: str) -> None:
    """Its event has what a failed request has, with or without the lane."""
    script = saying(b"HTTP/1.1 200 OK\r\n" + piece)
    async with scripted_upstream(script) as upstream, gateway_world(routes=routes(upstream.url)) as world:
        browser = await world.browser()
        with capture_logs() as logs, pytest.raises(httpx2.RemoteProtocolError):
            await browser.fetch("/open/orders?secret=1")
        (entry,) = (entry for entry in logs if entry["event"] == "upstream.broke_off")
        assert (entry["reason"], entry["route"], entry["path"]) == (reason, "/open", "/open/orders")
        assert entry["what"]
        assert entry["remedy"]


@pytest.mark.requirement("R-363")
async def test_a_unix_socket_that_is_not_there_refuses(tmp_path: Path) -> None:
    """As a port does where nothing listens."""
    async with gateway_world(routes=routes(f"http+unix://{tmp_path}/api.sock")) as world:
        problem, entry, _ = await failed(world)
        assert entry["reason"] == "refused"
        assert "not running" in problem["detail"]
        assert str(tmp_path) not in str(problem)


@pytest.mark.requirement("R-363")
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_an_upstream_that_refuses_our_certificate_is_no_lost_connection(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """In TLS 1.3 the refusal comes behind the request; the operator reads what the upstream said of the certificate."""
    authority = Authority(tmp_path)
    certificate, key = client_files(tmp_path, authority=Authority(tmp_path, "other"))
    context = authority.asking_server("127.0.0.1")
    context.maximum_version = version
    shown = {"certificate": str(certificate), "key": str(key)}
    async with (
        ending_tls(context) as (url, _),
        gateway_world(routes=routes(url, ca_file=str(authority.file), client_certificate=shown)) as world,
    ):
        problem, entry, _ = await failed(world)
    assert (entry["status"], entry["reason"]) == (502, "tls")
    assert "UNKNOWN_CA" in entry["what"]
    assert problem["detail"] == "No TLS connection to the API's server could be made."
