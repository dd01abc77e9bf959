"""A gateway that is configured by docs/how-to/conformance.md before the OpenID Foundation's suite, played by `suite_server.py`.

Only hosts, keys and the folder are others than in the page: the YAML, the tester's JSON and the app's links are the page's own.
"""

import json
import re
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from bff.config.load import load
from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.server.process import serving
from bff.signing_key import generate
from bff.web.app import create_app
from support.documented import marked, page
from support.gateway_world import SESSION_KEY, Clock, serving_gateway
from support.http_client import http_client
from support.strict_browser import Browser
from support.suite_module import Module
from support.suite_running import RunningTest
from support.suite_server import Suite
from support.suite_tls import tls_listener
from support.tls_certificates import Authority, client_files

Json = dict[str, Any]
PAGE = "how-to/conformance.md"
SECRET = "50% of p+ss & w:rds/are=odd, ~this one of the suite's too"
LONGEST_PAUSE_SECONDS = 31  # of the gateway, before it asks again for metadata that it did not get
_NAMED = {"use": "sig", "kid": "fapi-server"}
SERVER_KEYS: dict[str, Callable[[], Key]] = {  # what a tester makes for the suite, by the algorithms of FAPI
    "PS256": lambda: RSAKey.generate_key(2048, {"alg": "PS256", **_NAMED}),
    "ES256": lambda: ECKey.generate_key("P-256", {"alg": "ES256", **_NAMED}),
    "EdDSA": lambda: OKPKey.generate_key("Ed25519", {"alg": "EdDSA", **_NAMED}),
}


@dataclass(slots=True, kw_only=True)
class SuiteWorld:
    """A tester's desk: the suite, the gateway, and new private windows."""

    url: str
    suite: Suite
    clock: Clock
    certificate: str | None = None  # the client's, if it has one
    trust: ssl.SSLContext | None = None  # of the windows, where the suite speaks TLS
    keys: Json = field(default_factory=dict)
    browsers: AsyncExitStack = field(default_factory=AsyncExitStack)

    async def window(self) -> Browser:
        """A new private window."""
        browser = Browser(app=self.url)
        if self.trust is not None:
            browser.http = http_client(follow_redirects=False, timeout=60, verify=self.trust)
        return await self.browsers.enter_async_context(browser)

    async def start(self, module: Module, *, plan: str = "basic", **changes: Any) -> RunningTest:
        """Start a module of a plan whose configuration is this one of the page; `changes` are the suite's variants."""
        config = self._config(plan, channels=changes.pop("channels", "back"))
        if plan == "fapi":
            config["server"]["jwks"]["keys"] = [SERVER_KEYS[changes.pop("alg", "PS256")]().as_dict(private=True)]
            changes = {"client_auth": "private_key_jwt", **changes}
        if changes.get("client_auth") == "private_key_jwt":
            config["client"]["jwks"] = await self._public_keys(plan)
        else:
            config["client"].pop("jwks", None)
        if self.certificate is not None:
            config["client"]["certificate"] = self.certificate
        config["client"]["client_secret"] = SECRET
        config["client"]["scope"] = changes.pop("scope", config["client"].get("scope", ""))
        return self.suite.start(module, config=config, clock=self.clock, **changes)

    async def click(self, browser: Browser, text: str) -> httpx2.Response:
        """Open the app and click on its link with this text; submits the forms that the suite's pages submit by themselves."""
        app = await browser.navigate("/")
        (target,) = re.findall(rf'<a href="([^"]*)">{re.escape(text)}</a>', app.text)
        answer = await browser.navigate(unescape(target), from_url=self.url + "/")
        return await self._submitted(browser, answer)

    async def call_userinfo(self, browser: Browser) -> httpx2.Response:
        """Press the app's button that calls UserInfo through a route."""
        (path,) = re.findall(r'fetch\("([^"]*)"', (await browser.navigate("/")).text)
        return await browser.fetch(path)

    async def sign_out(self, browser: Browser) -> httpx2.Response:
        """Press the app's button; loads the suite's frame, if that is where it leads, and goes on as its script does."""
        answer = await browser.navigate("/bff/logout", method="POST", form={}, from_url=self.url + "/")
        framed = re.search(r'<iframe src="([^"]*)".*data-goes-on-to="([^"]*)"', answer.text)
        if framed is None:
            return answer
        await self.load_frame(browser, framed[1])
        return await browser.navigate(framed[2], from_url=self.suite.url)

    async def load_frame(self, browser: Browser, url: str) -> None:
        """Load a frame of the suite's page; whatever keeps a browser from showing it there is an error."""
        answer = await browser.http.get(url, headers={"sec-fetch-dest": "iframe", "sec-fetch-site": "cross-site"})
        assert answer.status_code == 200, answer.text
        assert "x-frame-options" not in answer.headers
        assert self.suite.url in answer.headers["content-security-policy"].partition("frame-ancestors ")[2].split()
        self.suite.tests["bff-basic"].framed()

    async def _submitted(self, browser: Browser, answer: httpx2.Response) -> httpx2.Response:
        form = re.search(r'<form action="([^"]*)" method="post">(.*)</form>', answer.text)
        if form is None or not str(answer.url).startswith(self.suite.url):
            return answer
        fields = dict(re.findall(r'name="([^"]*)" value="([^"]*)"', form[2]))
        return await browser.navigate(form[1], method="POST", form=fields, from_url=self.suite.url)

    def _config(self, plan: str, *, channels: str) -> Json:
        name = "fapi" if plan == "fapi" else "basic"
        config: Json = json.loads(_moved(marked(page(PAGE), f"{name}.json"), url=self.url, suite=self.suite.url))
        if channels == "front":
            del config["client"]["backchannel_logout_uri"]
        if channels in {"front", "both"}:
            config["client"] |= json.loads(
                _moved(marked(page(PAGE), "front-channel.json"), url=self.url, suite=self.suite.url)
            )
        return config if plan in {"basic", "fapi"} else json.loads(json.dumps(config).replace("basic", plan))

    async def _public_keys(self, provider: str) -> Json:
        """What the tester copies, once and before any test runs: the gateway asks for the metadata to answer this, and gets none."""
        if not self.keys:
            assert provider not in self.suite.tests
            async with httpx2.AsyncClient(trust_env=False) as http:
                self.keys = dict((await http.get(f"{self.url}/bff/jwks/{provider}")).json())
            self.clock.now += LONGEST_PAUSE_SECONDS
        return self.keys

    async def begin(self, provider: str) -> httpx2.Response:
        """What `curl` does with the app's first hop: the redirect is not followed."""
        async with httpx2.AsyncClient(trust_env=False) as http:
            return await http.get(f"{self.url}/bff/login", params={"provider": provider})


