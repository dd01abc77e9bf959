"""Spring Authorization Server, as Spring Boot sets it up: a process of its own, on loopback, stopped by its process id.

    with SpringServer(gateway) as spring:                  # the gateway's origin, whose callback its clients have
        page = await spring.sign_in(browser, page)         # as its login form does

Its clients are those of tests/providers/spring: `secret`, `consent` and `key`. It has one user, alice. Access tokens live four
seconds, refresh tokens are used once.
"""

import os
import shutil
from pathlib import Path

import httpx2

from support.certified_provider import submit
from support.free_ports import free_port
from support.provider_process import ProviderProcess
from support.strict_browser import Browser

PROGRAM = Path(__file__).parents[2] / "build" / "providers" / "spring" / "provider-1.jar"
CLIENT_SECRET = "a secret: of 100 %"
OTHER_SECRET = "another secret: of 100 %"  # each client has one of its own
USER = "alice"
PASSWORD = "alice's password"


def missing() -> str | None:
    """Why it cannot run here; None if it can."""
    if shutil.which("java") is None:
        return "no `java` on the PATH: Spring Authorization Server needs Java 17 or later"
    return None if PROGRAM.is_file() else "Spring Authorization Server is not built: `make providers` does, with Maven"


class SpringServer(ProviderProcess):
    """One server process."""

    def __init__(self, gateway: str, *, algorithm: str = "ES256") -> None:
        self._settings = {"PORT": str(free_port()), "GATEWAY": gateway, "ALGORITHM": algorithm}
        super().__init__(f"http://localhost:{self._settings['PORT']}", userinfo="userinfo")

    def _start(self) -> None:
        command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-jar", PROGRAM]
        self._run(command, {**os.environ, **self._settings})

    async def sign_in(self, browser: Browser, page: httpx2.Response) -> httpx2.Response:
        """Fill in the login form that `page` shows."""
        return await submit(browser, page, username=USER, password=PASSWORD)
