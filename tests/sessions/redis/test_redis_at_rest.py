"""What lies in the server: nothing readable, nothing that opens elsewhere, nothing that stays for ever."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import redis

from bff.sessions.model import new_session_id, session_key
from bff.sessions.redis.store import PEEKED_AT_ONCE, RedisStore
from support.cutting_relay import CuttingRelay
from support.session_samples import (
    ISSUER,
    KEY,
    NEW_KEY,
    NOW,
    OTHER_ISSUER,
    a_grant,
    a_session,
    end_all,
    with_note,
)
from support.valkey_server import ValkeyServer

MakeStore = Callable[..., RedisStore]


def key_of(key: str) -> str:
    """The name of a session in the server."""
    return f"bff:s:{key}"


def pttl(server: ValkeyServer, name: str | bytes) -> int:
    """What is left of a key's life, in milliseconds."""
    left: int = server.ask("PTTL", name)
    return left


def lifetimes(server: ValkeyServer, pattern: bytes) -> list[int]:
    """The same for every key whose name begins so."""
    return [pttl(server, name) for name in server.dump() if name.startswith(pattern)]


@pytest.fixture
def store(valkey: ValkeyServer, redis_store: MakeStore) -> RedisStore:
    """A store on an empty server."""
    return redis_store(valkey.url)


@pytest.mark.requirement("R-174", "R-181")
async def test_a_dump_of_the_server_tells_nothing(valkey: ValkeyServer, store: RedisStore) -> None:
    """No token, nonce, verifier, claim, session id, issuer, subject or sid is readable in any key or value."""
    session_id = new_session_id()
    session = a_session(a_grant(canary="CANARY", subject="SUBJECT", sid="SID"), key=session_key(session_id))
    await store.create(session, now=NOW)
    await store.take_lease(f"{session_id} SUBJECT", "a worker", lifetime_seconds=60)
    await store.remember(f"{session_id} SUBJECT", value="CANARY", lifetime_seconds=60, now=NOW)
    await store.remember_first(f"{session_id} SUBJECT first", lifetime_seconds=60, now=NOW)
    everything = repr(valkey.dump())
    assert len(valkey.dump()) == 6  # session, two index entries, lease, two marks
    for secret in ("CANARY", session_id, "SUBJECT", "SID", ISSUER, "example.com", "corp", "verifier", "refresh"):
        assert secret not in everything


@pytest.mark.requirement("R-174")
async def test_a_record_under_another_sessions_name_is_no_session(valkey: ValkeyServer, store: RedisStore) -> None:
    """Two records swapped in the server: neither session can be read, none is somebody else's."""
    alice = await store.create(a_session(a_grant(subject="alice")), now=NOW)
    mallory = await store.create(a_session(a_grant(subject="mallory")), now=NOW)
    names = [key_of(alice.key), key_of(mallory.key)]
    records = [valkey.ask("HGET", name, "record") for name in names]
    for name, record in zip(names, reversed(records), strict=True):
        valkey.ask("HSET", name, "record", record)
    assert await store.read(alice.key, touch=True, now=NOW) is None
    assert await store.read(mallory.key, touch=True, now=NOW) is None


@pytest.mark.requirement("R-174")
async def test_an_older_record_cannot_be_put_back(valkey: ValkeyServer, store: RedisStore) -> None:
    """A record is bound to its version: yesterday's copy does not pass for today's."""
    session = await store.create(a_session(), now=NOW)
    old = valkey.ask("HGET", key_of(session.key), "record")
    assert await store.replace(with_note(session, "new"), now=NOW) is not None
    valkey.ask("HSET", key_of(session.key), "record", old)
    assert await store.read(session.key, touch=True, now=NOW) is None


@pytest.mark.requirement("R-174")
async def test_a_session_does_not_pass_for_a_mark(valkey: ValkeyServer, store: RedisStore) -> None:
    """A record is bound to its kind too."""
    session = await store.create(a_session(), now=NOW)
    await store.remember("done", lifetime_seconds=60, now=NOW)
    (name,) = (name for name in valkey.dump() if name.startswith(b"bff:d:"))
    valkey.ask("SET", name, valkey.ask("HGET", key_of(session.key), "record"))
    assert await store.recall("done", now=NOW) is None


