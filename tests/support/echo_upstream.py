"""An upstream that answers with what it saw, on a real socket, and says what a test tells it to."""

import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from bff.demo.loopback_sockets import bind_loopback, port_of
from bff.server.process import serving

Fields = list[tuple[bytes, bytes]]


@dataclass(slots=True, kw_only=True)
class Seen:
    """One request as it arrived."""

    method: str
    target: str  # raw path and query
    fields: Fields
    body: bytes

    def values(self, name: str) -> list[str]:
        """All values of a field, in order."""
        return [value.decode("latin-1") for key, value in self.fields if key == name.encode()]

    @property
    def bearer(self) -> str | None:
        """The bearer token, if there is one."""
        values = self.values("authorization")
        return values[0].removeprefix("Bearer ") if values else None


@dataclass(slots=True, kw_only=True)
class Said:
    """A scripted answer."""

    status: int = 200
    fields: Fields = field(default_factory=list)
    body: bytes = b""


class EchoUpstream:
    """The resource server of a journey."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.rejected: set[str] = set()  # bearers that get a 401
        self._next: deque[Said] = deque()

    def answer_next(self, *answers: Said) -> None:
        """The next requests get these answers, one each."""
        self._next.extend(answers)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve."""
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        query = b"?" + scope["query_string"] if scope["query_string"] else b""
        seen = Seen(
            method=scope["method"],
            target=(scope["raw_path"] + query).decode("latin-1"),
            fields=list(scope["headers"]),
            body=body,
        )
        self.seen.append(seen)
        said = self._answer(seen)
        await send({"type": "http.response.start", "status": said.status, "headers": said.fields})
        await send({"type": "http.response.body", "body": said.body})

    def _answer(self, seen: Seen) -> Said:
        if self._next:
            return self._next.popleft()
        if seen.bearer in self.rejected:
            return Said(status=401, fields=[(b"www-authenticate", b'Bearer error="invalid_token"')])
        told = json.dumps({"method": seen.method, "target": seen.target, "body": seen.body.decode("latin-1")}).encode()
        return Said(
            fields=[(b"content-type", b"application/json"), (b"content-length", str(len(told)).encode())], body=told
        )


@asynccontextmanager
async def echo_upstream() -> AsyncIterator[tuple[EchoUpstream, str]]:
    """An upstream on a free port and its URL."""
    sockets = bind_loopback()
    upstream = EchoUpstream()
    url = f"http://127.0.0.1:{port_of(sockets)}"
    async with serving(upstream, sockets):
        yield upstream, url
