"""The network towards providers, in one process: requests are routed by host and port to fake providers (httpx2's transport seam).

    internet = FakeInternet()
    internet.hosts["127.0.0.1:7001"] = fake.app
    internet.down.add("127.0.0.1:7001")          # no connection from now on

In-process transports collect a body before they hand it on, so nothing about streaming, sizes or cut connections is tested here.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2

from bff.config.model import ProviderConfig
from bff.config.values.secrets import LiteralSecret
from bff.demo.grants import s256
from bff.oauth.authorization import AuthorizationCode
from bff.provider.client import Provider
from support.fake_provider import FakeProvider, shop

GATEWAY = "http://localhost:8080"
SECRET = "a secret of the shop that is long enough"
OTHER_SECRET = "another secret of the shop, long enough too"
VERIFIER = "v" * 43
NONCE = "the-nonce"


@dataclass(slots=True)
class FakeClock:
    """Unix seconds that a test moves."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        """Now."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class FakeInternet(httpx2.AsyncBaseTransport):
    """Routes by host and port; a host that is unknown or down takes no connection."""

    def __init__(self) -> None:
        self.hosts: dict[str, Any] = {}
        self.down: set[str] = set()
        self.requests: deque[httpx2.Request] = deque()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Hand the request to the app of its host."""
        self.requests.append(request)
        host = request.url.netloc.decode()
        if host in self.down or host not in self.hosts:
            raise httpx2.ConnectError("connection refused", request=request)
        transport = httpx2.ASGITransport(app=self.hosts[host])
        return await transport.handle_async_request(request)

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [request.url.path for request in self.requests]


def fake_host(
    internet: FakeInternet,
    *,
    name: str,
    port: int,
    clock: Callable[[], float],
    lifetime_seconds: int = 600,
    path: str = "",
) -> FakeProvider:
    """A fake provider in this internet; `name` is what the gateway calls it."""
    fake = FakeProvider(
        issuer=f"http://127.0.0.1:{port}{path}",
        clients=[shop(GATEWAY, provider=name)],
        access_token_lifetime_seconds=lifetime_seconds,
        clock=clock,
    )
    fake.sign_in_as = "alice"
    internet.hosts[f"127.0.0.1:{port}"] = fake.app
    return fake


def provider_config(issuer: str, *secrets: str, **changes: Any) -> ProviderConfig:
    """The configuration of a provider, as `load` would give it."""
    settings: dict[str, Any] = {
        "issuer": issuer,
        "client_id": "shop",
        "client_secrets": tuple(LiteralSecret(value=secret) for secret in secrets or (SECRET,)),
        "scope": "openid profile email offline_access",
        **changes,
    }
    return ProviderConfig(**settings)


def provider_at(
    internet: FakeInternet,
    fake: FakeProvider,
    *secrets: str,
    clock: Callable[[], float],
    name: str = "corp",
    **changes: Any,
) -> Provider:
    """Our side of a fake provider."""
    return Provider(
        name=name,
        config=provider_config(fake.issuer, *secrets, **changes),
        redirect_uri=f"{GATEWAY}/bff/callback/{name}",
        clock=clock,
        transport=internet,
    )


async def authorization_code(provider: Provider, *, resources: tuple[str, ...] = ()) -> AuthorizationCode:
    """What a browser brings back from the provider after `sign_in_as` has signed in there."""
    known = await provider.metadata()
    question: list[tuple[str, str]] = [
        ("response_type", "code"),
        ("client_id", provider.config.client_id),
        ("redirect_uri", provider.redirect_uri),
        ("scope", provider.config.scope),
        ("state", "the-state"),
        ("nonce", NONCE),
        ("code_challenge", s256(VERIFIER)),
        ("code_challenge_method", "S256"),
        *(("resource", resource) for resource in resources),
    ]
    async with httpx2.AsyncClient(transport=provider.http._line.client._transport, trust_env=False) as browser:
        answer = await browser.get(known.authorization_endpoint or "", params=question)
    assert answer.status_code == 303, answer.text
    return AuthorizationCode(value=parse_qs(urlsplit(answer.headers["location"]).query)["code"][0])
