"""Single flights: one attempt at a time, owned by the application (invariant 5), asked no faster than allowed."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from bff.errors import LoginRequired, ProviderMisbehaved, ProviderUnavailable, StoreUnavailable
from bff.provider.circuit import Circuit
from bff.sessions.model import AccessToken
from bff.tokens.background import BackgroundTasks
from bff.tokens.flights import Flights, Sending
from support.fake_internet import FakeClock


def a_token(value: str = "token") -> AccessToken:
    """An access token."""
    return AccessToken(value=value, expires_at=None, refresh_at=None)


class Source:
    """What the flights fetch from: counts, waits at a gate, and fails on request."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.failure: Exception | None = None
        self.queues = False
        self.expiries: deque[float] = deque()  # of the next tokens

    async def fetch(self, key: str, rejected: str | None, sending: Sending) -> AccessToken:
        """One attempt, sent at once unless it is to queue."""
        await sending.admission()
        self.calls.append((key, rejected))
        if not self.queues:
            sending.now()
        number = len(self.calls)
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return replace(a_token(f"{key}-{number}"), expires_at=self.expiries.popleft() if self.expiries else None)


@dataclass(slots=True)
class Provider:
    """Who is asked."""

    circuit: Circuit
    timeout_seconds: float = 30.0
    name: str = "corp"


@pytest.fixture
def provider(clock: FakeClock) -> Provider:
    """A provider whose circuit is closed."""
    return Provider(Circuit(clock=clock))


