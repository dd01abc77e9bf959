"""The provider that everybody signs in at: bff's demo provider, with what a benchmark needs to steer and count.

Run as `python -m bench.provider PORT CLIENTS` (JSON: client_id -> redirect URI).
    GET  /bench      issued access tokens by client, and every refresh call as [began, ended]
    POST /bench      {"lifetime", "delay", "rotate"}: seconds of an access token, seconds that the token endpoint takes,
                     whether a refresh token is replaced (and its reuse ends the grant)
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable

import uvicorn
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bff.demo.grants import Client
from bff.demo.parameters import Call, optional
from bff.demo.provider import DemoProvider
from bff.demo.signing import sign

LONG_SECONDS = 24 * 3600
# What providers of companies put in: roles and groups. They bring the token to about 1 KB.
USUAL_CLAIMS: dict[str, object] = {
    "azp": "benchmark",
    "roles": ["orders.read", "orders.write", "invoices.read"],
    "groups": ["/sales/emea"],
    "tenant": "4f0c2e9a-6d7b-4f0e-9d0b-7f2a3c1d5e6f",
}


class BenchProvider(DemoProvider):
    """Notes the tokens it gives and how long each refresh was under way."""

    def __init__(self, *, issuer: str, clients: list[Client]) -> None:
        super().__init__(issuer=issuer, clients=clients, access_token_lifetime_seconds=LONG_SECONDS)
        self.delay = 0.0
        self.rotate = True
        self.issued: dict[str, str] = {}
        self.refreshes: list[tuple[float, float]] = []
        self.app.router.routes.append(Route("/bench", self._steer, methods=["GET", "POST"]))

    def access_token(self, *, subject: str, client: Client, **rest: object) -> str:
        """The demo provider's claims with the usual ones added."""
        plain = super().access_token(subject=subject, client=client, **rest)  # type: ignore[arg-type]  # passed through
        claims = {**self.keys.verify(plain, typ="at+jwt"), **USUAL_CLAIMS}
        token = sign(self.keys.current, header={"typ": "at+jwt"}, claims=claims)
        self.issued[client.client_id] = token
        return token

    async def respond(self, call: Call, endpoint: Callable[[Call], Response]) -> Response:
        """Slow where we were told to be slow."""
        refresh = call.path == "/token" and optional(call.form, "grant_type") == "refresh_token"
        began = time.monotonic()
        if call.path == "/token":
            await asyncio.sleep(self.delay)
        response = await super().respond(call, endpoint)
        if refresh:
            self.refreshes.append((began, time.monotonic()))
        return response

    def rotated(self, refresh_token: str) -> str:
        """A lenient provider lets clients keep their refresh token."""
        return super().rotated(refresh_token) if self.rotate else refresh_token

    async def _steer(self, request: Request) -> Response:
        if request.method == "POST":
            wanted = await request.json()
            self.access_token_lifetime_seconds = wanted.get("lifetime", LONG_SECONDS)
            self.delay = wanted.get("delay", 0.0)
            self.rotate = wanted.get("rotate", True)
            self.refreshes.clear()
        return JSONResponse({"issued": self.issued, "refreshes": self.refreshes})


def main(port: str, registered: str) -> None:
    """Serve until stopped."""
    clients = [
        Client(client_id=client_id, secret=f"{client_id}-secret-of-the-benchmark", redirect_uris=(uri,))
        for client_id, uri in json.loads(registered).items()
    ]
    provider = BenchProvider(issuer=f"http://127.0.0.1:{port}", clients=clients)
    # Envoy's token call carries an X-Forwarded-For; who is loopback is judged by the connection.
    uvicorn.run(
        provider.app, host="127.0.0.1", port=int(port), access_log=False, log_level="warning", proxy_headers=False
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
