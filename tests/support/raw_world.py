"""The whole gateway between raw bytes: a real session, a raw client connection, and an upstream that keeps what reached it.

async with raw_world() as site:
    reply = await site.ask(site.request("GET /api/x"))
    assert site.targets == [b"/x"]
"""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bff.proxy.fields import SESSION_COOKIE
from support.gateway_world import GatewayWorld, gateway_world
from support.raw_browser import RawBrowser, Reply, raw_browser
from support.scripted_upstream import Conversation, Received, Script, ScriptedUpstream, response, scripted_upstream
from support.strict_browser import Browser

CANARY = b"/canary-that-must-never-arrive"
SMUGGLED = b"GET /open" + CANARY + b" HTTP/1.1\r\nHost: canary\r\n\r\n"


@dataclass(slots=True)
class Recorder:
    """An upstream's script that keeps every request; answers with `answers` while there are any, then with `200`."""

    seen: list[Received] = field(default_factory=list)
    answers: deque[bytes] = field(default_factory=deque)

    async def __call__(self, it: Conversation) -> None:
        """Serve one connection."""
        while True:
            request = await it.request()
            self.seen.append(request)
            await it.send(self.answers.popleft() if self.answers else response(b"fine"))


@dataclass(slots=True, kw_only=True)
class RawWorld:
    """What a raw test works with."""

    world: GatewayWorld
    upstream: ScriptedUpstream
    recorder: Recorder
    host: bytes
    browser: Browser | None  # signed in

    @property
    def port(self) -> int:
        """The gateway's public port."""
        return self.world.config.listen.port

    @property
    def seen(self) -> list[Received]:
        """What reached the upstream."""
        return self.recorder.seen

    @property
    def targets(self) -> list[bytes]:
        """The targets of what reached the upstream."""
        return [request.target for request in self.seen]

    @property
    def cookie(self) -> bytes:
        """The Cookie field's value of the signed-in user."""
        assert self.browser is not None
        value = self.browser.cookie(SESSION_COOKIE)
        assert value is not None
        return f"{SESSION_COOKIE}={value}".encode()

    def forget(self) -> "RawWorld":
        """Begin a test anew."""
        self.recorder.seen.clear()
        self.recorder.answers.clear()
        return self

    def answer_next(self, *answers: bytes) -> None:
        """The next requests get these raw answers, one each."""
        self.recorder.answers.extend(answers)

    def connect(self) -> AbstractAsyncContextManager[RawBrowser]:
        """A connection to the gateway."""
        return raw_browser(self.port, tls=self.world.tls)

    def fields(self, *fields: bytes, signed_in: bool = True) -> bytes:
        """The header section of a call from our own page, with these lines added, and its end."""
        ours = [b"Host: " + self.host]
        if signed_in and self.browser is not None:
            ours += [b"Cookie: " + self.cookie, b"X-CSRF: 1", b"Sec-Fetch-Site: same-origin"]
        return b"\r\n".join([*ours, *fields, b"", b""])

    def request(
        self, line: str | bytes, *fields: bytes, body: bytes | None = None, signed_in: bool = True, version: str = "1.1"
    ) -> bytes:
        """A request from our own page; `line` is method and target. With a body comes its length."""
        start = line.encode("latin-1") if isinstance(line, str) else line
        length = () if body is None else (b"Content-Length: %d" % len(body),)
        head = b"%b HTTP/%b\r\n" % (start, version.encode())
        return head + self.fields(*fields, *length, signed_in=signed_in) + (body or b"")

    async def ask(self, *pieces: bytes, to: str = "GET") -> Reply:
        """The reply to these bytes on a connection of their own."""
        async with self.connect() as browser:
            await browser.say(*pieces)
            return await browser.reply(to=to)


ROUTES: list[dict[str, Any]] = [
    {"path": "/api", "upstream": "{raw}", "provider": "corp"},
    {"path": "/pages", "upstream": "{raw}", "provider": "corp", "csrf": "origin"},
    {"path": "/open", "upstream": "{raw}", "token": "none"},
    {"path": "/maybe", "upstream": "{raw}", "provider": "corp", "token": "user_or_none"},
    {"path": "/small", "upstream": "{raw}", "token": "none", "max_body": "1KiB"},
]


@asynccontextmanager
async def raw_world(
    *scripts: Script,
    routes: list[dict[str, Any]] | None = None,
    signed_in: bool = True,
    public_url: str | None = None,
    **settings: Any,
) -> AsyncIterator[RawWorld]:
    """Start it all. In `routes`, `{raw}` is the upstream; scripts take the place of the recorder.

    With a `public_url` of another host nobody is signed in.
    """
    recorder = Recorder()
    async with scripted_upstream(*(scripts or (recorder,))) as upstream:
        wanted = [
            {name: _reaching(value, upstream.url) if name == "upstream" else value for name, value in route.items()}
            for route in (routes or ROUTES)
        ]
        if public_url is not None:
            settings["public_url"] = public_url
        async with gateway_world(routes=wanted, **settings) as world:
            yield RawWorld(
                world=world,
                upstream=upstream,
                recorder=recorder,
                host=world.config.public_url.authority,
                browser=await world.signed_in() if signed_in and public_url is None else None,
            )


def _reaching(value: str | list[str], url: str) -> str | list[str]:
    return value.replace("{raw}", url) if isinstance(value, str) else [one.replace("{raw}", url) for one in value]
