"""100,000 sessions in a Cluster of three: what they cost the store, and that one user, and all, can be signed out (`make slow`)."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest

from bff.config.values.secrets import LiteralSecret
from bff.config.values.stores import parse_store
from bff.sessions.model import Session
from bff.sessions.redis.store import RedisStore
from bff.sessions.sealing import Sealer
from support.session_samples import ISSUER, KEY, NOW, Heard, a_grant, a_session
from support.valkey_server import ValkeyServer, cluster_of_one, join

pytestmark = pytest.mark.slow

SESSIONS = 100_000
SESSIONS_A_USER = 4
AT_ONCE = 64
MOST_BYTES_A_SESSION = 6 * 1024  # of which 2.8 KB are the tokens


@pytest.fixture
def nodes() -> Iterator[list[ValkeyServer]]:
    """Three primaries that share the slots."""
    nodes = [cluster_of_one().start() for _ in range(3)]
    join(*nodes)
    yield nodes
    for node in nodes:
        node.stop()


@pytest.fixture
async def store(nodes: list[ValkeyServer]) -> AsyncIterator[RedisStore]:
    """The Cluster as a store, with patience for a busy machine."""
    url = "redis+cluster://" + ",".join(f"127.0.0.1:{node.port}" for node in nodes)
    sealer = Sealer((LiteralSecret(value=KEY),))
    store = RedisStore(parse_store(url), sealer=sealer, idle_timeout_seconds=1800, command_timeout_seconds=30)
    await store.open(Heard())
    yield store
    await store.close()


def a_users_session(number: int) -> Session:
    """One of the sessions of a user; its tokens are as long as those of a usual provider, and no two are alike."""
    grant = a_grant(subject=f"user-{number // SESSIONS_A_USER}", sid=f"sid-{number}")
    ((target, token),) = grant.access_tokens
    longer = replace(token, value=secrets.token_urlsafe(825))
    grant = replace(grant, id_token=secrets.token_urlsafe(750), refresh_token=secrets.token_urlsafe(525))
    return a_session(replace(grant, access_tokens=((target, longer),)))


def used_bytes(nodes: list[ValkeyServer]) -> int:
    """The memory that the nodes use together."""
    return sum(int(node.ask("INFO", "memory")["used_memory"]) for node in nodes)


async def test_100_000_sessions_fit_and_end(store: RedisStore, nodes: list[ValkeyServer]) -> None:
    """Each takes less than 6 KiB; one user's four end by their subject, then all others; the store is as empty as before."""
    before, begun = used_bytes(nodes), time.perf_counter()

    async def sign_in(numbers: range) -> None:
        for number in numbers:
            await store.create(a_users_session(number), now=NOW)

    await asyncio.gather(*(sign_in(range(first, SESSIONS, AT_ONCE)) for first in range(AT_ONCE)))
    each = (used_bytes(nodes) - before) / SESSIONS
    created = time.perf_counter()
    assert each < MOST_BYTES_A_SESSION

    own = await store.find(issuer=ISSUER, subject="user-7")
    assert len(own) == SESSIONS_A_USER
    assert all([await store.delete(key) for key in own])
    assert await store.find(issuer=ISSUER, subject="user-7") == []
    one = time.perf_counter()

    ended = 0
    async for portion in store.survey(now=NOW):
        ended += sum(await asyncio.gather(*(store.delete(found.key) for found in portion)))
    assert ended == SESSIONS - SESSIONS_A_USER
    assert [node.ask("DBSIZE") for node in nodes] == [0, 0, 0]
    rate, out, all_out = SESSIONS / (created - begun), one - created, time.perf_counter() - one
    print(f"{each:.0f} bytes a session; {rate:.0f} sign-ins/s; one user out {out:.3f} s; all out {all_out:.0f} s")
