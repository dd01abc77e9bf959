"""A gateway, its provider that nobody here wrote (npm `oidc-provider`), an API and a browser, for the tests in `tests/node`.

`theirs` are settings of the provider process (`tests/node/provider.mjs`), `client` is registered metadata besides the usual, `files`
are files beside the gateway's configuration, other keyword arguments are keys of the provider in that configuration.
"""

import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from bff.demo.api import SampleApi
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.server.process import serving
from support.certified_provider import CertifiedProvider
from support.dpop_api import DpopApi
from support.echo_upstream import EchoUpstream
from support.free_ports import free_port
from support.served_gateway import ServedGateway
from support.strict_browser import Browser
from support.valkey_server import ValkeyServer

SESSION = "__Host-Http-bff"
CLIENT_ID = "shop/web: 1"
CLIENT_SECRET = "50% of p+ss & w:rds/are=odd, ~this too"
SESSION_KEY = "a session key that is long enough 0123456789"
LIFETIME_SECONDS = 600
CORP = {"client_id": CLIENT_ID, "scope": "openid profile email offline_access orders:read"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CertifiedWorld:
    """Everything a journey talks to."""

    gateway: ServedGateway
    provider: CertifiedProvider
    valkey: ValkeyServer
    browser: Browser
    upstream: EchoUpstream
    inner: EchoUpstream  # behind `/api`, where tokens are opaque or the provider has a private authority
    dpop_api: DpopApi | None

    async def sign_in(self, *, user: str = "alice") -> Any:
        """From a link of the app through the provider's login and consent forms and back; returns the last page."""
        asked = await self.browser.navigate("/bff/login?return_to=/", from_url=self.gateway.url + "/")
        return await self.provider.sign_in(self.browser, asked, user=user)

    async def claims(self, path: str = "/api/orders") -> dict[str, Any]:
        """What the sample API read in the bearer of a call; it answers 200 to nobody whose token it cannot verify."""
        answer = await self.browser.fetch(path)
        assert answer.status_code == 200, answer.text
        claims: dict[str, Any] = answer.json()["claims"]
        return claims


@asynccontextmanager
async def certified_world(
    valkey: ValkeyServer,
    *,
    client_auth: str = "client_secret_basic",
    lifetime_seconds: int = LIFETIME_SECONDS,
    gateways_secret: str = CLIENT_SECRET,
    workers: int = 1,
    theirs: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
    files: dict[str, str] | None = None,
    authority: Path | None = None,
    machine: bool = True,
    **provider_settings: Any,
) -> AsyncIterator[CertifiedWorld]:
    """Start it all. `/api` and `/machine` lead to the sample API, `/echo` to one that notes bearers."""
    theirs = theirs or {}
    port, management = free_port(), free_port()
    url = f"http://localhost:{port}"
    api_sockets, echo_sockets = bind_loopback(), bind_loopback()
    api, echo = (f"http://127.0.0.1:{port_of(sockets)}" for sockets in (api_sockets, echo_sockets))
    registered = {k: v for k, v in {**_client(url, client_auth), **(client or {})}.items() if v is not None}
    with CertifiedProvider(clients=[registered], resources={api: lifetime_seconds}, **theirs) as provider:
        secret = {"client_secret": {"file": "client-secret"}} if client_auth.startswith("client_secret") else {}
        settings = {
            "public_url": url,
            "listen": f"127.0.0.1:{port}",
            "management": f"127.0.0.1:{management}",
            "session": {"store": valkey.url, "keys": [{"file": "session-key"}]},
            "providers": {
                "corp": {"issuer": provider.issuer, "client_auth": client_auth, **CORP, **secret, **provider_settings}
            },
            "routes": _routes(api, echo, machine=machine),
        }
        upstream, inner = EchoUpstream(), EchoUpstream()
        behind: Any = (
            inner if theirs.get("opaque") or authority else SampleApi(issuer=provider.issuer, audience=api).app
        )
        dpop_api = DpopApi(url=api, behind=behind, nonce="api-nonce-1") if theirs.get("dpop") else None
        secrets = {"session-key": SESSION_KEY, "client-secret": gateways_secret, **(files or {})}
        with ServedGateway(settings, secrets=secrets, workers=workers) as gateway:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(serving(dpop_api or behind, api_sockets))
                await stack.enter_async_context(serving(upstream, echo_sockets))
                browser = await stack.enter_async_context(_browser(url, authority))
                yield CertifiedWorld(
                    gateway=gateway,
                    provider=provider,
                    valkey=valkey,
                    browser=browser,
                    upstream=upstream,
                    inner=inner,
                    dpop_api=dpop_api,
                )


def _routes(api: str, echo: str, *, machine: bool) -> list[dict[str, Any]]:
    rates = {"path": "/machine", "upstream": f"{api}/rates", "token": "client", "resource": api, "scope": "rates:read"}
    return [
        {"path": "/api", "upstream": api, "resource": api},
        *([rates] if machine else []),
        {"path": "/echo", "upstream": echo, "scope": "openid profile email"},
        {"path": "/", "upstream": echo, "token": "none"},
    ]


def _browser(url: str, authority: Path | None) -> Browser:
    if authority is None:
        return Browser(app=url)
    trusting = ssl.create_default_context(cafile=authority)
    return Browser(
        app=url,
        http=httpx2.AsyncClient(follow_redirects=False, trust_env=False, timeout=20, verify=trusting),
    )


def _client(gateway: str, client_auth: str) -> dict[str, Any]:
    own = {
        "client_secret": {"client_secret": CLIENT_SECRET},
        "private_key_jwt": {"jwks_uri": f"{gateway}/bff/jwks/corp"},
        "self_signed_tls": {"jwks_uri": f"{gateway}/bff/jwks/corp"},
        "tls_client_auth": {"tls_client_auth_san_dns": "shop.example.com"},
    }
    return {
        "client_id": CLIENT_ID,
        "token_endpoint_auth_method": client_auth,
        "redirect_uris": [f"{gateway}/bff/callback/corp"],
        "post_logout_redirect_uris": [f"{gateway}/"],
        "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types": ["code"],
        "backchannel_logout_uri": f"{gateway}/bff/backchannel-logout/corp",
        "backchannel_logout_session_required": True,
        **next((more for prefix, more in own.items() if client_auth.startswith(prefix)), {}),
    }
