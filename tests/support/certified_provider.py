"""A provider that nobody here wrote: npm `oidc-provider`, certified by the OpenID Foundation, in a process of its own.

    with CertifiedProvider(clients=[...], resources={"http://127.0.0.1:1": 600}) as provider:
        page = await browser.navigate("/bff/login")
        page = await provider.sign_in(browser, page, user="alice")   # its own login form, then its own consent form
        provider.calls("token")                                      # what the gateway asked, and what it got

`make node` installs it; `missing()` says what is not there. It answers loopback only and is stopped by its process id.
"""

import json
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urljoin

import httpx2

from support.strict_browser import Browser
from support.waiting import PATIENCE_SECONDS

HERE = Path(__file__).parent.parent / "node"
ATTRIBUTE = re.compile(r'([a-z-]+)="([^"]*)"')


def missing() -> str | None:
    """Why it cannot run here; None if it can."""
    if shutil.which("node") is None:
        return "no `node` on the PATH: this needs Node.js 20.19 or later"
    if not (HERE / "node_modules" / "oidc-provider").is_dir():
        return "npm `oidc-provider` is not installed: run `make node`"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a client, as the provider saw and answered it."""

    route: str  # token, revocation, userinfo, pushed_authorization_request; or backchannel: its own call to the gateway
    status: int
    auth: str | None
    form: dict[str, str]
    answer: Any
    dpop: str | None = None  # the proof


class CertifiedProvider:
    """One provider process. `clients` is their registered metadata, `resources` maps each API to its tokens' lifetime.

    `settings` are the others of `provider.mjs`.
    """

    def __init__(self, *, clients: list[dict[str, Any]], resources: dict[str, int], **settings: Any) -> None:
        self.issuer = ""
        self._settings = {"clients": clients, "resources": resources, **settings}
        self._directory = Path(tempfile.mkdtemp(prefix="certified-"))
        self._journal = self._directory / "journal"
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> "CertifiedProvider":
        with self._journal.open("w") as journal, (self._directory / "errors").open("w") as errors:
            self._process = subprocess.Popen(
                ["node", "provider.mjs"], cwd=HERE, stdin=subprocess.PIPE, stdout=journal, stderr=errors, text=True
            )
        assert self._process.stdin is not None
        with self._process.stdin as settings:
            settings.write(json.dumps(self._settings))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (lines := self._lines()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._process.kill()
                self._process.wait()
                raise RuntimeError((self._directory / "errors").read_text())
            time.sleep(0.01)
        self.issuer = lines[0]["issuer"]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def calls(self, route: str, *, grant_type: str | None = None) -> list[Call]:
        """The calls to an endpoint so far, of one grant type if asked for."""
        calls = [
            Call(
                route=line["route"],
                status=line["status"],
                auth=line.get("auth"),
                form=line["form"],
                answer=line.get("answer"),
                dpop=line.get("dpop"),
            )
            for line in self._lines()[1:]
        ]
        return [c for c in calls if c.route == route and grant_type in {None, c.form.get("grant_type")}]

    def issued(self, name: str) -> list[str]:
        """Every `access_token`, `refresh_token` or `id_token` that was ever given out, in order."""
        return [
            call.answer[name] for call in self.calls("token") if isinstance(call.answer, dict) and name in call.answer
        ]

    async def sign_in(self, browser: Browser, page: httpx2.Response, *, user: str) -> httpx2.Response:
        """Fill in the provider's forms, one after another, until it sends the browser away; returns where that ends."""
        while str(page.url).startswith(self.issuer):
            fields = {"login": user, "password": "any"} if 'name="login"' in page.text else {}
            page = await submit(browser, page, **fields)
        return page

    async def confirm_sign_out(self, browser: Browser, page: httpx2.Response) -> httpx2.Response:
        """Press the button of the provider's sign-out page; returns where that ends."""
        return await submit(browser, page, logout="yes")

    def _lines(self) -> list[dict[str, Any]]:
        whole = self._journal.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.split("\n") if line]


async def submit(browser: Browser, page: httpx2.Response, **fields: str) -> httpx2.Response:
    """Send the page's form: its hidden fields and these. No action, or an empty one, is the page's own address."""
    form_tag = re.search(r"<form[^>]*>", page.text)
    assert form_tag is not None, f"{page.status_code} {page.url} holds no form: {page.text[-900:]}"
    action = unescape(dict(ATTRIBUTE.findall(form_tag[0])).get("action", ""))
    hidden = [dict(ATTRIBUTE.findall(field)) for field in re.findall(r"<input[^>]*>", page.text)]
    form = {at["name"]: unescape(at.get("value", "")) for at in hidden if at.get("type") == "hidden"} | fields
    return await browser.navigate(urljoin(str(page.url), action), method="POST", form=form, from_url=str(page.url))
