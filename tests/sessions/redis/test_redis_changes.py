"""Hearing of changes from a real server that comes late, drops connections, or falls silent."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from structlog.testing import capture_logs

from bff.config.values.stores import parse_store
from bff.sessions.redis.changes import Subscription
from bff.sessions.redis.server import SingleServer
from bff.sessions.redis.store import RedisStore
from bff.sessions.store import Change
from support.session_samples import NOW, Heard, a_session
from support.valkey_server import ValkeyServer
from support.waiting import until

MakeStore = Callable[..., RedisStore]
KEY = "a" * 64
SILENCE_SECONDS = 60.0


@pytest.fixture
async def subscribe() -> AsyncIterator[Callable[[ValkeyServer], Heard]]:
    """Starts subscriptions, and closes them after the test."""
    started: list[tuple[Subscription, SingleServer]] = []

    def start(server: ValkeyServer) -> Heard:
        heard = Heard()
        location = parse_store(server.url)
        there = SingleServer(location, connect_timeout_seconds=60, command_timeout_seconds=60)
        subscription = Subscription(
            there.new_connection,
            heard,
            channel=b"bff:changed",
            connect_timeout_seconds=60,
            silence_seconds=SILENCE_SECONDS,
        )
        subscription.start()
        started.append((subscription, there))
        return heard

    yield start
    for subscription, there in started:
        await subscription.close()
        await there.close()


async def test_messages_become_changes(valkey: ValkeyServer, subscribe: Callable[[ValkeyServer], Heard]) -> None:
    """Both kinds of message are told, in order; silence between them is no interruption."""
    loop, heard = asyncio.get_running_loop(), subscribe(valkey)
    await heard.resumed()
    loop.jump(SILENCE_SECONDS)
    await until(lambda: valkey.ask("CLIENT LIST", "TYPE", "pubsub")[0]["cmd"] == "ping")
    valkey.ask("PUBLISH", "bff:changed", f"{KEY}:changed")
    valkey.ask("PUBLISH", "bff:changed", f"{KEY}:ended")
    await heard.until(lambda events: len(events) == 3)
    assert heard.events == ["resumed", Change(key=KEY, ended=False), Change(key=KEY, ended=True)]


async def test_odd_messages_disturb_nobody(valkey: ValkeyServer, subscribe: Callable[[ValkeyServer], Heard]) -> None:
    """What others publish on our channel names no session, and the next message is heard."""
    heard = subscribe(valkey)
    await heard.resumed()
    for odd in (b"", b":", b"\xff\xfe:ended", b"no colon"):
        valkey.ask("PUBLISH", "bff:changed", odd)
    valkey.ask("PUBLISH", "bff:changed", f"{KEY}:ended")
    await heard.until(lambda events: Change(key=KEY, ended=True) in events)
    assert "interrupted" not in heard.events


async def test_the_end_of_listening_is_no_interruption(valkey: ValkeyServer) -> None:
    """Who stops to listen is not told that something may have been missed: the log of every stop would hold a warning."""
    heard = Heard()
    there = SingleServer(parse_store(valkey.url), connect_timeout_seconds=5, command_timeout_seconds=5)
    subscription = Subscription(there.new_connection, heard, channel=b"bff:changed", connect_timeout_seconds=5)
    subscription.start()
    await heard.resumed()
    await subscription.close()
    await there.close()
    assert heard.events == ["resumed"]


async def test_a_lost_connection_is_an_interruption(
    valkey: ValkeyServer, subscribe: Callable[[ValkeyServer], Heard]
) -> None:
    """The server drops the subscription: interrupted at once, resumed on a new connection, and heard again."""
    heard = subscribe(valkey)
    await heard.resumed()
    valkey.ask("CLIENT KILL", "TYPE", "pubsub")
    await heard.until(lambda events: events == ["resumed", "interrupted", "resumed"])
    valkey.ask("PUBLISH", "bff:changed", f"{KEY}:ended")
    await heard.until(lambda events: Change(key=KEY, ended=True) in events)


@pytest.mark.requirement("R-190")
async def test_a_server_that_is_away_at_the_start_is_an_interruption(
    subscribe: Callable[[ValkeyServer], Heard],
) -> None:
    """The first failure to hear anything is told, once; then the server comes, and is heard."""
    server = ValkeyServer()
    heard = subscribe(server)
    await heard.until(lambda events: events == ["interrupted"])
    with server:
        await heard.resumed()
        assert heard.events == ["interrupted", "resumed"]


@pytest.mark.requirement("R-190", "R-363")
async def test_the_log_says_why_changes_are_not_heard(subscribe: Callable[[ValkeyServer], Heard]) -> None:
    """Each reason once, until changes are heard again: the connection was lost, and then the user had no right to the channel."""
    with ValkeyServer() as server, capture_logs() as logs:
        heard = subscribe(server)
        await heard.resumed()
        for _ in range(2):
            before = len(logs)
            server.ask("ACL", "SETUSER", "default", "resetchannels")
            server.ask("CLIENT", "KILL", "TYPE", "pubsub")
            async with asyncio.timeout(30):
                while len(logs) < before + 2:
                    await asyncio.sleep(0.01)
            refused = int(server.ask("INFO", "commandstats")["cmdstat_subscribe"]["rejected_calls"])
            async with asyncio.timeout(30):
                while server.ask("INFO", "commandstats")["cmdstat_subscribe"]["rejected_calls"] < refused + 2:
                    await asyncio.sleep(0.01)
            server.ask("ACL", "SETUSER", "default", "allchannels")
            async with asyncio.timeout(30):
                while logs[-1]["event"] != "store.changes_heard":
                    await asyncio.sleep(0.01)
    lost = [line for line in logs if line["event"] == "store.changes_interrupted"]
    assert [line["reason"] for line in lost] == ["store_connection", "store_permissions"] * 2
    assert all(line["remedy"] for line in lost)


@pytest.mark.requirement("R-190")
async def test_a_silent_server_is_an_interruption(subscribe: Callable[[ValkeyServer], Heard]) -> None:
    """A connection that is open but dead is noticed by a ping without an answer; a server that goes on is heard again."""
    with ValkeyServer() as server:
        loop, heard = asyncio.get_running_loop(), subscribe(server)
        await heard.resumed()
        server.pause()
        for _ in range(500):
            if heard.events[-1] == "interrupted":
                break
            loop.jump(SILENCE_SECONDS)  # without a message, then without an answer to the ping
            await asyncio.sleep(0.01)
        assert heard.events == ["resumed", "interrupted"]
        server.go_on()
        await heard.until(lambda events: events[-1] == "resumed")


@pytest.mark.requirement("R-190")
async def test_a_server_may_come_later(redis_store: MakeStore) -> None:
    """A store opens without a server, and hears changes once there is one, also after a restart."""
    server = ValkeyServer()
    store, heard = redis_store(server.url), Heard()
    await store.open(heard)
    with server:
        await heard.resumed()
        server.stop()
        await heard.until(lambda events: events[-1] == "interrupted")
        server.start()
        await heard.until(lambda events: events[-1] == "resumed")
        session = await store.create(a_session(), now=NOW)
        await store.replace(session, now=NOW)
        await heard.until(lambda events: Change(key=session.key, ended=False) in events)


@pytest.mark.parametrize("steps", range(0, 40, 3))
async def test_closing_at_any_moment_leaves_no_task(valkey: ValkeyServer, redis_store: MakeStore, steps: int) -> None:
    """While connecting, subscribing or listening: after close nothing runs."""
    before = asyncio.all_tasks()
    store = redis_store(valkey.url)
    await store.open(Heard())
    for _ in range(steps):
        await asyncio.sleep(0)
    await store.close()
    assert asyncio.all_tasks() == before
