"""Django OAuth Toolkit, a provider in Python: a process of its own with a database of its own, on loopback, stopped by its process id.

    with DjangoToolkit() as django:
        django.register("http://localhost:8000")            # the gateway's origin
        page = await django.sign_in(browser, page)          # as its forms do: name and password, consent

Its issuer is a path of the site, and demands PKCE. It has one user, alice. Access tokens live four seconds, refresh tokens are used
once. An application of it has one grant: client credentials are another application's. Its metadata name no revocation endpoint.
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

ROOT = Path(__file__).parents[2]
PYTHON = ROOT / "build" / "providers" / "django" / "bin" / "python"
SITE = ROOT / "tests" / "providers" / "django"
COMMAND_TIMEOUT_SECONDS = 120.0
CLIENT_ID = "shop"
CLIENT_SECRET = "s3cret & +more"
PASSWORD = "alice's password"


def missing() -> str | None:
    """Why it cannot run here; None if it can."""
    return None if PYTHON.is_file() else "Django OAuth Toolkit is not installed: `make providers` does"


class DjangoToolkit(ProviderProcess):
    """One site."""

    def __init__(self) -> None:
        self._port = free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="django-"))
        super().__init__(f"http://localhost:{self._port}/o", userinfo="userinfo/")

    def _start(self) -> None:
        (self._folder / "key.pem").write_bytes(RSAKey.generate_key(2048).as_pem(private=True))
        self._command("migrate", "--verbosity=0")
        self._command("shell", "--command", ALICE.format(password=PASSWORD))
        server = ("runserver", "--noreload", "--skip-checks", f"localhost:{self._port}")
        self._run([PYTHON, "-m", "django", *server], self._environment)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        shutil.rmtree(self._folder, ignore_errors=True)

    def register(self, gateway: str) -> None:
        """Register the gateway as an application, in the place of the one before."""
        self._command(
            "shell", "--command", "from oauth2_provider.models import Application as A; A.objects.all().delete()"
        )
        application = {
            "name": "The shop",
            "client-id": CLIENT_ID,
            "client-secret": CLIENT_SECRET,
            "redirect-uris": f"{gateway}/bff/callback/corp",
            "post-logout-redirect-uris": f"{gateway}/",
            "algorithm": "RS256",
        }
        named = (f"--{name}={value}" for name, value in application.items())
        self._command("createapplication", "confidential", "authorization-code", *named)

    async def sign_in(self, browser: Browser, page: httpx2.Response) -> httpx2.Response:
        """Name and password, then consent; ends on the app."""
        page = await submit(browser, page, username="alice", password=PASSWORD)
        return await submit(browser, page, allow="Authorize")

    @property
    def _environment(self) -> dict[str, str]:
        where = {
            "DJANGO_SETTINGS_MODULE": "identity_settings",
            "PYTHONPATH": str(SITE),
            "SITE_FOLDER": str(self._folder),
        }
        return {**os.environ, **where, "PYTHONDONTWRITEBYTECODE": "1"}

    def _command(self, *arguments: str) -> None:
        done = subprocess.run(
            [PYTHON, "-m", "django", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr


ALICE = """
from django.contrib.auth.models import User
User.objects.create_user("alice", "alice@example.com", "{password}", first_name="Alice", last_name="Adams")
"""
