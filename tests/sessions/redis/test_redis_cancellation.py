"""Callers that leave in the middle of a command never leave their answer for the next one (CVE-2023-28858, -28859)."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio.connection import Connection

from bff.sessions.model import Session
from bff.sessions.redis.pipeline import Pipeline
from bff.sessions.redis.store import RedisStore
from support.session_samples import NOW, a_grant, a_session
from support.valkey_server import ValkeyServer

CALLERS = 16
CALLS_EACH = 250

MakeStore = Callable[..., RedisStore]


async def call_and_often_leave(ask: Callable[[int], Awaitable[bool]], *, seed: int) -> tuple[int, int]:
    """Ask for something of one's own again and again, and leave at a random moment: (answers, cancellations).

    `ask(number)` says whether the answer belongs to `number`.
    """
    dice = random.Random(seed)  # noqa: S311 - a repeatable crowd
    answers = cancelled = 0
    for _ in range(CALLS_EACH):
        asking = asyncio.ensure_future(ask(dice.randrange(1000)))
        for _ in range(dice.randrange(12)):
            await asyncio.sleep(0)
        if dice.random() < 0.6:
            asking.cancel()
        try:
            assert await asking, "somebody else's answer"
            answers += 1
        except asyncio.CancelledError:
            cancelled += 1
    return answers, cancelled


async def crowd(ask: Callable[[int], Awaitable[bool]]) -> None:
    """Many such callers at once; enough of them leave, and enough of them stay."""
    results = await asyncio.gather(*(call_and_often_leave(ask, seed=seed) for seed in range(CALLERS)))
    assert sum(answers for answers, _ in results) > 500
    assert sum(cancelled for _, cancelled in results) > 500


@pytest.mark.requirement("R-191")
async def test_a_lane_gives_each_caller_its_own_answer(valkey: ValkeyServer) -> None:
    """Thousands of echoes, many abandoned: each answer is the caller's own word, on one connection all the time."""
    made = []

    def new_connection() -> Connection:
        made.append(Connection(port=valkey.port, socket_timeout=None, protocol=2))
        return made[-1]

    pipeline = Pipeline(new_connection, connect_timeout_seconds=5, command_timeout_seconds=5)

    async def ask(number: int) -> bool:
        return await pipeline.execute("ECHO", f"canary-{number}", again=True) == f"canary-{number}".encode()

    await crowd(ask)
    await pipeline.close()
    assert len(made) == 1


@pytest.mark.requirement("R-191")
@pytest.mark.parametrize("cluster", [False, True], ids=["server", "cluster"])
async def test_nobody_reads_another_session(
    request: pytest.FixtureRequest, redis_store: MakeStore, cluster: bool
) -> None:
    """Thousands of session reads, many abandoned: each that is finished is the caller's own session, none is missing."""
    server: ValkeyServer = request.getfixturevalue("shared_cluster" if cluster else "shared_valkey")
    url = server.url.replace("redis:", "redis+cluster:") if cluster else server.url
    store = redis_store(url, connect_timeout_seconds=5, command_timeout_seconds=5)
    sessions: list[Session] = [
        await store.create(a_session(a_grant(subject=f"canary-{number}")), now=NOW) for number in range(20)
    ]

    async def ask(number: int) -> bool:
        mine = sessions[number % len(sessions)]
        live = await store.read(mine.key, touch=True, now=NOW)
        return live is not None and live.session == mine

    await crowd(ask)


@pytest.mark.requirement("R-191")
async def test_who_left_while_the_server_slept_gets_nothing_later(valkey: ValkeyServer, redis_store: MakeStore) -> None:
    """All callers leave while the server is paused; when its answers come at last, the next callers get their own."""
    store = redis_store(valkey.url, command_timeout_seconds=5)
    sessions = [await store.create(a_session(), now=NOW) for _ in range(10)]
    valkey.pause()
    try:
        leaving = [asyncio.create_task(store.read(session.key, touch=True, now=NOW)) for session in sessions]
        for _ in range(5):
            await asyncio.sleep(0)
        for task in leaving:
            task.cancel()
        await asyncio.gather(*leaving, return_exceptions=True)
    finally:
        valkey.go_on()
    for session in reversed(sessions):
        live = await store.read(session.key, touch=True, now=NOW)
        assert live is not None
        assert live.session == session


@pytest.mark.requirement("R-191")
async def test_the_first_caller_may_leave_while_connecting(valkey: ValkeyServer, redis_store: MakeStore) -> None:
    """Whoever began to connect may be cancelled at any step: the others are connected all the same."""
    for steps in range(12):
        store = redis_store(valkey.url)
        first, second = (asyncio.create_task(store.ping()) for _ in range(2))
        for _ in range(steps):
            await asyncio.sleep(0)
        first.cancel()
        await second
        await asyncio.gather(first, return_exceptions=True)
