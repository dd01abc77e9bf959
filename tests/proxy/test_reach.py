"""What `bff check --online` says of upstreams: each cause has words of its own (R-363)."""

import socket
from pathlib import Path
from typing import Any

import pytest

from bff.config.model import HealthConfig, RouteConfig, TimeoutConfig
from bff.proxy.dialing import Dialer
from bff.proxy.failures import reason_of
from bff.proxy.reach import SENTENCES, flaw
from bff.web.problems import UPSTREAM_DETAILS
from support.scripted_upstream import Script, answering, scripted_upstream, silent
from support.tls_certificates import Authority
from support.valkey_server import free_port


async def said(upstream: str, **keys: Any) -> str | None:
    """Of a route's only upstream."""
    route = RouteConfig(path="/api", upstream=upstream, **keys)
    assert route.upstream is not None
    return await flaw(route.upstream[0], route)


@pytest.mark.requirement("R-363")
async def test_an_upstream_that_can_be_reached() -> None:
    """A connection is all that is asked, or the health page."""
    async with scripted_upstream(silent) as upstream:
        assert await said(upstream.url) is None
    async with scripted_upstream(answering(b"", status="204 No Content")) as upstream:
        assert await said(upstream.url, health=HealthConfig(path="/healthz")) is None


@pytest.mark.requirement("R-363")
@pytest.mark.parametrize(
    ("script", "words"), [(answering(b"", status="503 No"), "answers with status 503"), (silent, "in time")]
)
async def test_an_upstream_that_is_not_well(script: Script, words: str) -> None:
    """Its health page says so, or nothing."""
    async with scripted_upstream(script) as upstream:
        found = await said(upstream.url, health=HealthConfig(path="/healthz", timeout=0.05))
    assert found is not None
    assert words in found


@pytest.mark.requirement("R-363")
async def test_each_cause_has_its_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Refused, not found, not trusted, not TLS, no socket, no answer in time."""
    hasty = TimeoutConfig(connect=0.2)
    assert await said(f"http://127.0.0.1:{free_port()}") == SENTENCES["refused"]
    assert await said(f"http+unix://{tmp_path}/none.sock") == SENTENCES["unreachable"]
    authority, other = Authority(tmp_path), Authority(tmp_path, "other")
    async with scripted_upstream(silent, tls=authority.server("127.0.0.1")) as upstream:
        assert await said(upstream.url, ca_file=authority.file) is None
        assert await said(upstream.url, ca_file=other.file) == SENTENCES["certificate"]
        assert await said(upstream.url, ca_file=authority.file, server_name="api") == SENTENCES["certificate"]
    async with scripted_upstream(silent) as upstream:
        secure = upstream.url.replace("http:", "https:")
        assert await said(secure, ca_file=authority.file, timeouts=hasty) == SENTENCES["connect"]
    async with scripted_upstream(answering(b"")) as upstream:
        monkeypatch.setattr(Dialer, "_resolve", staticmethod(_finds_nothing))
        assert await said("http://api.invalid") == SENTENCES["name"]


async def _finds_nothing(*_: object) -> Any:
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


def test_every_reason_has_its_sentence() -> None:
    """Those that the gateway's problems know of a connection are known here."""
    assert SENTENCES.keys() >= {"name", "refused", "certificate", "tls", "unreachable", "connect"}
    assert UPSTREAM_DETAILS.keys() >= {"name", "refused", "certificate"}
    assert reason_of(ConnectionRefusedError(111, "refused")) in SENTENCES
