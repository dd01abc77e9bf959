"""The example server of Zitadel's OpenID library, in Go: a provider in a process of its own, on loopback, stopped by its process id.

    with Zitadel(gateway) as zitadel:                        # the gateway's origin, whose callback it registers
        page = await zitadel.sign_in(browser, page)          # as its login form does

Access tokens are opaque and live five minutes; refresh tokens are used once and replaced.
"""

from pathlib import Path

import httpx2

from support.certified_provider import submit
from support.free_ports import free_port
from support.provider_process import ProviderProcess
from support.strict_browser import Browser

PROGRAM = Path(__file__).parents[2] / "build" / "providers" / "zitadel"
CLIENT_ID = "web"
CLIENT_SECRET = "secret"
PUBLIC_CLIENT_ID = "native"
USER = "test-user@localhost"
PASSWORD = "verysecure"


def missing() -> str | None:
    """Why it cannot run here; None if it can."""
    return None if PROGRAM.is_file() else "the server of Zitadel's library is not built: `make providers` does, with Go"


class Zitadel(ProviderProcess):
    """One server process."""

    def __init__(self, gateway: str) -> None:
        self._port = free_port()
        self._gateway = gateway
        super().__init__(f"http://localhost:{self._port}/", userinfo="userinfo")

    def _start(self) -> None:
        self._run([PROGRAM], {"PORT": str(self._port), "REDIRECT_URI": f"{self._gateway}/bff/callback/corp"})

    async def sign_in(self, browser: Browser, page: httpx2.Response) -> httpx2.Response:
        """Fill in the login form that `page` shows."""
        return await submit(browser, page, username=USER, password=PASSWORD)
