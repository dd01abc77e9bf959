"""The example server of Zitadel's OpenID library, in Go: a provider in a process of its own, on loopback, stopped by its process id.

    with Zitadel(gateway) as zitadel:                        # the gateway's origin, whose callback it registers
        page = await zitadel.sign_in(browser, page)          # as its login form does

Access tokens are opaque and live five minutes; refresh tokens are used once and replaced.
"""

import subprocess
import time
from pathlib import Path
from types import TracebackType

import httpx2

from support.certified_provider import submit
from support.free_ports import free_port
from support.strict_browser import Browser

PROGRAM = Path(__file__).parents[2] / "build" / "providers" / "zitadel"
START_TIMEOUT_SECONDS = 60.0
CLIENT_ID = "web"
CLIENT_SECRET = "secret"
PUBLIC_CLIENT_ID = "native"
USER = "test-user@localhost"
PASSWORD = "verysecure"


def missing() -> str | None:
    """Why it cannot run here; None if it can."""
    return None if PROGRAM.is_file() else "the server of Zitadel's library is not built: `make providers` does, with Go"


class Zitadel:
    """One server process."""

    def __init__(self, gateway: str) -> None:
        self._port = free_port()
        self._gateway = gateway
        self.issuer = f"http://localhost:{self._port}/"
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx2.Client(base_url=self.issuer, trust_env=False, timeout=30)

    def __enter__(self) -> "Zitadel":
        environment = {"PORT": str(self._port), "REDIRECT_URI": f"{self._gateway}/bff/callback/corp"}
        self._process = subprocess.Popen(
            [PROGRAM], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("it did not start")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    async def sign_in(self, browser: Browser, page: httpx2.Response) -> httpx2.Response:
        """Fill in the login form that `page` shows."""
        return await submit(browser, page, username=USER, password=PASSWORD)

    def alive(self, access_token: str) -> bool:
        """Whether its UserInfo endpoint takes this token."""
        bearer = {"authorization": f"Bearer {access_token}"}
        return self._client.get("userinfo", headers=bearer).status_code == 200

    def _ready(self) -> bool:
        try:
            return self._client.get(".well-known/openid-configuration").status_code == 200
        except httpx2.TransportError:
            return False