@pytest.fixture
def source() -> Source:
    """A source that answers at once."""
    return Source()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still until a test moves it."""
    return FakeClock()


@pytest.fixture
def fly(source: Source, clock: FakeClock, provider: Provider) -> Flights[str]:
    """Flights to the source."""
    return Flights(source.fetch, asked=lambda _: provider, tasks=BackgroundTasks(), clock=clock)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until it is so."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.requirement("R-133", "R-165")
async def test_a_hundred_callers_share_one_fetch(fly: Flights[str], source: Source) -> None:
    """All who want the same thing at the same time get the result of one attempt."""
    tokens = await asyncio.gather(*(fly.result("a", provider="corp") for _ in range(100)))
    assert {token.value for token in tokens} == {"a-1"}
    assert len(source.calls) == 1


@pytest.mark.requirement("R-144")
async def test_keys_fly_apart(fly: Flights[str], source: Source) -> None:
    """Different needs are fetched separately and at the same time."""
    source.gate.clear()
    both = asyncio.gather(fly.result("a", provider="corp"), fly.result("b", provider="corp"))
    await until(lambda: len(source.calls) == 2)
    source.gate.set()
    a, b = await both
    assert (a.value[0], b.value[0]) == ("a", "b")


@pytest.mark.requirement("R-347")
async def test_token_that_expired_before_it_came_is_fetched_once_more(
    fly: Flights[str], source: Source, clock: FakeClock
) -> None:
    """All who wait get the token of the second attempt."""
    source.expiries.extend([clock() - 1.0, clock() + 60.0])
    tokens = await asyncio.gather(*(fly.result("a", provider="corp") for _ in range(3)))
    assert {token.value for token in tokens} == {"a-2"}


@pytest.mark.requirement("R-347")
async def test_tokens_that_always_expire_before_they_come_are_an_outage(
    fly: Flights[str], source: Source, clock: FakeClock
) -> None:
    """After two attempts the answer is that the provider is too slow for its tokens, and there is a pause before the next attempt."""
    source.expiries.extend([clock() - 1.0] * 4)
    for _ in range(2):
        with pytest.raises(ProviderUnavailable) as caught:
            await fly.result("a", provider="corp")
    assert caught.value.reason == "failed_before"
    assert len(source.calls) == 2


@pytest.mark.requirement("R-347")
async def test_token_without_a_lifetime_to_speak_of_is_used_at_once(
    fly: Flights[str], source: Source, clock: FakeClock
) -> None:
    """`expires_in: 0` beside a refresh token means a token for one call: its expiry is when it was asked for."""
    source.expiries.append(clock() - 0.2)
    assert (await fly.result("a", provider="corp")).value == "a-1"


@pytest.mark.requirement("R-139")
async def test_cancelled_caller_does_not_cancel_the_flight(fly: Flights[str], source: Source) -> None:
    """Whoever leaves, the flight goes on, and those who stayed get its result."""
    source.gate.clear()
    leaver = asyncio.ensure_future(fly.result("a", provider="corp"))
    stayer = asyncio.ensure_future(fly.result("a", provider="corp"))
    await until(lambda: bool(source.calls))
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    source.gate.set()
    assert (await stayer).value == "a-1"
    assert len(source.calls) == 1


async def test_next_need_after_a_flight_is_a_new_one(fly: Flights[str], source: Source) -> None:
    """A finished flight is not served again: the result is kept elsewhere."""
    assert (await fly.result("a", provider="corp")).value == "a-1"
    assert (await fly.result("a", provider="corp")).value == "a-2"
    assert len(source.calls) == 2


@pytest.mark.requirement("R-145")
async def test_after_a_providers_failure_nobody_asks_until_the_pause_is_over(
    fly: Flights[str], source: Source, clock: FakeClock
) -> None:
    """All waiters see the failure, later ones are told at once, and after the pause it is tried again."""
    source.failure = ProviderMisbehaved("odd", provider="corp", reason="odd")
    outcomes = await asyncio.gather(*(fly.result("a", provider="corp") for _ in range(10)), return_exceptions=True)
    assert all(outcome is source.failure for outcome in outcomes)
    with pytest.raises(ProviderUnavailable):
        await fly.result("a", provider="corp")
    fly.begin("a")
    await asyncio.sleep(0)
    assert len(source.calls) == 1
    clock.advance(1.3)
    source.failure = None
    assert (await fly.result("a", provider="corp")).value == "a-2"


@pytest.mark.requirement("R-145")
async def test_failure_holds_up_its_own_key_only(fly: Flights[str], source: Source) -> None:
    """One user's failing refresh does not keep another's from being tried."""
    source.failure = ProviderUnavailable("away", provider="corp")
    with pytest.raises(ProviderUnavailable):
        await fly.result("a", provider="corp")
    source.failure = None
    assert await fly.result("b", provider="corp")


async def test_an_ended_session_needs_no_pause(fly: Flights[str], source: Source) -> None:
    """An ended session does not hold up the next attempt."""
    source.failure = LoginRequired("over", provider="corp")
    for _ in range(3):
        with pytest.raises(LoginRequired):
            await fly.result("a", provider="corp")
    assert len(source.calls) == 3


@pytest.mark.requirement("R-346")
async def test_a_store_in_trouble_is_not_hammered(fly: Flights[str], source: Source, clock: FakeClock) -> None:
    """After a failure of the store there is a pause, which stays short."""
    source.failure = StoreUnavailable("no answer")
    for _ in range(60):
        with pytest.raises(StoreUnavailable):
            await fly.result("a", provider="corp")
        clock.advance(0.5)
    assert 12 <= len(source.calls) <= 20


@pytest.mark.requirement("R-190")
async def test_pause_after_a_failure_of_the_store_is_the_stores(
    fly: Flights[str], source: Source, clock: FakeClock
) -> None:
    """During the pause the answer names the store and its reason, and not the provider, which was not asked."""
    source.failure = StoreUnavailable("no answer", reason="store_full")
    for _ in range(2):
        with pytest.raises(StoreUnavailable) as told:
            await fly.result("a", provider="corp")
        assert told.value.reason == "store_full"
    assert len(source.calls) == 1
    clock.advance(2.0)
    source.failure = ProviderMisbehaved("no JSON", provider="corp", reason="not_json")
    with pytest.raises(ProviderMisbehaved):
        await fly.result("a", provider="corp")
    with pytest.raises(ProviderUnavailable) as paused:
        await fly.result("a", provider="corp")
    assert paused.value.reason == "failed_before"


@pytest.mark.requirement("R-346")
async def test_several_failures_open_the_circuit_and_one_answer_closes_it(
    fly: Flights[str], source: Source, clock: FakeClock
) -> None:
    """Two users' failures keep a third from asking; after the pause one asks, and its success lets all ask."""
    source.failure = ProviderUnavailable("x", provider="corp", reason="http_503")
    for key in ("a", "b"):
        with pytest.raises(ProviderUnavailable):
            await fly.result(key, provider="corp")
    with pytest.raises(ProviderUnavailable) as told:
        await fly.result("c", provider="corp")
    assert (told.value.reason, len(source.calls)) == ("failed_before", 2)
    assert 0 < (told.value.retry_after_seconds or 0) <= 1
    clock.advance(told.value.retry_after_seconds or 0)
    source.failure = None
    source.gate.clear()
    probe = asyncio.ensure_future(fly.result("c", provider="corp"))
    await until(lambda: len(source.calls) == 3)
    with pytest.raises(ProviderUnavailable):
        await fly.result("d", provider="corp")
    source.gate.set()
    assert await probe
    assert await fly.result("d", provider="corp")


