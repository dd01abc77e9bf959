"""Sessions under every order of events: a state machine over two processes' worth of code and one store.

Sign-in, calls, tokens that an API rejects, sign-out, back-channel logout, expiry, crashes, orderly restarts, a store that is away or
whose answers are lost, a provider that is slow, late beyond the waiting limit, in trouble, away, or whose answer is lost after it
rotated; in random order, on one virtual clock. The model is a seat for each session: whose it is, and what may have ended it.

- No session gets another user's token, and no token is handed out after its expiry.
- What was signed out never comes back.
- A refresh token that the provider rotated is not sent again, unless its answer was lost.
- A session is lost by nothing but a sign-out, its own end, or a lost answer: one that was under way when its process crashed, or was
  cut off after the provider rotated. When all faults are over, every other session gets a token from both processes.
"""

import asyncio
import base64
import json
from collections.abc import Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import httpx2
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule
from starlette.responses import Response

from bff.backoff import Backoff
from bff.demo.parameters import Call
from bff.demo.provider import Endpoint
from bff.demo.signing import SigningKeys
from bff.errors import LoginRequired, ProviderError, StoreUnavailable
from bff.oauth.id_token import check_id_token
from bff.provider.client import Provider
from bff.sessions.ending import sessions_to_end
from bff.sessions.local_copies import ChangeFanout
from bff.sessions.memory import MemoryStore
from bff.sessions.model import AccessToken, Target, session_key
from bff.tokens import grants
from bff.tokens.background import BackgroundTasks
from bff.tokens.refresh import Refresher
from bff.tokens.renewal import Renewal
from bff.tokens.renewing import Renewing, renewing
from bff.tokens.sign_in import keep_sign_in
from support.fake_internet import GATEWAY, NONCE, VERIFIER, FakeInternet, authorization_code, provider_at
from support.fake_provider import shop
from support.fault_provider import FaultProvider
from support.virtual_time import VirtualTimeLoop

BEGINNING = 1_800_000_000.0
LIFETIME = 600
IDLE_TIMEOUT = 1800.0
ABSOLUTE_TIMEOUT = 2 * 3600.0
CALL_LIMIT = 60.0
HEALED_AFTER = 240.0  # the limit of a call, the grace of a mark, and every pause are over
HERE = Target()
KEYS = SigningKeys()  # made once: it takes longer than everything else
PROVIDER_MODES = ("well", "slow", "late", "503", "429", "away", "cut")
STORE_MODES = ("well", "away", "silent")  # silent: what is asked is done, and the answer is lost


@dataclass(slots=True, eq=False)
class Seat:
    """One session, as the model knows it."""

    key: str
    user: str
    sid: str
    lives_until: float  # at least: nothing of its own ends it before
    absolute_end: float
    gone: bool = False  # signed out, and said so
    excused: bool = False  # a sign-out of unknown outcome, or a lost answer


class Line:
    """A process's connection to the store, in one of `STORE_MODES`, or `dead` with its process."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.mode = "well"

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def ask(*arguments: Any, **named: Any) -> Any:
            if self.mode in {"away", "dead"}:
                raise StoreUnavailable("away")
            answer = await method(*arguments, **named)
            if self.mode == "silent":
                raise StoreUnavailable("no answer")
            return answer

        return ask


class Internet(FakeInternet):
    """Loses answers of the token endpoint if told to."""

    cuts = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Hand it on, and perhaps lose what comes back."""
        response = await super().handle_async_request(request)
        if self.cuts and request.url.path == "/token":
            raise httpx2.ReadError("cut off", request=request)
        return response


class RotatingProvider(FaultProvider):
    """Remembers whose each refresh token was."""

    owners: dict[str, str]
    cuts = False
    lost: set[str]  # users whose rotated token was lost on the way

    async def respond(self, call: Call, endpoint: Endpoint) -> Response:
        """Note who is served."""
        response = await super().respond(call, endpoint)
        if call.path == "/token" and response.status_code == 200:
            members = json.loads(bytes(response.body))
            user = subject(members["access_token"])
            self.owners[members["refresh_token"]] = user
            if self.cuts:
                self.lost.add(user)
        return response


@dataclass(slots=True, kw_only=True, eq=False)
class Process:
    """One process's worth of code."""

    line: Line
    provider: Provider
    tasks: BackgroundTasks
    shared: Renewing
    refresher: Refresher
    requests: set["asyncio.Task[bool]"] = field(default_factory=set)


