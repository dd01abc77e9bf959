"""The gateway as an ASGI application without a server: requests go in as scopes, answers come out as they were sent.

For what the gateway decides by itself. Nothing is streamed here and no upstream is there; journeys do that over real sockets.
"""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bff.config.load import load
from bff.config.model import Config
from bff.sessions.model import Grant, Session, new_session_id, session_key
from bff.tokens.sign_in import keep_sign_in
from bff.web.app import App, create_app
from bff.web.gateway import running
from support.config_texts import SESSION_KEY
from support.fake_internet import SECRET, FakeClock, FakeInternet, fake_host
from support.fake_provider import FakeProvider
from support.session_samples import a_grant

ORIGIN = "https://app.example.com"
FETCH = {"x-csrf": "1", "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
NAVIGATION = {
    "sec-fetch-site": "same-origin",
    "sec-fetch-mode": "navigate",
    "sec-fetch-dest": "document",
    "accept": "text/html,application/xhtml+xml,*/*;q=0.8",
}
TYPED = {**NAVIGATION, "sec-fetch-site": "none"}
FROM_ELSEWHERE = {**NAVIGATION, "sec-fetch-site": "cross-site"}

ROUTES: list[dict[str, Any]] = [
    {"path": "/api", "upstream": "http://127.0.0.1:9", "provider": "corp"},
    {"path": "/pages", "upstream": "http://127.0.0.1:9", "provider": "corp", "csrf": "origin"},
    {"path": "/machine", "upstream": "http://127.0.0.1:9", "provider": "corp", "token": "client"},
    {"path": "/open", "upstream": "http://127.0.0.1:9", "token": "none"},
    {"path": "/app", "files": "dist"},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the browser got."""

    status: int
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def all(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value.decode() for key, value in self.fields if key.lower() == name.encode()]

    def field(self, name: str) -> str:
        """The one value of a field."""
        (value,) = self.all(name)
        return value

    def json(self) -> Any:
        """The content as JSON."""
        return json.loads(self.body)


@dataclass(slots=True, kw_only=True)
class AsgiGateway:
    """The gateway, its clock, and a provider behind it."""

    app: App
    clock: FakeClock
    internet: FakeInternet
    corp: FakeProvider
    folder: Path

    async def ask(
        self,
        path: str,
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        *,
        method: str = "GET",
        query: bytes | str = b"",
        body: bytes = b"",
        client: str = "192.0.2.7",
        host: str | None = "app.example.com",
        **scope: Any,
    ) -> Answer:
        """Send one request; `path` is raw, header names are lower case."""
        named = list(headers.items()) if isinstance(headers, Mapping) else list(headers or [])
        fields = ([("host", host)] if host is not None else []) + named
        raw = path.encode("latin-1")
        query_string = query.encode("latin-1") if isinstance(query, str) else query
        request = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": raw.decode("latin-1"),
            "raw_path": raw,
            "root_path": "",
            "query_string": query_string,
            "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields],
            "client": (client, 50000),
            "server": ("127.0.0.1", 8080),
            "extensions": {},
            **scope,
        }
        return await _answer(self.app, request, body)

    async def session(self, *grants: Grant) -> tuple[Session, dict[str, str]]:
        """A session and the header with its cookie."""
        first = grants[0] if grants else a_grant(issuer=self.corp.issuer)
        kept = await keep_sign_in(
            self.app.process.store,
            grant=first,
            previous_key=None,
            absolute_timeout_seconds=12 * 3600.0,
            now=self.clock(),
        )
        live = await self.app.process.store.read(session_key(kept.session_id), touch=False, now=self.clock())
        assert live is not None
        return live.session, {"cookie": self.cookie(kept.session_id)}

    def cookie(self, session_id: str | None = None) -> str:
        """The Cookie field of a browser with this session id; of an unknown one if none is given."""
        signed = self.app.gateway.signer.sign(self.app.gateway.cookies.session, session_id or new_session_id())
        return f"{self.app.gateway.cookies.session.decode()}={signed}"


async def _answer(app: App, scope: dict[str, Any], body: bytes) -> Answer:
    messages: list[dict[str, Any]] = []
    sent = False

    async def receive() -> dict[str, Any]:
        nonlocal sent
        if sent:
            await asyncio.Event().wait()  # the browser stays until it has its answer
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        messages.append(message)

    await app(scope, receive, send)
    start, *rest = messages
    assert start["type"] == "http.response.start"
    assert {message["type"] for message in rest} == {"http.response.body"}
    assert [message.get("more_body", False) for message in rest] == [True] * (len(rest) - 1) + [False]
    content = b"".join(message.get("body", b"") for message in rest)
    return Answer(status=start["status"], fields=tuple(tuple(pair) for pair in start["headers"]), body=content)


@asynccontextmanager
async def asgi_gateway(**settings: Any) -> AsyncIterator[AsgiGateway]:
    """The gateway at https://app.example.com with one provider and some routes; keyword arguments change its configuration."""
    clock, internet = FakeClock(), FakeInternet()
    corp = fake_host(internet, name="corp", port=7001, clock=clock)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        app = create_app(configured(folder, corp.issuer, **settings), clock=clock, provider_transport=internet)
        async with running(lambda: app.gateway, app.process):
            yield AsgiGateway(app=app, clock=clock, internet=internet, corp=corp, folder=folder)


def configured(folder: Path, issuer: str, **settings: Any) -> Config:
    """The configuration, read from a file as always; `dist` is a small app."""
    make_app(folder / "dist")
    text = {
        "public_url": ORIGIN,
        "session": {"store": "memory://", "keys": [SESSION_KEY]},
        "providers": {"corp": {"issuer": issuer, "client_id": "shop", "client_secret": SECRET}},
        "routes": ROUTES,
        **settings,
    }
    file = folder / "bff.yaml"
    file.write_text(json.dumps(text))  # YAML 1.2 contains JSON
    return load(file)


def make_app(folder: Path) -> None:
    """A single-page app with a script, and a secret beside it."""
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><title>The app</title>")
    (folder / "assets" / "app.js").write_text("export const app = 1;\n" * 100)
    (folder / "assets" / "style.css").write_text("body{}")
    (folder.parent / "secret.txt").write_text("canary: not part of the app")