@pytest.mark.requirement("R-346")
async def test_retry_after_is_not_undercut(fly: Flights[str], source: Source, clock: FakeClock) -> None:
    """A 429 with Retry-After keeps everybody from asking until then, and its end is what they are told."""
    source.failure = ProviderUnavailable("x", provider="corp", reason="http_429", retry_after_seconds=20)
    with pytest.raises(ProviderUnavailable):
        await fly.result("a", provider="corp")
    source.failure = None
    clock.advance(19)
    with pytest.raises(ProviderUnavailable) as told:
        await fly.result("b", provider="corp")
    assert told.value.retry_after_seconds == 1
    clock.advance(1)
    assert await fly.result("b", provider="corp")


@pytest.mark.requirement("R-343")
async def test_queueing_is_not_part_of_the_timeout(fly: Flights[str], source: Source, provider: Provider) -> None:
    """A request whose call has not been sent waits on, whatever the provider's timeout."""
    provider.timeout_seconds, source.queues = 0.0, True
    source.gate.clear()
    waiting = asyncio.ensure_future(fly.result("a", provider="corp"))
    await until(lambda: bool(source.calls))
    for _ in range(50):
        await asyncio.sleep(0)
    assert not waiting.done()
    source.gate.set()
    assert await waiting


@pytest.mark.requirement("R-279", "R-342")
async def test_patience_has_an_end_and_the_flight_goes_on(
    fly: Flights[str], source: Source, provider: Provider
) -> None:
    """A request that waited long enough is told to come again; the attempt under way is not given up."""
    provider.timeout_seconds = 0.01
    source.gate.clear()
    with pytest.raises(ProviderUnavailable):
        await fly.result("a", provider="corp")
    provider.timeout_seconds = 30.0
    waiting = asyncio.ensure_future(fly.result("a", provider="corp"))
    source.gate.set()
    assert (await waiting).value == "a-1"


async def test_timeout_of_the_work_itself_is_not_patience(fly: Flights[str], source: Source) -> None:
    """A TimeoutError out of the fetch is not mistaken for the end of our patience without the fetch having ended."""
    source.failure = ProviderUnavailable("TimeoutError", provider="corp")
    with pytest.raises(ProviderUnavailable) as told:
        await fly.result("a", provider="corp")
    assert told.value is source.failure


@pytest.mark.requirement("R-154")
async def test_rejected_value_reaches_the_fetch(fly: Flights[str], source: Source) -> None:
    """The fetch learns which token will not do."""
    token = await fly.instead_of(a_token("old"), "a", provider="corp")
    assert token is not None
    assert source.calls == [("a", "old")]


@pytest.mark.requirement("R-154")
async def test_the_rejected_token_is_not_handed_out_again(fly: Flights[str], source: Source) -> None:
    """A flight that began before the rejection may find the rejected token: that is no other one."""
    source.gate.clear()
    fly.begin("a")
    asking = asyncio.ensure_future(fly.instead_of(a_token("a-1"), "a", provider="corp"))
    await until(lambda: bool(source.calls))
    source.gate.set()
    assert await asking is None


@pytest.mark.requirement("R-154", "R-145")
async def test_rejections_in_a_row_are_not_passed_on(fly: Flights[str], source: Source, clock: FakeClock) -> None:
    """An upstream that rejects every token makes one attempt at first, and another only after a pause."""
    assert await fly.instead_of(a_token("old"), "a", provider="corp")
    assert await fly.instead_of(a_token("a-1"), "a", provider="corp") is None
    clock.advance(1.3)
    assert await fly.instead_of(a_token("a-1"), "a", provider="corp")
    assert len(source.calls) == 2


@pytest.mark.requirement("R-154")
@pytest.mark.parametrize(
    "failure",
    [
        ProviderUnavailable("away", provider="corp"),
        LoginRequired("over", provider="corp"),
        StoreUnavailable("no answer"),
    ],
    ids=lambda failure: type(failure).__name__,
)
async def test_no_other_token_is_no_error(failure: Exception, fly: Flights[str], source: Source) -> None:
    """If there is none to be had, the upstream's own 401 is the answer: nothing is raised in its place."""
    source.failure = failure
    assert await fly.instead_of(a_token("old"), "a", provider="corp") is None
