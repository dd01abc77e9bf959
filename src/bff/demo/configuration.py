"""The configuration of the demo's gateway: the demo's own page and API, or development servers of the user's behind it."""

from dataclasses import dataclass

CLIENT_ID = "demo-app"
PROVIDER_NAME = "demo"


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the three servers are. The gateway is `localhost` and the others 127.0.0.1, so that browsers take them for
    different sites, as they are in earnest: cookies know hosts but no ports."""

    gateway_port: int = 8080
    provider_port: int = 8081
    api_port: int = 8082

    @property
    def gateway(self) -> str:
        """The gateway's origin, for the browser."""
        return f"http://localhost:{self.gateway_port}"

    @property
    def provider(self) -> str:
        """The demo provider's issuer."""
        return f"http://127.0.0.1:{self.provider_port}"

    @property
    def api(self) -> str:
        """The sample API's origin; also its resource indicator and audience."""
        return f"http://127.0.0.1:{self.api_port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """URLs of the user's own servers that take the place of the demo's page and API; None: the demo's."""

    app: str | None = None
    api: str | None = None


THE_DEMO = Behind()


def configuration_text(addresses: Addresses, *, store: str, behind: Behind = THE_DEMO) -> str:
    """`bff.yaml`."""
    api = _sample_api(addresses) if behind.api is None else _own_api(behind.api)
    app = "    files: page" if behind.app is None else _own_app(behind.app)
    return f"""\
# The demo's gateway: bff serve -c bff.yaml

public_url: {addresses.gateway}        # what the browser calls us
listen: 127.0.0.1:{addresses.gateway_port}
management: 127.0.0.1:9090

session:
{f"  store: {store}":<41}# one process; redis://HOST:6379/0 for more
  keys: [{{file: secrets/session-key}}]    # a relative path starts at this file's folder

providers:
  {PROVIDER_NAME}:
    issuer: {addresses.provider}
    client_id: {CLIENT_ID}
    client_secret: {{file: secrets/client-secret}}
    scope: openid profile email offline_access

routes:
{api}
  - path: /
{app}
"""


def _sample_api(addresses: Addresses) -> str:
    return f"""\
  - path: /api/events                    # EventSource cannot send X-CSRF: judged by where the call comes from
    upstream: {addresses.api}/events
    resource: {addresses.api}
    csrf: origin
  - path: /api                           # with the access token of the signed-in user
    upstream: {addresses.api}
    resource: {addresses.api}
  - path: /rates                         # with the gateway's own token
    upstream: {addresses.api}/rates
    token: client
    resource: {addresses.api}
    scope: rates:read"""


def _own_api(url: str) -> str:
    """The token is for the API as it is typed: its `aud`."""
    return f"""\
  - path: /api                           # with the access token of the signed-in user
    upstream: {url}
    resource: {url}
    websocket: true"""


def _own_app(url: str) -> str:
    return f"""\
    upstream: {url}
    token: none
    websocket: true                      # reload when a file changes"""
