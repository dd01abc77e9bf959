"""`deploy/compose/api.py`, the sample API of compose.yaml: it checks access tokens by the provider's own keys."""

import importlib.util
from collections.abc import AsyncIterator
from types import ModuleType
from typing import Any

import httpx2
import pytest

from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.demo.signing import sign
from bff.server.process import serving
from support.deployment import DEPLOY
from support.fake_provider import FakeProvider, fake_provider
from support.http_client import http_client


@pytest.fixture
async def provider() -> AsyncIterator[FakeProvider]:
    """A provider that publishes its keys."""
    async with fake_provider() as provider:
        yield provider


@pytest.fixture
async def api(provider: FakeProvider, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    """The sample API's origin, configured by its environment as compose.yaml does."""
    monkeypatch.setenv("ISSUER", provider.issuer)
    monkeypatch.setenv("JWKS_URL", f"{provider.issuer}/jwks")
    monkeypatch.setenv("AUDIENCE", "orders")
    sockets = bind_loopback()
    async with serving(_module().app, sockets):
        yield f"http://127.0.0.1:{port_of(sockets)}"


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sample_api", DEPLOY / "compose" / "api.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def whoami(api: str, provider: FakeProvider, **changes: Any) -> httpx2.Response:
    """The API's answer to a token with these changes; a claim of None is left out."""
    claims = {"iss": provider.issuer, "sub": "alice", "name": "Alice", "aud": "orders", "exp": 4_000_000_000, **changes}
    kept = {name: value for name, value in claims.items() if value is not None}
    token = sign(provider.keys.current, header={"typ": "JWT"}, claims=kept)
    async with http_client(timeout=5.0) as http:
        return await http.get(f"{api}/whoami", headers={"authorization": f"Bearer {token}"})


async def test_it_says_who_calls(api: str, provider: FakeProvider) -> None:
    """A good token is answered with the user's subject and name."""
    answer = await whoami(api, provider)
    assert (answer.status_code, answer.json()) == (200, {"subject": "alice", "name": "Alice"})


@pytest.mark.parametrize(
    "changes", [{"aud": "other"}, {"aud": None}, {"iss": "https://other.example"}, {"exp": 1}, {"exp": None}]
)
async def test_a_token_for_others_is_refused(api: str, provider: FakeProvider, changes: dict[str, Any]) -> None:
    """Wrong audience, issuer or expiry: 401."""
    assert (await whoami(api, provider, **changes)).status_code == 401


@pytest.mark.parametrize("field", ["Bearer", "Bearer x.y.z", "Basic YWxpY2U6YQ==", ""])
async def test_what_is_no_token_is_refused(api: str, field: str) -> None:
    """401 with a challenge, and no traceback."""
    async with http_client(timeout=5.0) as http:
        answer = await http.get(f"{api}/whoami", headers={"authorization": field})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
