"""Load with canaries: each session asks the API who it is, again and again, and every answer is judged."""

import asyncio
import base64
import json
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from support.fault_gateways import Balancer

LATE_SECONDS = 1.0


def who_am_i() -> Starlette:
    """An API that says whose access token came, and how long after its expiry."""

    async def who(request: Request) -> JSONResponse:
        claims = _claims(request)
        return JSONResponse({"sub": claims["sub"], "late": time.time() - claims["exp"]})

    async def stream(request: Request) -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            while True:
                yield f"data: {_claims(request)['sub']}\n\n"
                await asyncio.sleep(0.5)

        return StreamingResponse(events(), media_type="text/event-stream")

    return Starlette(routes=[Route("/stream", stream), Route("/{rest:path}", who, methods=["GET", "POST"])])


def _claims(request: Request) -> dict[str, Any]:
    """What the access token says; no API of these tests asks whether it is right."""
    token = request.headers["authorization"].partition(" ")[2].split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))))


@dataclass(slots=True)
class Seat:
    """One signed-in browser, and what became of it."""

    user: str
    cookie: str
    leaving: bool = False
    signed_out_at: float | None = None
    last_status: int = 0
    last_good_at: float = 0.0
    token_ends_at: float = 0.0  # of the access token that the API saw last
    refused_at: list[float] = field(default_factory=list)


@dataclass(slots=True)
class Load:
    """All browsers, and what they saw."""

    balancer: Balancer
    host: str
    seats: list[Seat]
    pause_seconds: float
    statuses: Counter[int] = field(default_factory=Counter)
    wrong_users: int = 0
    late_tokens: int = 0
    resurrected: int = 0
    broken: int = 0  # requests without an answer, although they reached a process
    _tasks: list["asyncio.Task[None]"] = field(default_factory=list)
    _stopping: bool = False
    _first_good: dict[int, float] = field(default_factory=dict)  # by seat, since the fault ended

    async def __aenter__(self) -> "Load":
        self._tasks = [asyncio.create_task(self._sit(seat)) for seat in self.seats]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping = True
        done, left = await asyncio.wait(self._tasks, timeout=70)
        for task in left:
            task.cancel()
        for task in done:
            task.result()
        assert not left, "a request has no end"  # its client gives up after 60 s

    @property
    def lost(self) -> list[Seat]:
        """Those whose last answer was a 401 though they did not sign out."""
        return [seat for seat in self.seats if not seat.leaving and seat.last_status == 401]

    async def all_served(self, *, since: float, within_seconds: float, without: Collection[str] = ()) -> float:
        """Wait until every session has had an answer or is lost; how long after `since` the last one had it. `without`: users for
        whom this does not wait."""
        waiting = [seat for seat in self.seats if not seat.leaving and seat.user not in without]
        deadline = time.time() + within_seconds
        while time.time() < deadline:
            if all(seat.last_good_at > since or seat.last_status == 401 for seat in waiting):
                break
            await asyncio.sleep(0.05)
        first = [self._first_good.get(id(seat), float("inf")) for seat in waiting if seat.last_status != 401]
        return max(first, default=since) - since

    def watch(self) -> None:
        """From now on note the first good answer of each."""
        self._first_good = {}

    async def sign_out(self, count: int) -> None:
        """Some of them sign out now, and go on asking with their old cookie."""
        for seat in random.sample([s for s in self.seats if not s.leaving], count):
            seat.leaving = True
            async with asyncio.timeout(30):
                while await self._ask(seat, "POST", "/bff/logout") not in {200, 204}:
                    await asyncio.sleep(0.1)
            seat.signed_out_at = time.time()

    async def stream(self, seat: Seat, *, seen: list[str]) -> None:
        """Read a stream of this session until it ends; `seen` gets whose it is, line by line."""
        gateway = self.balancer.gateways[0]
        headers = {"host": self.host, "cookie": seat.cookie, "x-csrf": "1", "sec-fetch-site": "same-origin"}
        with suppress(httpx2.RemoteProtocolError):  # it has no end of its own
            async with gateway.client.stream("GET", "/api/stream", headers=headers) as answer:
                async for line in answer.aiter_lines():
                    if line:
                        seen.append(line.removeprefix("data: "))

    async def leave_early(self, *, after_seconds: float) -> None:
        """Browsers of the same users ask, and close the connection before the answer, until this is cancelled."""
        while True:
            seat, gateway = random.choice(self.seats), self.balancer.next()  # noqa: S311 - spreads load
            if gateway is None:
                await asyncio.sleep(after_seconds)
                continue
            headers = {"host": self.host, "cookie": seat.cookie, "x-csrf": "1", "sec-fetch-site": "same-origin"}
            with suppress(httpx2.TransportError):
                await gateway.client.post("/api/who", headers=headers, content=b"x", timeout=after_seconds)

    async def _sit(self, seat: Seat) -> None:
        while not self._stopping:
            method = random.choice(["GET", "POST"])  # noqa: S311 - spreads load
            began = time.time()
            status = await self._ask(seat, method, "/api/who")
            if status is not None:
                self._note(seat, status, began=began)
            await asyncio.sleep(self.pause_seconds * random.uniform(0.5, 1.5))  # noqa: S311 - spreads load

    async def _ask(self, seat: Seat, method: str, path: str) -> int | None:
        gateway = self.balancer.next()
        if gateway is None:
            return None
        headers = {"host": self.host, "cookie": seat.cookie, "x-csrf": "1", "sec-fetch-site": "same-origin"}
        try:
            answer = await gateway.client.request(
                method, path, headers=headers, content=b"x" if method == "POST" else b""
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            gateway.ready = False  # a load balancer tries another one: nothing was sent
            return None
        except httpx2.TransportError:
            self.broken += 1
            return None
        if path == "/api/who" and answer.status_code == 200:
            said = answer.json()
            self.wrong_users += said["sub"] != seat.user
            self.late_tokens += said["late"] > LATE_SECONDS
            seat.token_ends_at = time.time() - said["late"]
        return answer.status_code

    def _note(self, seat: Seat, status: int, *, began: float) -> None:
        if seat.leaving:
            self.resurrected += seat.signed_out_at is not None and began > seat.signed_out_at and status == 200
            return
        self.statuses[status] += 1
        seat.last_status = status
        if status != 200:
            seat.refused_at.append(began)
        else:
            seat.last_good_at = time.time()
            self._first_good.setdefault(id(seat), seat.last_good_at)
