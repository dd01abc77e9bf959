"""LemonLDAP::NG's portal as an OpenID provider: in Perl, from Debian, a process of its own on loopback, stopped by its process id.

    with LemonLdap("http://localhost:8000") as lemonldap:      # the gateway's origin is part of its configuration
        page = await lemonldap.sign_in(browser, page)          # as its forms do: password, consent

Its issuer ends in a slash. It has its demonstration's users, of whom `dwho` is used. Access tokens live four seconds. Refresh tokens
stay the same, it has no revocation endpoint, and client credentials need a `scope`. Its end-session endpoint ends its session, and
leads to the portal's own form (2.16), not back.
"""

import json
import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx2
from joserfc.jwk import RSAKey

from support.certified_provider import submit
from support.free_ports import free_port
from support.provider_process import ProviderProcess
from support.strict_browser import Browser

PORTAL = Path("/usr/share/lemonldap-ng/portal")
INSTALLED = Path("/var/lib/lemonldap-ng/conf/lmConf-1.json")  # what Debian's package sets
CLIENT_ID = "shop"
CLIENT_SECRET = "only-letters-digits-and-hyphens-1"  # it does not decode Basic credentials (RFC 6749 section 2.3.1)
USER = "dwho"  # the demonstration's passwords are the names
TOKEN_SECONDS = 4


def missing() -> str | None:
    """Why it cannot run here; None if it can."""
    if shutil.which("plackup") is None or not (PORTAL / "htdocs" / "index.psgi").is_file() or not INSTALLED.is_file():
        return "LemonLDAP::NG is not installed: it is a Debian package"
    return None


class LemonLdap(ProviderProcess):
    """One portal, with one client."""

    def __init__(self, gateway: str) -> None:
        self._port = free_port()
        self._gateway = gateway
        self._folder = Path(tempfile.mkdtemp(prefix="lemonldap-"))
        super().__init__(f"http://localhost:{self._port}/", userinfo="oauth2/userinfo")

    def _start(self) -> None:
        for name in ("conf", "sessions/lock", "psessions/lock", "cache"):
            (self._folder / name).mkdir(parents=True)
        settings = {**json.loads(INSTALLED.read_text()), **self._settings()}
        (self._folder / "conf" / "lmConf-1.json").write_text(json.dumps(settings))
        ini = self._folder / "lemonldap-ng.ini"
        ini.write_text(
            "[all]\nlogger = Lemonldap::NG::Common::Logger::Std\nlogLevel = warn\n"
            f"[configuration]\ntype = File\ndirName = {self._folder / 'conf'}\n"
            f"[portal]\nstaticPrefix = /static\ntemplateDir = {PORTAL / 'templates'}\nlanguages = en\n"
        )
        server = ["plackup", "-s", "HTTP::Server::PSGI", "--host", "127.0.0.1", "--port", str(self._port), "-E", "none"]
        self._run([*server, PORTAL / "htdocs" / "index.psgi"], {**os.environ, "LLNG_DEFAULTCONFFILE": str(ini)})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def sign_in(self, browser: Browser, page: httpx2.Response) -> httpx2.Response:
        """Name and password, then consent; ends on the app."""
        page = await submit(browser, page, user=USER, password=USER)
        return await submit(browser, page, confirm="1")

    def _settings(self) -> dict[str, Any]:
        key = RSAKey.generate_key(2048)
        options = {
            "ClientID": CLIENT_ID,
            "ClientSecret": CLIENT_SECRET,
            "RedirectUris": f"{self._gateway}/bff/callback/corp",
            "PostLogoutRedirectUris": f"{self._gateway}/",
            "LogoutBypassConfirm": 1,
            "IDTokenSignAlg": "RS256",
            "AccessTokenExpiration": TOKEN_SECONDS,
            "RefreshToken": 1,
            "RequirePKCE": 1,
            "AllowClientCredentialsGrant": 1,
        }
        sessions, psessions = self._folder / "sessions", self._folder / "psessions"
        return {
            "portal": self.issuer,
            "domain": "localhost",
            "securedCookie": 0,
            "portalDisplayRegister": 0,
            "portalDisplayResetPassword": 0,
            "issuerDBOpenIDConnectActivation": 1,
            "globalStorage": "Apache::Session::File",
            "globalStorageOptions": {"Directory": str(sessions), "LockDirectory": str(sessions / "lock")},
            "persistentStorage": "Apache::Session::File",
            "persistentStorageOptions": {"Directory": str(psessions), "LockDirectory": str(psessions / "lock")},
            "localSessionStorageOptions": {"namespace": "sessions", "cache_root": str(self._folder / "cache")},
            "oidcServiceMetaDataIssuer": self.issuer,
            "oidcServicePrivateKeySig": key.as_pem(private=True).decode(),
            "oidcServicePublicKeySig": key.as_pem(private=False).decode(),
            "oidcServiceKeyIdSig": "first",
            "oidcRPMetaDataOptions": {
                CLIENT_ID: {f"oidcRPMetaDataOptions{name}": value for name, value in options.items()}
            },
            "oidcRPMetaDataExportedVars": {CLIENT_ID: {"name": "cn", "email": "mail"}},
        }
