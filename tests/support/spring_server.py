"""Spring Authorization Server, as Spring Boot sets it up: a process of its own, on loopback, stopped by its process id.

    with SpringServer(gateway) as spring:                  # the gateway's origin, whose callback its clients have
        page = await spring.sign_in(browser, page)         # as its login form does

Its clients are those of tests/providers/spring: `secret`, `consent` and `key`. It has one user, alice. Access tokens live four
seconds, refresh tokens are used once.
"""

import os
import re
import shutil
import subprocess
import time
from html import unescape
from pathlib import Path
from types import TracebackType
from urllib.parse import urljoin

import httpx2

from support.free_ports import free_port
from support.strict_browser import Browser

PROGRAM = Path(__file__).parents[2] / "build" / "providers" / "spring" / "provider-1.jar"
START_TIMEOUT_SECONDS = 120.0
CLIENT_SECRET = "a secret: of 100 %"
OTHER_SECRET = "another secret: of 100 %"  # each client has one of its own
USER = "alice"
PASSWORD = "alice's password"


def missing() -> str | None:
    """Why it cannot run here; None if it can."""
    if shutil.which("java") is None:
        return "no `java` on the PATH: Spring Authorization Server needs Java 17 or later"
    return None if PROGRAM.is_file() else "Spring Authorization Server is not built: `make providers` does, with Maven"


class SpringServer:
    """One server process."""

    def __init__(self, gateway: str, *, algorithm: str = "ES256") -> None:
        self._port = free_port()
        self._environment = {**os.environ, "PORT": str(self._port), "GATEWAY": gateway, "ALGORITHM": algorithm}
        self.issuer = f"http://localhost:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None
        self._client = httpx2.Client(base_url=self.issuer, trust_env=False, timeout=30)

    def __enter__(self) -> "SpringServer":
        self._process = subprocess.Popen(
            ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-jar", PROGRAM],
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("it did not start")
            time.sleep(0.1)
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
        return self._client.get("/userinfo", headers=bearer).status_code == 200

    def _ready(self) -> bool:
        try:
            return self._client.get("/.well-known/openid-configuration").status_code == 200
        except httpx2.TransportError:
            return False


async def submit(browser: Browser, page: httpx2.Response, **fields: str) -> httpx2.Response:
    """Send the page's form: its hidden fields and these."""
    action = re.search(r'<form[^>]*\saction="([^"]+)"', page.text)
    assert action is not None, f"{page.status_code} {page.url} holds no form: {page.text[-900:]}"
    form = {}
    for field in re.findall(r'<input[^>]*type="hidden"[^>]*>', page.text):
        name, value = (re.search(rf'{attribute}="([^"]*)"', field) for attribute in ("name", "value"))
        assert name is not None
        form[name[1]] = unescape(value[1]) if value is not None else ""
    return await browser.navigate(
        urljoin(str(page.url), action[1]), method="POST", form={**form, **fields}, from_url=str(page.url)
    )