@pytest.mark.requirement("R-174")
async def test_a_mark_under_another_name_says_nothing(valkey: ValkeyServer, store: RedisStore) -> None:
    """The value of a mark is bound to its name."""
    await store.remember("one", value="a session", lifetime_seconds=60, now=NOW)
    (one,) = (name for name in valkey.dump() if name.startswith(b"bff:d:"))
    await store.remember("other", value="", lifetime_seconds=60, now=NOW)
    (other,) = (name for name in valkey.dump() if name.startswith(b"bff:d:") and name != one)
    valkey.ask("SET", other, valkey.ask("GET", one))
    assert await store.recall("one", now=NOW) == "a session"
    assert await store.recall("other", now=NOW) is None


@pytest.mark.requirement("R-192")
@pytest.mark.parametrize(
    "plant",
    [
        ("HSET", "version", "1", "record", "garbage", "absolute", "9999999999999"),
        ("HSET", "version", "\xff", "record", "", "absolute", "9999999999999"),
        ("HSET", "version", "1", "record", "no end", "absolute", "never"),
        ("HSET", "record", "alone"),
        ("HSET", "absolute", "9999999999999"),
        ("HSET", "version", "1", "absolute", "9999999999999"),
        ("SET", "a string"),
        ("SADD", "a set"),
    ],
    ids=["garbage", "odd version", "odd end", "record alone", "end alone", "no record", "string", "set"],
)
async def test_planted_values_are_no_sessions(valkey: ValkeyServer, store: RedisStore, plant: tuple[str, ...]) -> None:
    """Whatever lies under a session's name: it reads as nobody, raises nothing, and can be deleted."""
    command, *words = plant
    valkey.ask(command, key_of("0" * 64), *words)
    assert await store.read("0" * 64, touch=True, now=NOW) is None
    assert await store.read("0" * 64, touch=False, now=NOW) is None
    assert await store.delete("0" * 64)
    assert valkey.dump() == {}


@pytest.mark.requirement("R-192")
async def test_a_planted_mark_has_no_value(valkey: ValkeyServer, store: RedisStore) -> None:
    """Garbage under a mark's name has no value."""
    await store.remember("planted", value="ours", lifetime_seconds=60, now=NOW)
    (name,) = valkey.dump()
    valkey.ask("SET", name, "garbage")
    assert await store.recall("planted", now=NOW) is None


def indexes(server: ValkeyServer) -> set[bytes]:
    """The names of the indexes."""
    return {name for name in server.dump() if name.startswith(b"bff:i:")}


@pytest.mark.requirement("R-174")
async def test_a_dump_of_the_server_confirms_no_guess(valkey: ValkeyServer, redis_store: MakeStore) -> None:
    """The same user has other index names under another key: who has no key cannot compute the name of a user he suspects."""
    await redis_store(valkey.url).create(a_session(), now=NOW)
    names = indexes(valkey)
    valkey.ask("FLUSHALL")
    await redis_store(valkey.url, keys=[NEW_KEY]).create(a_session(), now=NOW)
    assert len(names) == len(indexes(valkey)) == 2
    assert not names & indexes(valkey)


@pytest.mark.requirement("R-173", "R-213")
async def test_a_rotation_of_keys_loses_no_session_of_a_user(valkey: ValkeyServer, redis_store: MakeStore) -> None:
    """With the new key in front or behind, sessions of both keys are found; what was written since needs the new key only."""
    old, before = redis_store(valkey.url), redis_store(valkey.url, keys=[KEY, NEW_KEY])
    after, new = redis_store(valkey.url, keys=[NEW_KEY, KEY]), redis_store(valkey.url, keys=[NEW_KEY])
    untouched, rewritten = [await old.create(a_session(), now=NOW) for _ in range(2)]
    fresh = await after.create(a_session(), now=NOW)
    assert await after.replace(with_note(rewritten, "refreshed"), now=NOW) is not None
    for asked in ({"subject": "alice-subject"}, {"sid": "alice-sid"}):
        everyone = {untouched.key, rewritten.key, fresh.key}
        assert set(await before.find(issuer=ISSUER, **asked)) == everyone
        assert set(await after.find(issuer=ISSUER, **asked)) == everyone
        assert set(await new.find(issuer=ISSUER, **asked)) == {rewritten.key, fresh.key}


@pytest.mark.requirement("R-173", "R-193")
async def test_the_indexes_of_an_old_key_are_left_too(valkey: ValkeyServer, redis_store: MakeStore) -> None:
    """The end of a session that was written under two keys takes it out of the indexes of both."""
    session = await redis_store(valkey.url).create(a_session(), now=NOW)
    rotated = redis_store(valkey.url, keys=[NEW_KEY, KEY])
    assert await rotated.replace(session, now=NOW) is not None
    assert len(indexes(valkey)) == 4
    assert await rotated.delete(session.key)
    assert valkey.dump() == {}


