"""A provider from Debian: glewlwyd, in a process of its own with a database of its own.

    with Glewlwyd() as glewlwyd:
        glewlwyd.register("http://localhost:8000")         # the gateway's origin
        page = await glewlwyd.sign_in(browser, page)          # as its login page does: by its API, with the browser's cookies

It listens on loopback only, has one user, alice, and is stopped by its process id. Access tokens live four seconds, refresh tokens are
used once and replaced, PKCE is demanded. Its client credentials grant answers 403 without a body to every client that we could
register, so that one is tried at the others.
"""

import json
import shutil
import sqlite3
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
from joserfc.jwk import RSAKey

from support.free_ports import free_port
from support.strict_browser import Browser

SCHEMA = Path("/usr/share/dbconfig-common/data/glewlwyd/install/sqlite3")
MODULES = Path("/usr/lib/glewlwyd")
START_TIMEOUT_SECONDS = 60.0
CLIENT_ID = "shop"
CLIENT_SECRET = "only-letters-digits-and-hyphens-1"  # it does not decode Basic credentials (RFC 6749 section 2.3.1)
PASSWORD = "alice's password"


def missing() -> str | None:
    """Why it cannot run here; None if it can."""
    if shutil.which("glewlwyd") is None or not SCHEMA.is_file():
        return "glewlwyd is not installed: it is a Debian package"
    return None


class Glewlwyd:
    """One server process with one OpenID Connect plugin."""

    def __init__(self) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.issuer = f"{self.url}/api/oidc"
        self._folder = Path(tempfile.mkdtemp(prefix="glewlwyd-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._admin = httpx2.Client(base_url=self.url, trust_env=False, timeout=30)

    def __enter__(self) -> "Glewlwyd":
        with sqlite3.connect(self._folder / "db") as database:
            database.executescript(SCHEMA.read_text())
        database.close()
        (self._folder / "conf").write_text(self._configuration())
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                ["glewlwyd", f"--config-file={self._folder / 'conf'}"], stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "log").read_text()[-2000:])
            time.sleep(0.05)
        self._set_up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._admin.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def register(self, gateway: str) -> None:
        """Register the gateway as a client."""
        client = {
            "client_id": CLIENT_ID,
            "name": "The shop",
            "confidential": True,
            "enabled": True,
            "password": CLIENT_SECRET,
            "client_secret": CLIENT_SECRET,
            "redirect_uri": [f"{gateway}/bff/callback/corp"],
            "post_logout_redirect_uris": f"{gateway}/",
            "authorization_type": ["code", "refresh_token"],
            "token_endpoint_auth_method": ["client_secret_basic"],
            "scope": [],
        }
        self._admin.delete(f"/api/client/{CLIENT_ID}")
        self._said("POST", "/api/client/", client)

    async def sign_in(self, browser: Browser, page: httpx2.Response) -> httpx2.Response:
        """What the login page's script does: password, consent, and back to the authorization endpoint."""
        asked = parse_qs(urlsplit(str(page.url)).query)
        await self._of_page(browser, "POST", "/api/auth/", {"username": "alice", "password": PASSWORD})
        await self._of_page(browser, "PUT", f"/api/auth/grant/{CLIENT_ID}", {"scope": asked["scope"][0]})
        return await browser.navigate(asked["callback_url"][0] + "&g_continue", from_url=str(page.url))

    def alive(self, access_token: str) -> bool:
        """Whether its UserInfo endpoint takes this token."""
        bearer = {"authorization": f"Bearer {access_token}"}
        return self._admin.get("/api/oidc/userinfo", headers=bearer).status_code == 200

    async def _of_page(self, browser: Browser, method: str, path: str, content: dict[str, str]) -> None:
        answer = await browser.fetch(
            self.url + path,
            method=method,
            headers={"content-type": "application/json"},
            content=json.dumps(content).encode(),
            from_url=self.url + "/login.html",
        )
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"

    def _set_up(self) -> None:
        self._said("POST", "/api/auth/", {"username": "admin", "password": "password"})
        key = RSAKey.generate_key(2048)
        parameters = {
            "iss": self.issuer,
            "jwt-type": "rsa",
            "jwt-key-size": "256",
            "key": key.as_pem(private=True).decode(),
            "cert": key.as_pem(private=False).decode(),
            "code-duration": 600,
            "access-token-duration": 4,
            "refresh-token-duration": 3600,
            "refresh-token-rolling": True,
            "refresh-token-one-use": "always",
            "auth-type-code-enabled": True,
            "auth-type-refresh-enabled": True,
            "pkce-allowed": True,
            "pkce-required": True,
            "introspection-revocation-allowed": True,
            "introspection-revocation-allow-target-client": True,
            "session-management-allowed": True,
            "session-cookie-name": "GLEWLWYD_OIDC_SID",
            "session-cookie-expiration": 3600,
            "name-claim": "on-demand",
            "name-claim-scope": ["openid"],
            "email-claim": "on-demand",
            "email-claim-scope": ["openid"],
        }
        plugin = {"module": "oidc", "name": "oidc", "display_name": "OpenID Connect", "parameters": parameters}
        self._said("POST", "/api/mod/plugin/", plugin)
        alice = {"username": "alice", "password": PASSWORD, "name": "Alice Adams", "email": "alice@example.com"}
        self._said("POST", "/api/user/", {**alice, "enabled": True, "scope": ["openid"]})

    def _said(self, method: str, path: str, content: dict[str, Any]) -> None:
        answer = self._admin.request(method, path, json=content)
        assert answer.status_code == 200, f"{method} {path}: {answer.status_code} {answer.text}"

    def _ready(self) -> bool:
        try:
            return self._admin.get("/config").status_code == 200
        except httpx2.TransportError:
            return False

    def _configuration(self) -> str:
        return f"""
            port={self._port}
            bind_address="127.0.0.1"
            external_url="{self.url}"
            login_url="login.html"
            api_prefix="api"
            log_mode="console"
            log_level="INFO"
            session_key="GLEWLWYD2_SESSION_ID"
            session_expiration=3600
            admin_session_authentication="cookie"
            profile_session_authentication="cookie"
            admin_scope="g_admin"
            profile_scope="g_profile"
            user_module_path="{MODULES}/user"
            client_module_path="{MODULES}/client"
            user_auth_scheme_module_path="{MODULES}/scheme"
            plugin_module_path="{MODULES}/plugin"
            hash_algorithm="SHA512"
            database={{ type="sqlite3"; path="{self._folder}/db"; }};
        """