def _moved(text: str, *, url: str, suite: str) -> str:
    text = text.replace("https://app.example.com", url).replace("https://localhost.emobix.co.uk:8443", suite)
    return text.replace("https://www.certification.openid.net", suite)


@asynccontextmanager
async def suite_world(
    *,
    provider: str = "basic",
    signing_key: str | None = None,
    certificate: tuple[str, ...] = (),
    **changes: str | None,
) -> AsyncIterator[SuiteWorld]:
    """Start the suite and the gateway; `changes` are other values for the provider, None: without that key.

    `certificate`: the sections of the page's configuration that have those with a certificate in their place.
    """
    clock = Clock()
    async with AsyncExitStack() as stack:
        gateway, sockets, management = bind_loopback(both_families=True), bind_loopback(), bind_loopback()
        for sock in (*gateway, *sockets, *management):
            stack.enter_context(sock)
        url, suite = f"http://localhost:{port_of(gateway)}", Suite(url=f"http://127.0.0.1:{port_of(sockets)}")
        folder = Path(stack.enter_context(TemporaryDirectory()))
        text, shown = marked(page(PAGE), "bff.yaml"), None
        if certificate:
            shown, authority = _certificate(folder)
            listeners = [tls_listener(authority, port=port_of(sockets), asks=asks) for asks in (False, True)]
            suite.url, suite.mtls_url = [await stack.enter_async_context(listener) for listener in listeners]
            text = with_certificate(text, certificate, mtls=suite.mtls_url)
        text = _moved(_changed(text, provider, changes), url=url, suite=suite.url)
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{port_of(gateway)}")
        _write(folder, text, signing_key or generate().pem())
        app = create_app(load(folder / "bff.yaml"), clock=clock)
        await stack.enter_async_context(serving(suite, sockets))
        await stack.enter_async_context(serving_gateway(app, gateway))
        world = SuiteWorld(url=url, suite=suite, clock=clock, certificate=shown)
        if certificate:
            world.trust = ssl.create_default_context(cafile=folder / "suite.crt")
        await stack.enter_async_context(world.browsers)
        yield world


def _certificate(folder: Path) -> tuple[str, Authority]:
    """The text of the client's, and who signed it and the suite's: Python's server, unlike nginx, takes none that nobody signed."""
    (folder / "secrets").mkdir()
    authority = Authority(folder, name="suite")
    files = zip(client_files(folder, name="bff", authority=authority), ("bff.crt", "bff.key"), strict=True)
    for file, name in files:
        file.replace(folder / "secrets" / name)
    (folder / "suite.crt").write_bytes(authority.file.read_bytes())
    return (folder / "secrets" / "bff.crt").read_text().strip(), authority


def with_certificate(text: str, sections: tuple[str, ...], *, mtls: str) -> str:
    """The page's configuration with these sections of its `mtls.yaml` in the place of their own."""
    other = marked(page(PAGE), "mtls.yaml").replace("https://localhost.emobix.co.uk:8444", mtls)
    text = text.replace("    csrf: origin\n", "    csrf: origin\n    ca_file: suite.crt\n")
    for section in sections:
        pattern = rf"^  (- path: )?{section}:?\n(    .*\n)*"
        (new,) = (found[0] for found in re.finditer(pattern, other, flags=re.MULTILINE))
        text, number = re.subn(pattern, lambda _, new=new: new, text, flags=re.MULTILINE)
        assert number == 1, section
    return text


def _changed(text: str, provider: str, changes: dict[str, str | None]) -> str:
    before, section, after = re.split(rf"(?<=^  {provider}:\n)((?:    .*\n)*)", text, maxsplit=1, flags=re.MULTILINE)
    for key, value in changes.items():
        section = re.sub(rf"^    {key}: .*\n", "", section, flags=re.MULTILINE)
        section += "" if value is None else f"    {key}: {value}\n"
    return before + section + after


def _write(folder: Path, text: str, signing_key: str) -> None:
    (folder / "bff.yaml").write_text(text)
    (folder / "app").mkdir()
    (folder / "app" / "index.html").write_text(marked(page(PAGE), "index.html"))
    (folder / "secrets").mkdir(exist_ok=True)
    secrets = {"session-key": SESSION_KEY, "client-secret": SECRET, "signing-key": signing_key}
    for name, secret in secrets.items():
        (folder / "secrets" / name).write_text(secret)
