"""A provider that many people run: Keycloak, in a process of its own, with an imported realm.

    with Keycloak() as keycloak:
        keycloak.register({"clientId": "shop", ...})              # a client, as the admin API writes it
        page = await keycloak.sign_in(browser, page, user="alice")
        keycloak.events("REFRESH_TOKEN", client="shop")           # what clients asked of it, and the errors
        keycloak.end_sessions("alice")                            # as an administrator does

`make providers` fetches the distribution from Maven Central; `missing()` says what is not there. The server listens on loopback only,
has a heap of 700 MB, holds its database in memory and is stopped by its process id. Its public name is `127.0.0.1`, as in the issuer;
under the inner name `localhost` its metadata names inner addresses for what clients call themselves.
"""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2

from support.certified_provider import submit
from support.free_ports import free_port
from support.strict_browser import Browser

ROOT = Path(__file__).parent.parent.parent
BUILD = ROOT / "build" / "providers"
REALM = ROOT / "tests" / "providers" / "realm.json"
START_TIMEOUT_SECONDS = 400.0  # half a minute on an idle machine
ADMIN = {"username": "admin", "password": "an administrator's password"}


def newest() -> Path | None:
    """The folder of the newest distribution that is there."""
    return max((script.parent.parent for script in BUILD.glob("keycloak-*/bin/kc.sh")), default=None)


def missing() -> str | None:
    """Why it cannot run here; None if it can."""
    if shutil.which("java") is None:
        return "no `java` on the PATH: Keycloak needs Java 17 or later"
    if newest() is None:
        return "Keycloak is not there: run `make providers`, which needs Maven and its central repository"
    return None


class Keycloak:
    """One server process with the realm `shop`."""

    def __init__(self) -> None:
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.inner_url = f"http://localhost:{port}"
        self.issuer = f"{self.url}/realms/shop"
        self._port = port
        self._log = Path(tempfile.mkstemp(prefix="keycloak-")[1])
        self._process: subprocess.Popen[bytes] | None = None
        self._http = httpx2.Client(trust_env=False, timeout=30)

    def __enter__(self) -> "Keycloak":
        home = newest()
        assert home is not None
        (home / "data" / "import").mkdir(parents=True, exist_ok=True)
        shutil.copy(REALM, home / "data" / "import" / "realm.json")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", str(home / "bin" / "kc.sh"), "start-dev", *self._options()],
                env={
                    **os.environ,
                    "JAVA_OPTS_KC_HEAP": "-Xms128m -Xmx700m",
                    "KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN["username"],
                    "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN["password"],
                },
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._stop()
                raise RuntimeError(self._log.read_text()[-3000:])
            time.sleep(0.2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()
        self._http.close()
        self._log.unlink()

    def register(self, client: dict[str, Any]) -> None:
        """A client, in the place of one of the same name."""
        for known in self._admin("GET", f"/clients?clientId={client['clientId']}"):
            self._admin("DELETE", f"/clients/{known['id']}")
        self._admin("POST", "/clients", json=client)

    def end_sessions(self, user: str) -> None:
        """What an administrator's "Log out all sessions" does: every session of this user ends."""
        (account,) = self._admin("GET", f"/users?username={user}&exact=true")
        self._admin("POST", f"/users/{account['id']}/logout")

    def events(self, kind: str, *, client: str) -> list[dict[str, Any]]:
        """The events of this type that one client caused, in order; a refused request's type ends in `_ERROR`."""
        events: list[dict[str, Any]] = self._admin("GET", f"/events?type={kind}&client={client}&max=1000")
        return sorted(events, key=lambda event: int(event["time"]))

    async def sign_in(self, browser: Browser, page: httpx2.Response, *, user: str) -> httpx2.Response:
        """Fill in the login form; returns where that ends."""
        assert 'id="kc-form-login"' in page.text, f"{page.status_code} {page.url}: {page.text[:500]}"
        return await submit(browser, page, username=user, password=f"{user}'s password")

    def _options(self) -> list[str]:
        return [
            "--http-host=127.0.0.1",
            f"--http-port={self._port}",
            f"--hostname={self.url}",
            "--hostname-backchannel-dynamic=true",
            "--db=dev-mem",
            "--import-realm",
        ]

    def _ready(self) -> bool:
        try:
            return self._http.get(f"{self.issuer}/.well-known/openid-configuration").status_code == 200
        except httpx2.TransportError:
            return False

    def _stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _admin(self, method: str, path: str, **content: Any) -> Any:
        token = self._http.post(
            f"{self.url}/realms/master/protocol/openid-connect/token",
            data={"grant_type": "password", "client_id": "admin-cli", **ADMIN},
        ).json()["access_token"]
        answer = self._http.request(
            method, f"{self.url}/admin/realms/shop{path}", headers={"authorization": f"Bearer {token}"}, **content
        )
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None
