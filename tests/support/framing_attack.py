"""Sends cases as one user while another user calls, through the same edge or to the same upstream, and judges each answer.

Each case has a connection of its own: the case, then a canary. Before the canary and after it the other user calls, on a connection
that lasts. Some cases run at a time, and the next call of any user takes a connection that a case has poisoned.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from bff.proxy.fields import SESSION_COOKIE
from support.framing_cases import Caller, Case
from support.raw_browser import RawBrowser, Reply, Truncated, Wire, raw_browser
from support.raw_world import RawWorld
from support.strict_browser import Browser

AT_A_TIME = 48
QUIET_SECONDS = 0.2  # a peer that says nothing for so long waits for more: the case is over; no verdict rests on it
OWNER = re.compile(rb"(?im)^x-owner: (\S+) (/[^\r\n]*)")
UNAVAILABLE = {502, 503, 504}  # an edge's own answer when the gateway closed the connection that it had just chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A caller and the token that its calls arrive with."""

    caller: Caller
    bearer: bytes

    def owner(self, number: int, what: str) -> bytes:
        """What its own answer says."""
        return b"%b /%b/%d/%b" % (self.bearer, self.caller.name.encode(), number, what.encode())


@dataclass(slots=True, kw_only=True)
class Attack:
    """One run. `counts` says what the cases came to, `faults` what must not be."""

    port: int
    attacker: User
    victim: User
    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    async def run(self, cases: Iterable[Case]) -> None:
        """Send them all."""
        numbered = iter(enumerate(cases))
        await asyncio.gather(*(self._worker(numbered) for _ in range(AT_A_TIME)))

    async def _worker(self, numbered: Iterable[tuple[int, Case]]) -> None:
        other = Lasting(self.port)
        try:
            for number, case in numbered:
                await self._one(case, number, other)
        finally:
            other.leave()

    async def _one(self, case: Case, number: int, other: "Lasting") -> None:
        self.counts["cases"] += 1
        async with raw_browser(self.port) as browser:
            await browser.say(*case.pieces(self.attacker.caller, number))
            await self._call(other, number, case)
            await browser.say(self.attacker.caller.canary(number))
            stream = await everything(browser, until=self.attacker.owner(number, "canary"))
        self._judge_own(stream, number, case)
        await self._call(other, number, case)

    async def _call(self, other: "Lasting", number: int, case: Case) -> None:
        reply = await other.ask(self.victim.caller.canary(number))
        own = self.victim.owner(number, "canary")
        self.counts["calls of the other user"] += 1
        if reply.status in UNAVAILABLE and not reply.values("x-owner"):
            self.counts["of these unavailable"] += 1
        elif (reply.status, reply.values("x-owner"), reply.body) != (200, [own.decode()], own):
            self._fault("the other user got what is not its own", number, case, repr(reply))

    def _judge_own(self, stream: bytes, number: int, case: Case) -> None:
        owners = OWNER.findall(stream)
        mine = b"/%b/%d/" % (self.attacker.caller.name.encode(), number)
        self.counts["with an answer of the upstream"] += bool(owners)
        self.counts["with the canary's answer"] += any(target == mine + b"canary" for _, target in owners)
        self.counts["with the hidden request's answer"] += any(target == mine + b"hidden" for _, target in owners)
        if any(bearer != self.attacker.bearer or not target.startswith(mine) for bearer, target in owners):
            self._fault("an answer that is not its own", number, case, repr(owners))
        order = [{mine + b"hidden": 1, mine + b"canary": 2}.get(target, 0) for _, target in owners]
        if order != sorted(order):
            self._fault("answers out of order", number, case, repr(owners))

    def _fault(self, what: str, number: int, case: Case, found: str) -> None:
        self.faults.append(f"{what}: case {number}: {found}\n    {case.wire(self.attacker.caller, number)!r}")


class Lasting:
    """A connection that is used until it is closed, and then another."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._browser: RawBrowser | None = None

    async def ask(self, request: bytes) -> Reply:
        """The reply; an idle connection that was closed meanwhile is no reply."""
        while True:
            if self._browser is None or self._browser.ended:
                self._browser = await _connected(self._port)
            try:
                await self._browser.say(request)
                reply = await self._browser.reply()
            except Truncated as cut:
                if cut.status or cut.body:
                    raise
                continue
            if reply.closes:
                self.leave()
            return reply

    def leave(self) -> None:
        """Close it."""
        if self._browser is not None and self._browser.wire.transport is not None:
            self._browser.wire.transport.close()
        self._browser = None


async def _connected(port: int) -> RawBrowser:
    _, wire = await asyncio.get_running_loop().create_connection(Wire, "127.0.0.1", port)
    return RawBrowser(wire)


async def everything(browser: RawBrowser, *, until: bytes) -> bytes:
    """What comes until this has come, the connection ends, or nothing more comes."""
    stream = b""
    while until not in stream:
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                piece = await browser.some()
        except TimeoutError:
            break
        if not piece:
            break
        stream += piece
    return stream


async def user(port: int, caller: Caller) -> User:
    """The caller, with the token that its first call arrived with."""
    connection = Lasting(port)
    reply = await connection.ask(caller.canary(0))
    connection.leave()
    (owner,) = reply.values("x-owner")
    return User(caller=caller, bearer=owner.split(" ")[0].encode())


def caller_of(site: RawWorld, name: str, browser: Browser) -> Caller:
    """A caller with the session of this browser."""
    value = browser.cookie(SESSION_COOKIE) or ""
    return Caller(name=name, host=site.host, cookie=f"{SESSION_COOKIE}={value}".encode())
