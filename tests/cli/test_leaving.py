"""What `bff serve` does between SIGTERM and its end (R-344)."""

import asyncio
import signal
from pathlib import Path

import pytest

from bff.server.leaving import leave_gently
from bff.web.app import create_app
from support.config_texts import TWELVE_LINES, loaded
from support.fault_gateways import FaultGateway
from support.free_ports import free_port

SETTINGS = {
    "public_url": "http://localhost:7777",
    "session": {"store": "memory://", "keys": [{"file": "session-key"}]},
    "providers": {
        "corp": {"issuer": "http://127.0.0.1:9", "client_id": "shop", "client_secret": {"file": "client-secret"}}
    },
    "routes": [{"path": "/open", "upstream": "http://127.0.0.1:9", "token": "none"}],
}
HOST = {"host": "localhost:7777"}


@pytest.mark.requirement("R-344")
async def test_a_process_leaves_before_it_stops(tmp_path: Path) -> None:
    """After SIGTERM it is not ready, answers what comes on an open connection with `Connection: close`, and ends when all are gone."""
    (tmp_path / "session-key").write_text("a session key that is long enough 0123456789")
    (tmp_path / "client-secret").write_text("a secret of the shop that is long enough")
    gateway = FaultGateway(SETTINGS, folder=tmp_path, port=free_port())
    try:
        gateway.start()
        async with asyncio.timeout(30):
            while not gateway.ready:
                await gateway.look()
        before = await gateway.client.post("/open", headers={**HOST, "x-csrf": "1"})
        assert "connection" not in before.headers
        gateway.signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            while gateway.ready:
                await gateway.look()
        await gateway.forget_probe()
        last = await gateway.client.post("/open", headers={**HOST, "x-csrf": "1"})
        assert (last.status_code, last.headers["connection"]) == (before.status_code, "close")
        async with asyncio.timeout(30):
            await gateway.ended()
        assert gateway.process is not None
        assert gateway.process.returncode == 0
    finally:
        await gateway.close()


def test_another_server_that_makes_the_application_before_its_loop_stops_in_its_own_way(tmp_path: Path) -> None:
    """granian calls the factory without a running loop: SIGTERM stays that server's."""
    before = signal.getsignal(signal.SIGTERM)
    leave_gently(create_app(loaded(TWELVE_LINES.replace("redis://redis:6379/0", "memory://"), tmp_path)))
    assert signal.getsignal(signal.SIGTERM) is before