@pytest.mark.requirement("R-213", "R-279")
async def test_a_user_of_many_sessions_is_found_a_portion_at_a_time(
    relay: CuttingRelay, redis_store: MakeStore
) -> None:
    """However many sessions somebody has signed in to, they are looked at in portions, and none is missing or found twice."""
    store = redis_store(relay.url)
    made = await asyncio.gather(*(store.create(a_session(), now=NOW) for _ in range(PEEKED_AT_ONCE + 10)))
    keys = [live.key for live in made]
    assert sorted(await store.find(issuer=ISSUER, subject="alice-subject")) == sorted(keys)
    assert max(request.count(b"HMGET") for request in relay.requests) <= PEEKED_AT_ONCE


@pytest.mark.requirement("R-192")
async def test_planted_entries_of_an_index_are_no_sessions(valkey: ValkeyServer, store: RedisStore) -> None:
    """Whatever else lies in an index or under a session's prefix: what is ours is found and ended, the rest is nobody's."""
    session = await store.create(a_session(a_grant(sid=None)), now=NOW)
    (index,) = indexes(valkey)
    valkey.ask("ZADD", index, 9999999999999, b"\xff", 9999999999999, "0" * 64)
    valkey.ask("SET", b"bff:s:\xff", "planted")
    assert await store.find(issuer=ISSUER, subject="alice-subject") == [session.key]
    assert await end_all(store) == 1


@pytest.mark.requirement("R-173")
async def test_sessions_of_another_key_are_nobodys(
    valkey: ValkeyServer, store: RedisStore, redis_store: MakeStore
) -> None:
    """A store with another key reads no session of ours, and does not fail either."""
    session = await store.create(a_session(), now=NOW)
    stranger = redis_store(valkey.url, keys=[NEW_KEY])
    assert await stranger.read(session.key, touch=True, now=NOW) is None


@pytest.mark.requirement("R-182", "R-193")
async def test_a_session_lives_for_the_idle_time(valkey: ValkeyServer, store: RedisStore) -> None:
    """The server ends a session after the idle time; a read that touches starts it again, a read that does not, does not."""
    session = await store.create(a_session(), now=NOW)
    assert 1_790_000 < pttl(valkey, key_of(session.key)) <= 1_800_000
    valkey.ask("PEXPIRE", key_of(session.key), 60_000)
    live = await store.read(session.key, touch=False, now=NOW)
    assert live is not None
    assert NOW + 50 < live.idle_expires_at <= NOW + 60
    assert pttl(valkey, key_of(session.key)) <= 60_000
    await store.replace(session, now=NOW)
    assert pttl(valkey, key_of(session.key)) <= 60_000
    await store.read(session.key, touch=True, now=NOW)
    assert 1_790_000 < pttl(valkey, key_of(session.key)) <= 1_800_000


@pytest.mark.requirement("R-182", "R-193")
async def test_the_server_keeps_nothing_past_the_absolute_end(valkey: ValkeyServer, store: RedisStore) -> None:
    """At creation and at every touch the rest of a session's life is at most what is left of its absolute one."""
    session = await store.create(a_session(lifetime_seconds=1000), now=NOW)
    assert 0 < pttl(valkey, key_of(session.key)) <= 1_000_000
    await store.read(session.key, touch=True, now=NOW + 990)
    assert 0 < pttl(valkey, key_of(session.key)) <= 10_000


@pytest.mark.requirement("R-174", "R-182")
async def test_who_writes_to_the_server_cannot_put_off_the_absolute_end(
    valkey: ValkeyServer, store: RedisStore
) -> None:
    """The end that counts is the sealed one: a later one planted beside it, without a time to live, keeps no session."""
    session = await store.create(a_session(lifetime_seconds=1000), now=NOW)
    valkey.ask("HSET", key_of(session.key), "absolute", 9999999999999)
    valkey.ask("PERSIST", key_of(session.key))
    assert await store.read(session.key, touch=True, now=NOW + 999) is not None
    assert await store.read(session.key, touch=True, now=NOW + 1000) is None
    assert await store.read(session.key, touch=False, now=NOW + 1000) is None


