"""A server that is away, slow, full, restarted, or loses answers: nobody is signed out, nothing is done twice."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pytest

from bff.errors import StoreUnavailable
from bff.sessions.model import Session
from bff.sessions.redis.store import RedisStore
from support.cutting_relay import CuttingRelay
from support.free_ports import free_port
from support.session_samples import ISSUER, NOW, Heard, a_grant, a_session, end_all, once_it_answers, with_note
from support.valkey_server import ValkeyServer

MakeStore = Callable[..., RedisStore]

EVERY_CALL: dict[str, Callable[[RedisStore], Awaitable[object]]] = {
    "ping": lambda store: store.ping(),
    "create": lambda store: store.create(a_session(), now=NOW),
    "read": lambda store: store.read("0" * 64, touch=True, now=NOW),
    "replace": lambda store: store.replace(a_session(), now=NOW),
    "delete": lambda store: store.delete("0" * 64),
    "find": lambda store: store.find(issuer=ISSUER, sid="sid"),
    "survey": end_all,
    "take_lease": lambda store: store.take_lease("refresh", "here", lifetime_seconds=60),
    "drop_lease": lambda store: store.drop_lease("refresh", "here"),
    "remember": lambda store: store.remember("done", lifetime_seconds=60, now=NOW),
    "remember_first": lambda store: store.remember_first("done", lifetime_seconds=60, now=NOW),
    "recall": lambda store: store.recall("done", now=NOW),
    "tell": lambda store: store.tell("hello"),
    "note_use": lambda store: store.note_use("session", "ab", by="me", age_seconds=5),
    "uses": lambda store: store.uses("session", "ab"),
    "remembers": lambda store: store.remembers("done", now=NOW),
}
WRITES = [name for name in EVERY_CALL if name in {"create", "remember_first", "take_lease"}]


@pytest.mark.requirement("R-190")
@pytest.mark.parametrize("call", EVERY_CALL.values(), ids=EVERY_CALL)
@pytest.mark.parametrize("scheme", ["redis", "redis+cluster"])
async def test_nobody_there_is_store_unavailable(
    redis_store: MakeStore, call: Callable[[RedisStore], Awaitable[object]], scheme: str
) -> None:
    """Without a server every method says "cannot ask", never "not found"."""
    store = redis_store(f"{scheme}://127.0.0.1:{free_port()}")
    with pytest.raises(StoreUnavailable) as caught:
        await call(store)
    assert caught.value.reason == ("store_connection" if scheme == "redis" else "store_cluster_down")


@pytest.mark.requirement("R-190")
@pytest.mark.parametrize("cluster", [False, True], ids=["server", "cluster"])
async def test_a_server_that_stops_answering_is_given_up_and_found_again(
    request: pytest.FixtureRequest, redis_store: MakeStore, cluster: bool
) -> None:
    """Paused in mid-connection, reads fail within the timeout; once it goes on the same store reads the session again."""
    server: ValkeyServer = request.getfixturevalue("shared_cluster" if cluster else "valkey")
    url = server.url.replace("redis:", "redis+cluster:") if cluster else server.url
    store = redis_store(url, connect_timeout_seconds=0.2, command_timeout_seconds=0.2)
    session = await redis_store(url).create(a_session(), now=NOW)
    await once_it_answers(store.ping)
    server.pause()
    try:
        async with asyncio.timeout(10):
            for _ in range(3):
                with pytest.raises(StoreUnavailable) as caught:
                    await store.read(session.key, touch=True, now=NOW)
                assert caught.value.reason in (
                    {"store_timeout", "store_cluster_down"} if cluster else {"store_timeout"}
                )
    finally:
        server.go_on()
    assert await once_it_answers(lambda: store.read(session.key, touch=True, now=NOW)) is not None


@pytest.mark.requirement("R-190")
async def test_a_server_that_comes_back_is_found_again(redis_store: MakeStore) -> None:
    """Down, every call fails at once; started again, the next one succeeds, though its scripts are forgotten."""
    with ValkeyServer() as server:
        store = redis_store(server.url)
        await store.create(a_session(), now=NOW)
        server.stop()
        with pytest.raises(StoreUnavailable):
            await store.read("0" * 64, touch=True, now=NOW)
        server.start()
        session = await store.create(a_session(), now=NOW)
        assert await store.read(session.key, touch=True, now=NOW) is not None


@pytest.mark.requirement("R-190")
async def test_connections_that_die_unseen_cost_no_read(valkey: ValkeyServer, redis_store: MakeStore) -> None:
    """While the server drops every connection again and again, no read fails."""
    store = redis_store(valkey.url)
    session = await store.create(a_session(), now=NOW)
    for _ in range(50):
        valkey.ask("CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")
        found = await asyncio.gather(*(store.read(session.key, touch=True, now=NOW) for _ in range(10)))
        assert all(live is not None and live.session == session for live in found)


@pytest.mark.requirement("R-190", "R-191")
async def test_connections_of_a_cluster_that_die_in_use_raise_nothing_else(
    shared_cluster: ValkeyServer, redis_store: MakeStore
) -> None:
    """While a Cluster drops connections under a crowd, each read is the caller's own session or "cannot ask", never a surprise."""
    store = redis_store(shared_cluster.url.replace("redis:", "redis+cluster:"))
    sessions = [await store.create(a_session(), now=NOW) for _ in range(40)]

    async def read_often(session: Session) -> int:
        answers = 0
        for _ in range(40):
            with contextlib.suppress(StoreUnavailable):
                live = await store.read(session.key, touch=True, now=NOW)
                assert live is not None
                assert live.session == session
                answers += 1
        return answers

    reading = asyncio.gather(*(read_often(session) for session in sessions))
    while not reading.done():
        oldest = min(int(client["id"]) for client in shared_cluster.ask("CLIENT LIST"))
        shared_cluster.ask("CLIENT KILL", "ID", oldest)
        await asyncio.sleep(0.01)
    assert sum(await reading) > 0


