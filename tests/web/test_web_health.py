"""The management listener: apart from the public one, without secrets (R-276)."""

import pytest

from bff import __version__
from bff.errors import StoreUnavailable
from bff.sessions.memory import MemoryStore
from bff.web.health import management
from support.asgi_gateway import FETCH, Answer, AsgiGateway, asgi_gateway
from support.request_heads import a_head

MANAGEMENT = ("127.0.0.1", 9090)


async def ask(world: AsgiGateway, path: str, *, method: str = "GET") -> Answer:
    """A request that came in on the management listener."""
    return await world.ask(path, method=method, host="10.0.0.5:9090", server=MANAGEMENT)


@pytest.mark.requirement("R-276")
@pytest.mark.parametrize(
    ("path", "status", "content"),
    [
        ("/livez", 200, {"status": "ok"}),
        ("/readyz", 200, {"status": "ok", "store": "ok"}),
        ("/version", 200, {"version": __version__}),
    ],
)
async def test_what_it_tells(path: str, status: int, content: dict[str, str]) -> None:
    """Alive, ready, and which version."""
    async with asgi_gateway() as world:
        answer = await ask(world, path)
        assert (answer.status, answer.json()) == (status, content)
        head = await ask(world, path, method="HEAD")
        assert (head.status, head.body) == (status, b"")
        assert head.field("content-length") == answer.field("content-length")


async def test_metrics_are_prometheus_text() -> None:
    """`/metrics` shows our own numbers."""
    async with asgi_gateway() as world:
        answer = await ask(world, "/metrics")
        assert answer.field("content-type").startswith("text/plain; version=0.0.4")
        for name in (b"bff_logins_total", b"bff_refreshes_total", b"bff_token_call_seconds"):
            assert name in answer.body


@pytest.mark.parametrize(
    ("method", "path", "status"), [("POST", "/livez", 405), ("GET", "/nowhere", 404), ("GET", "/", 404)]
)
async def test_nothing_else(method: str, path: str, status: int) -> None:
    """Other paths and methods are refused."""
    async with asgi_gateway() as world:
        assert (await ask(world, path, method=method)).status == status


@pytest.mark.requirement("R-276")
@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics", "/version"])
async def test_never_on_the_public_listener(path: str) -> None:
    """The public listener knows none of these paths, whatever Host or user agent says."""
    async with asgi_gateway() as world:
        assert (await world.ask(path, {**FETCH, "user-agent": "kube-probe/1.30"})).status == 404
        assert (await world.ask(path, FETCH, host="127.0.0.1:9090")).status == 404


@pytest.mark.requirement("R-276")
@pytest.mark.parametrize("path", ["/bff/user", "/api/x", "/app/"])
async def test_nothing_public_on_the_management_listener(path: str) -> None:
    """The management listener forwards nothing and knows no sessions."""
    async with asgi_gateway() as world:
        assert (await ask(world, path)).status == 404


class AwayStore(MemoryStore):
    """A store that does not answer."""

    async def ping(self) -> None:
        """No answer."""
        raise StoreUnavailable("canary-host:6379 does not answer")


@pytest.mark.requirement("R-190", "R-273")
@pytest.mark.parametrize(("path", "status"), [(b"/readyz", 503), (b"/livez", 200)])
async def test_store_that_is_away_is_not_ready_but_alive(path: bytes, status: int) -> None:
    """Without its store a worker takes no traffic, yet a restart would not help; the answer names no host."""
    sent: list[dict[str, object]] = []

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    await management(AwayStore(idle_timeout_seconds=1), a_head(path=path), send)
    assert sent[0]["status"] == status
    assert b"canary" not in bytes(sent[1]["body"])