async def test_leases_and_what_is_done_end_by_themselves(valkey: ValkeyServer, store: RedisStore) -> None:
    """What is never taken or given back is kept for its lifetime, however short; an extended lease begins again."""
    await store.take_lease("refresh", "here", lifetime_seconds=5)
    (lease,) = lifetimes(valkey, b"bff:l:")
    assert 0 < lease <= 5_000
    await store.remember("done", lifetime_seconds=60, now=NOW)
    (done,) = lifetimes(valkey, b"bff:d:")
    assert 50_000 < done <= 60_000
    await store.take_lease("refresh", "here", lifetime_seconds=60)
    (lease,) = lifetimes(valkey, b"bff:l:")
    assert lease > 50_000
    await store.remember("over at once", lifetime_seconds=0.0001, now=NOW)
    await store.remember_first("over at once as well", lifetime_seconds=0.0001, now=NOW)


@pytest.mark.requirement("R-193")
async def test_an_index_lives_as_long_as_its_last_session(valkey: ValkeyServer, store: RedisStore) -> None:
    """Neither a shorter session nor the end of one cuts the others off; when the longest leaves, the rest decides."""
    long = await store.create(a_session(a_grant(sid=None), lifetime_seconds=40_000), now=NOW)
    short = await store.create(a_session(a_grant(sid=None), lifetime_seconds=10_000), now=NOW)
    (index,) = lifetimes(valkey, b"bff:i:")
    assert 39_990_000 < index <= 40_000_000
    await store.delete(long.key)
    (index,) = lifetimes(valkey, b"bff:i:")
    assert 9_990_000 < index <= 10_000_000
    assert await store.find(issuer=ISSUER, subject="alice-subject") == [short.key]
    await store.delete(short.key)
    assert valkey.dump() == {}


@pytest.mark.requirement("R-193")
async def test_a_clock_that_runs_ahead_cuts_no_index_short(valkey: ValkeyServer, store: RedisStore) -> None:
    """A change written by a worker whose clock is hours ahead leaves the index as long a life as its session has."""
    session = await store.create(a_session(a_grant(sid=None), lifetime_seconds=40_000), now=NOW)
    assert await store.replace(session, now=NOW + 20_000) is not None
    (index,) = lifetimes(valkey, b"bff:i:")
    assert 39_990_000 < index <= 40_000_000


@pytest.mark.requirement("R-193")
async def test_an_index_forgets_sessions_that_ended_unseen(valkey: ValkeyServer, store: RedisStore) -> None:
    """A session that only ran out is dropped from the index by the next sign-in."""
    await store.create(a_session(a_grant(sid=None), lifetime_seconds=100), now=NOW)
    second = await store.create(a_session(a_grant(sid=None)), now=NOW + 200)
    members: list[Any] = [value for name, value in valkey.dump().items() if name.startswith(b"bff:i:")]
    assert [[name for name, _ in entry] for entry in members] == [[second.key.encode()]]


@pytest.mark.requirement("R-193", "R-213")
async def test_every_key_ends(valkey: ValkeyServer, store: RedisStore) -> None:
    """After sign-ins, changes, a second provider, a login and a sign-out, no key is without an end of its own."""
    sessions = [await store.create(a_session(), now=NOW) for _ in range(5)]
    partner = a_grant(provider="partner", issuer=OTHER_ISSUER)
    assert await store.replace(sessions[0].with_grant(partner), now=NOW) is not None
    await store.remember_first("login", lifetime_seconds=600, now=NOW)
    await store.delete(sessions[1].key)
    left = lifetimes(valkey, b"")
    assert len(left) == 9
    assert all(0 < milliseconds <= 43_200_000 for milliseconds in left)


async def test_the_index_is_written_before_the_session(valkey: ValkeyServer, store: RedisStore) -> None:
    """The commands of a sign-in, in their order on the server: whoever sees the session finds it by its user."""
    session = a_session()
    names = [key for key, _ in await commands_of(valkey, store.create(session, now=NOW))]
    assert names.index(f"bff:s:{session.key}") == len(names) - 1
    assert sum(name.startswith("bff:i:") for name in names[:-1]) == 2


async def commands_of(server: ValkeyServer, work: Any) -> list[tuple[str, str]]:
    """The scripts that the server was asked for while `work` ran: the key and the name of each."""
    with redis.Redis(port=server.port) as client, client.monitor() as monitor:
        await work
        client.echo("that is all")
        seen: list[tuple[str, str]] = []
        while "that is all" not in (command := monitor.next_command()["command"]):
            words = command.split(" ")
            if words[0] == "EVALSHA":
                seen.append((words[3], words[1]))
        return seen