async def test_forgotten_scripts_are_sent_again(valkey: ValkeyServer, redis_store: MakeStore) -> None:
    """A server that lost its scripts (failover) is given them with the command."""
    store = redis_store(valkey.url)
    session = await store.create(a_session(), now=NOW)
    valkey.ask("SCRIPT FLUSH")
    assert await store.read(session.key, touch=True, now=NOW) is not None
    assert await store.replace(session, now=NOW) is not None


@pytest.mark.parametrize("call", [EVERY_CALL[name] for name in WRITES], ids=WRITES)
async def test_a_full_server_is_store_unavailable(
    valkey: ValkeyServer, redis_store: MakeStore, call: Callable[[RedisStore], Awaitable[object]]
) -> None:
    """A server that takes no more data refuses writes; that is no answer about sessions."""
    store = redis_store(valkey.url)
    valkey.ask("CONFIG SET", "maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable):
            await call(store)
    finally:
        valkey.ask("CONFIG SET", "maxmemory", 0)
    await call(store)


@pytest.mark.requirement("R-190")
async def test_a_server_that_cannot_save_is_read_still(redis_store: MakeStore) -> None:
    """Its disk is full: sessions are read, by pages too, and keep their deadlines; what would be written is an outage."""
    with ValkeyServer() as server:
        store = redis_store(server.url)
        session = await store.create(a_session(), now=NOW)
        before = await store.read(session.key, touch=True, now=NOW)
        server.lose_its_disk()
        after = await store.read(session.key, touch=True, now=NOW + 60)
        assert before is not None
        assert after is not None
        assert after.session == session
        assert after.idle_expires_at <= before.idle_expires_at + 60
        for write in (store.replace(session, now=NOW), store.delete(session.key), store.create(a_session(), now=NOW)):
            with pytest.raises(StoreUnavailable):
                await write


async def test_an_end_that_may_not_be_told_is_an_end(valkey: ValkeyServer, redis_store: MakeStore) -> None:
    """The user of the store has lost the right to the channel: who signs out is signed out, and gets no 503 for it."""
    store = redis_store(valkey.url)
    session = await store.create(a_session(), now=NOW)
    valkey.ask("ACL", "SETUSER", "default", "resetchannels")
    try:
        assert await store.delete(session.key)
    finally:
        valkey.ask("ACL", "SETUSER", "default", "allchannels")
    assert not valkey.ask("EXISTS", f"bff:s:{session.key}")


async def test_a_demoted_primary_is_left(valkey: ValkeyServer, redis_store: MakeStore) -> None:
    """A read-only server is "cannot ask"; we connect anew until the name leads to one that takes writes."""
    store = redis_store(valkey.url)
    await store.ping()
    valkey.ask("REPLICAOF", "127.0.0.1", free_port())
    try:
        with pytest.raises(StoreUnavailable):
            await store.create(a_session(), now=NOW)
    finally:
        valkey.ask("REPLICAOF", "NO", "ONE")
    await store.create(a_session(), now=NOW)


async def test_a_replica_without_its_primary_is_left(redis_store: MakeStore) -> None:
    """The name leads to another server now, and the old one serves nothing any more: the same command finds the new one."""
    with ValkeyServer() as old, ValkeyServer() as new:
        async with CuttingRelay(old.port) as relay:
            store = redis_store(relay.url)
            await store.ping()
            old.ask("CONFIG", "SET", "replica-serve-stale-data", "no")
            old.ask("REPLICAOF", "127.0.0.1", free_port())
            relay.leads_to(new.port)
            session = await store.create(a_session(), now=NOW)
            assert await store.read(session.key, touch=True, now=NOW) is not None


@pytest.mark.requirement("R-172")
async def test_a_wrong_password_is_store_unavailable_and_not_shown(redis_store: MakeStore) -> None:
    """Refused credentials are an outage for browsers; the password is in no message of the chain."""
    with ValkeyServer(
        "--user", "bff", "on", ">RIGHT", "~bff:*", "&bff:*", "+@all", "--user", "default", "on", "nopass", "~*", "+@all"
    ) as server:
        right, wrong = (redis_store(server.url.replace("//", f"//bff:{word}@") + "/1") for word in ("RIGHT", "WRONG"))
        session = await right.create(a_session(), now=NOW)
        assert await right.read(session.key, touch=True, now=NOW) is not None
        with pytest.raises(StoreUnavailable) as refusal:
            await wrong.ping()
    error: BaseException | None = refusal.value
    while error is not None:
        assert "WRONG" not in f"{error!r}".replace("WRONGPASS", "")
        error = error.__cause__ or error.__context__


async def test_a_change_whose_answer_was_lost_is_known_to_be_written(
    relay: CuttingRelay, redis_store: MakeStore
) -> None:
    """The connection dies between a change and its answer: the second try recognises the first, and nothing is done twice."""
    store = redis_store(relay.url)
    session = await store.create(a_session(), now=NOW)
    for _ in range(2):  # the first time the server is also given the script
        relay.cut_answers = 1
        replaced = await store.replace(with_note(session, "refreshed"), now=NOW)
        assert replaced is not None
        live = await store.read(session.key, touch=False, now=NOW)
        assert live is not None
        assert live.session == replaced
        session = replaced


async def test_a_session_whose_creation_lost_its_answer_is_created(relay: CuttingRelay, redis_store: MakeStore) -> None:
    """Whichever of the answers of a sign-in is lost, the session is there, once."""
    store = redis_store(relay.url)
    for number in range(4):
        relay.cut_answers = 1
        session = await store.create(a_session(), now=NOW)
        live = await store.read(session.key, touch=True, now=NOW)
        assert live is not None
        assert live.session == session, number


@pytest.mark.requirement("R-059")
async def test_a_first_mark_whose_answer_was_lost_is_still_the_first(
    relay: CuttingRelay, redis_store: MakeStore
) -> None:
    """If the answer is lost the mark is made once, and its maker learns that it was the first; nobody after it is."""
    store = redis_store(relay.url)
    await store.ping()
    relay.cut_answers = 1
    assert await store.remember_first("login", lifetime_seconds=600, now=NOW)
    assert not await store.remember_first("login", lifetime_seconds=600, now=NOW)


async def test_two_lost_answers_are_an_outage(relay: CuttingRelay, redis_store: MakeStore) -> None:
    """There is one second try, not a third."""
    store = redis_store(relay.url)
    await store.ping()
    relay.cut_answers = 2
    with pytest.raises(StoreUnavailable):
        await store.read("0" * 64, touch=True, now=NOW)
    assert sum(request.count(b"EVALSHA") for request in relay.requests) == 2


async def test_a_change_that_nobody_knows_about_drops_copies_too(relay: CuttingRelay, redis_store: MakeStore) -> None:
    """A change or a sign-out without an answer may have happened: this worker's copies of the session are dropped."""
    store, heard = redis_store(relay.url), Heard()
    session = await store.create(a_session(a_grant(subject=None, sid=None)), now=NOW)  # its only command is the change
    await store.open(heard)
    await heard.resumed()
    for call in (lambda: store.replace(session, now=NOW), lambda: store.delete(session.key)):
        told = len(heard.events)
        relay.cut_answers = 100
        with pytest.raises(StoreUnavailable):
            await call()
        assert any(getattr(event, "key", None) == session.key for event in heard.events[told:])
        relay.cut_answers = 0


@pytest.mark.parametrize("steps", range(16))
async def test_closing_at_any_moment_leaves_nothing_behind(
    valkey: ValkeyServer, redis_store: MakeStore, steps: int
) -> None:
    """While connecting, asking or just connected: the caller has its answer or is told, and no task is left."""
    before = asyncio.all_tasks()
    store = redis_store(valkey.url)
    asking = asyncio.create_task(store.ping())
    for _ in range(steps):
        await asyncio.sleep(0)
    await store.close()
    with contextlib.suppress(StoreUnavailable):
        await asking
    assert asyncio.all_tasks() == before


async def test_who_waits_when_the_store_closes_is_told(valkey: ValkeyServer, redis_store: MakeStore) -> None:
    """Closing in the middle of a command is "cannot ask", not a cancellation of the caller; so is asking afterwards."""
    store = redis_store(valkey.url)
    await store.ping()
    valkey.pause()
    try:
        waiting = asyncio.create_task(store.ping())
        await asyncio.sleep(0)
        await store.close()
        with pytest.raises(StoreUnavailable):
            await waiting
        with pytest.raises(StoreUnavailable):
            await store.ping()
    finally:
        valkey.go_on()