def subject(access_token: str) -> str:
    """Whose token it is."""
    payload = access_token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"])


class Sessions(RuleBasedStateMachine):
    """See the top of the file."""

    seats = Bundle("seats")
    processes = st.integers(0, 1)

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        self.store = MemoryStore(idle_timeout_seconds=IDLE_TIMEOUT, clock=self.clock)
        self.internet = Internet()
        self.fake = RotatingProvider(
            issuer="http://127.0.0.1:7001",
            clients=[shop(GATEWAY, provider="corp")],
            access_token_lifetime_seconds=LIFETIME,
            clock=self.clock,
        )
        self.fake.keys, self.fake.owners, self.fake.lost = KEYS, {}, set()
        self.internet.hosts["127.0.0.1:7001"] = self.fake.app
        self.users = iter(self.fake.people(100))
        self.known: list[Seat] = []
        self.wrongs: list[str] = []
        self.process = [self._process(), self._process()]

    def clock(self) -> float:
        """Unix seconds."""
        return BEGINNING + self.loop.time()

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Run it to its end, and everything else meanwhile."""
        return self.loop.run_until_complete(work)

    def _process(self) -> Process:
        line, tasks = Line(self.store), BackgroundTasks()
        provider = provider_at(
            self.internet,
            self.fake,
            clock=self.clock,
            call_limit=CALL_LIMIT,
            scope="openid offline_access",
        )
        shared = renewing(
            store=line, tasks=tasks, clock=self.clock, write_backoff=Backoff(first_seconds=0.2, longest_seconds=1)
        )
        shared.circuits.join(provider)
        renewal = Renewal(renewing=shared, providers={"corp": provider})
        return Process(
            line=line,
            provider=provider,
            tasks=tasks,
            shared=shared,
            refresher=Refresher(renewal=renewal, tasks=tasks, clock=self.clock),
        )

    @initialize()
    def listen(self) -> None:
        """Every process hears of changes."""
        self.run(self.store.open(self._waits(), on_message=self._told))

    def _waits(self) -> ChangeFanout:
        return ChangeFanout([process.shared.waits for process in self.process])

    def _told(self, text: str) -> None:
        for process in self.process:
            process.shared.circuits.receive(text)

    # --- what people do ---------------------------------------------------------------------------------------------------

    @precondition(lambda self: len(self.known) < 6 and self._provider_answers())
    @rule(target=seats, number=processes)
    def sign_in(self, number: int) -> Any:
        """A person signs in; while the store is away that fails."""
        user = next(self.users)
        try:
            seat = self.run(self._sign_in(self.process[number], user))
        except (StoreUnavailable, ProviderError):
            return multiple()
        self.known.append(seat)
        return seat

    async def _sign_in(self, process: Process, user: str) -> Seat:
        self.fake.sign_in_as = user
        code = await authorization_code(process.provider)
        response = await process.provider.exchange_code(
            code, code_verifier=VERIFIER, redirect_uri=process.provider.redirect_uri, resource=None
        )
        verified = await process.provider.identity.verify(response.id_token or "", types=("JWT",))
        now = self.clock()
        grant = grants.granted(
            response,
            provider="corp",
            issuer=self.fake.issuer,
            client_id="shop",
            target=HERE,
            id_token=check_id_token(
                verified,
                provider="corp",
                issuer=self.fake.issuer,
                client_id="shop",
                nonce=NONCE,
                access_token=response.access_token,
                now=now,
                leeway=30.0,
            ),
            userinfo={},
            now=now,
        )
        kept = await keep_sign_in(
            process.line,  # type: ignore[arg-type]  # a store by what it hands on
            grant=grant,
            previous_key=None,
            absolute_timeout_seconds=ABSOLUTE_TIMEOUT,
            now=now,
        )
        return Seat(session_key(kept.session_id), user, grant.sid or "", now + IDLE_TIMEOUT, now + ABSOLUTE_TIMEOUT)

    @rule(seat=seats, number=processes, rejected=st.booleans(), seconds=st.sampled_from([0.0, 1.0, 40.0]))
    def call(self, seat: Seat, number: int, rejected: bool, seconds: float) -> None:
        """The page calls an API, which perhaps rejects the token; the next event comes after so many seconds."""
        process = self.process[number]
        task = self.loop.create_task(self._call(seat, process, rejected=rejected))
        process.requests.add(task)
        task.add_done_callback(partial(self._answered, process))
        self.run(asyncio.sleep(seconds))

    def _answered(self, process: Process, task: "asyncio.Task[bool]") -> None:
        process.requests.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.wrongs.append(f"a call ended with {error!r}")

    async def _call(self, seat: Seat, process: Process, *, rejected: bool = False) -> bool:
        """Whether it got a token, or rightly got none."""
        began, was_gone = self.clock(), seat.gone
        try:
            live = await process.line.read(seat.key, touch=True, now=began)
            if live is None:
                self._judge_loss(seat, "not in the store")
                return True
            seat.lives_until = max(seat.lives_until, min(began + IDLE_TIMEOUT, seat.absolute_end))
            token = await process.refresher.usable(live.session, provider="corp", target=HERE)
            self._judge(token, seat, began=began, was_gone=was_gone)
            if rejected:
                other = await process.refresher.instead_of(token, live.session, provider="corp", target=HERE)
                if other is not None:
                    self._judge(other, seat, began=began, was_gone=was_gone)
        except LoginRequired as error:
            self._judge_loss(seat, f"{error} {error.reason}")
            return True
        except (ProviderError, StoreUnavailable):
            return False
        return True

    def _judge_loss(self, seat: Seat, why: str) -> None:
        self._excuse_lost()
        if not (seat.gone or seat.excused or self.clock() >= seat.lives_until):
            self.wrongs.append(f"{seat.user} was lost: {why}")

    def _judge(self, token: AccessToken, seat: Seat, *, began: float, was_gone: bool) -> None:
        if subject(token.value) != seat.user:
            self.wrongs.append(f"{seat.user} got a token of {subject(token.value)}")
        if token.expires_at is None or token.expires_at <= began:
            self.wrongs.append(f"{seat.user} got an expired token")
        if was_gone:
            self.wrongs.append(f"{seat.user} got a token after the sign-out")

    @rule(seat=seats, number=processes)
    def sign_out(self, seat: Seat, number: int) -> None:
        """A person signs out; without an answer of the store it is unknown whether that was done."""
        try:
            self.run(self.process[number].line.delete(seat.key))
            seat.gone = True
        except StoreUnavailable:
            seat.excused = True

    @rule(seat=seats, number=processes)
    def backchannel_logout(self, seat: Seat, number: int) -> None:
        """The provider reports a sign-out of this `sid`."""
        try:
            self.run(self._end_all(self.process[number].line, seat.sid))
            seat.gone = True
        except StoreUnavailable:
            seat.excused = True

    async def _end_all(self, line: Any, sid: str) -> None:
        async for key in sessions_to_end(line, issuer=self.fake.issuer, sid=sid):
            await line.delete(key)

    @rule(seconds=st.sampled_from([0.5, 3.0, 12.0, 65.0, 545.0, 605.0, 1700.0]))
    def time_passes(self, seconds: float) -> None:
        """What is under way goes on meanwhile."""
        self.run(asyncio.sleep(seconds))

    # --- what goes wrong --------------------------------------------------------------------------------------------------

    @rule(number=processes, mode=st.sampled_from(STORE_MODES))
    def store(self, number: int, mode: str) -> None:
        """The store, as one process finds it, is well, away, or silent."""
        self.process[number].line.mode = mode

    @rule(mode=st.sampled_from(PROVIDER_MODES))
    def provider(self, mode: str) -> None:
        """The provider is well, slow, or in one kind of trouble."""
        self.fake.recover()
        self.internet.down.clear()
        self.internet.cuts = self.fake.cuts = mode == "cut"
        self.fake.delay_seconds = {"slow": 5.0, "late": 40.0}.get(mode, 0.0)
        if mode in {"503", "429"}:
            self.fake.refuse(int(mode), retry_after=7 if mode == "429" else None)
        if mode == "away":
            self.internet.down.add("127.0.0.1:7001")

    def _provider_answers(self) -> bool:
        return not self.internet.down and not self.internet.cuts

    @rule(number=processes)
    def crash(self, number: int) -> None:
        """A process dies; what it had asked and not yet stored is lost, and nothing else. Another one takes its place."""
        process = self.process[number]
        under_way = set(self.fake.answering)
        unwritten = {key for key, _ in process.shared.kept._kept}
        for seat in self.known:
            seat.excused = seat.excused or seat.user in under_way or seat.key in unwritten
        process.line.mode = "dead"
        self.run(self._die(process))
        self._replace(number)

    @rule(number=processes)
    def restart(self, number: int) -> None:
        """A process stops in order: it hears out what it asked, and stores it. If it cannot, that is lost."""
        process = self.process[number]
        process.tasks.stopping = True
        self.run(process.provider.give_up_queueing())
        self.run(process.tasks.close(grace_seconds=CALL_LIMIT + 10))
        for key, _ in process.shared.kept._kept:
            for seat in self.known:
                seat.excused = seat.excused or seat.key == key
        process.line.mode = "dead"
        self.run(self._die(process))
        self._replace(number)

    # --- what chance alone seldom brings together -------------------------------------------------------------------------

    def _asking(self, seat: Seat, number: int) -> None:
        """This process asks for a new token, whose answer comes in five seconds."""
        self.provider("slow")
        for process in self.process:
            process.line.mode = "well"
        self.time_passes(605.0)
        self.call(seat, number, rejected=False, seconds=1.0)

    @rule(seat=seats, number=processes)
    def answer_finds_no_store(self, seat: Seat, number: int) -> None:
        """The store goes away for the process that asks, which keeps the answer; the other one is called meanwhile."""
        self._asking(seat, number)
        self.process[number].line.mode = "away"
        self.time_passes(12.0)
        self.call(seat, 1 - number, rejected=False, seconds=40.0)
        self.process[number].line.mode = "well"
        self.time_passes(120.0)
        for process in (0, 1):
            self.call(seat, process, rejected=False, seconds=10.0)

    @rule(seat=seats, number=processes)
    def dies_while_it_asks(self, seat: Seat, number: int) -> None:
        """The process dies before the answer; the other one is called after its lease has run out."""
        self._asking(seat, number)
        self.crash(number)
        self.time_passes(17.0)
        self.call(seat, 1 - number, rejected=False, seconds=1.0)

    @rule(seat=seats, number=processes)
    def signed_out_while_it_asks(self, seat: Seat, number: int) -> None:
        """The sign-out comes to the other process, before the answer."""
        self._asking(seat, number)
        self.sign_out(seat, 1 - number)
        self.time_passes(12.0)

    async def _die(self, process: Process) -> None:
        for request in list(process.requests):
            request.cancel()
        await process.tasks.close(grace_seconds=0)
        await process.shared.holder.close()
        await process.provider.close()

    def _replace(self, number: int) -> None:
        self.process[number] = self._process()
        self.listen()

    def _excuse_lost(self) -> None:
        for seat in self.known:
            seat.excused = seat.excused or seat.user in self.fake.lost

    # --- what always holds ------------------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_wrong(self) -> None:
        """No wrong user, no expired token, no lost session so far."""
        assert self.wrongs == []

    @invariant()
    def what_is_gone_stays_gone(self) -> None:
        """No write brings back a session that was signed out."""
        for seat in self.known:
            if seat.gone:
                assert self.run(self.store.read(seat.key, touch=False, now=self.clock())) is None

    @invariant()
    def no_refresh_token_is_sent_twice(self) -> None:
        """Unless its answer was lost, so that the outcome is unknown."""
        self._excuse_lost()
        excused = {seat.user for seat in self.known if seat.excused}
        twice = {self.fake.owners.get(token) for token, count in self.fake.spent.items() if count > 1}
        assert twice <= excused | {None}

    def teardown(self) -> None:
        """All faults end, and every session that must live is served by both processes."""
        try:
            self.provider("well")
            for process in self.process:
                process.line.mode = "well"
            self.time_passes(HEALED_AFTER)
            for seat in self.known:
                for process in self.process:
                    assert self.run(self._call(seat, process)), f"{seat.user} is not served"
            self.nothing_is_wrong()
            self.what_is_gone_stays_gone()
            self.no_refresh_token_is_sent_twice()
        finally:
            for process in self.process:
                process.line.mode = "dead"
                self.run(self._die(process))
            self.loop.close()


TestSessions = Sessions.TestCase
TestSessions.settings = settings(
    max_examples=25,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
