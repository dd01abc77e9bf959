"""Canaille, a provider in Python: a process of its own with a database of its own, on loopback, stopped by its process id.

    with Canaille() as canaille:
        client = canaille.register("http://localhost:8000")   # the gateway's origin
        page = await canaille.sign_in(browser, page)       # as its forms do: name, password, consent

It takes a client's assertion for its token endpoint alone (`assertion_audience`), and does not decode the credentials of
`client_secret_basic`; the secrets that it makes need none. It has one user, alice. Access tokens live ten days.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType

import httpx2
from joserfc.jwk import RSAKey

from support.certified_provider import submit
from support.free_ports import free_port
from support.provider_process import ProviderProcess
from support.strict_browser import Browser

PROGRAM = Path(__file__).parents[2] / "build" / "providers" / "canaille" / "bin" / "canaille"
COMMAND_TIMEOUT_SECONDS = 60.0
PASSWORD = "alice's password"


def missing() -> str | None:
    """Why it cannot run here; None if it can."""
    return None if PROGRAM.is_file() else "Canaille is not installed: `make providers` does"


class Canaille(ProviderProcess):
    """One server process with one database."""

    def __init__(self) -> None:
        self._port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="canaille-"))
        super().__init__(f"http://localhost:{self._port}", userinfo="oauth/userinfo")

    def _start(self) -> None:
        (self._folder / "config.toml").write_text(self._configuration())
        self._command("install")
        alice = {"user-name": "alice", "password": PASSWORD, "formatted-name": "Alice Adams", "family-name": "Adams"}
        self._command("create", "user", "--quiet", *(f"--{name}={value}" for name, value in alice.items()))
        self._run([PROGRAM, "run", "--bind", f"localhost:{self._port}"], self._environment)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        shutil.rmtree(self._folder, ignore_errors=True)

    def register(self, gateway: str, **settings: object) -> dict[str, str]:
        """Register the gateway as a client (RFC 7591), with these more members; returns what Canaille knows of it now."""
        client = {
            "client_name": "The shop",
            "redirect_uris": [f"{gateway}/bff/callback/corp"],
            "post_logout_redirect_uris": [f"{gateway}/"],
            "grant_types": ["authorization_code", "refresh_token", "client_credentials"],
            "response_types": ["code"],
            "scope": "openid profile email",
            "id_token_signed_response_alg": "RS256",
            **settings,
        }
        answer = self._client.post("/oauth/register", json=client)
        assert answer.status_code == 201, f"{answer.status_code} {answer.text}"
        registered: dict[str, str] = answer.json()
        return registered

    async def sign_in(self, browser: Browser, page: httpx2.Response) -> httpx2.Response:
        """Name, password and consent, each a form of its own; ends on the app."""
        page = await submit(browser, page, login="alice")
        page = await submit(browser, page, password=PASSWORD)
        return await submit(browser, page, answer="accept")

    @property
    def _environment(self) -> dict[str, str]:
        return {**os.environ, "CANAILLE_CONFIG": str(self._folder / "config.toml")}

    def _command(self, *arguments: str) -> None:
        subprocess.run(
            [PROGRAM, *arguments],
            env=self._environment,
            check=True,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
        )

    def _configuration(self) -> str:
        key = {**RSAKey.generate_key(2048, auto_kid=True).as_dict(private=True), "alg": "RS256"}
        jwk = ", ".join(f'{name} = "{value}"' for name, value in key.items())
        return f"""
            SECRET_KEY = "of its own sessions, of 32 characters and more"
            SERVER_NAME = "localhost:{self._port}"
            PREFERRED_URL_SCHEME = "http"
            [CANAILLE]
            DATABASE = "sql"
            [CANAILLE_SQL]
            DATABASE_URI = "sqlite:///{self._folder}/database"
            [CANAILLE_OIDC]
            DYNAMIC_CLIENT_REGISTRATION_OPEN = true
            ACTIVE_JWKS = [{{ {jwk} }}]
        """
