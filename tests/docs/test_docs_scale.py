"""`docs/explanation/scale.md`: the numbers of scripts and commands are those that the store counts."""

import re

from bff.config.values.secrets import LiteralSecret
from bff.config.values.stores import parse_store
from bff.sessions.model import Session
from bff.sessions.redis.store import RedisStore
from bff.sessions.sealing import Sealer
from bff.sessions.store import Mark, MarkEnd
from support.documented import page, rows, section
from support.session_samples import KEY, NOW, a_session, with_note
from support.valkey_server import ValkeyServer

WITHIN_A_SCRIPT = (
    "hmget",
    "hset",
    "hget",
    "hdel",
    "pexpire",
    "pttl",
    "zadd",
    "zrem",
    "zrange",
    "time",
    "publish",
    "del",
    "exists",
)
OURS = ("hello", "client", "info", "ping", "select", "zremrangebyscore", "script", "command", "config")


def documented() -> dict[str, list[int]]:
    """The numbers in each row of the table."""
    table = rows(section(page("explanation/scale.md"), "The store"))
    return {operation: [int(number) for number in re.findall(r"\d+", cost)] for operation, cost in table}


def sent(server: ValkeyServer) -> int:
    """How many scripts and plain commands the server was sent, besides those of the connection."""
    stats = server.ask("INFO", "commandstats")
    calls = {name.removeprefix("cmdstat_").partition("|")[0]: row["calls"] for name, row in stats.items()}
    return sum(count for name, count in calls.items() if name not in WITHIN_A_SCRIPT + OURS)


async def test_the_store_is_asked_as_often_as_the_page_says() -> None:
    """A session begins, is read, has a token refreshed, ends: the scripts and commands of each."""
    with ValkeyServer() as server:
        sealer = Sealer((LiteralSecret(value=KEY),))
        store = RedisStore(parse_store(server.url), sealer=sealer, idle_timeout_seconds=1800)
        warm = await store.create(a_session(), now=NOW)  # the server learns the scripts
        mark = Mark(provider="corp", token_hash="ab")

        async def refresh(session: Session) -> None:
            await store.begin_renewal("l", "me", lifetime_seconds=60, mark=mark, mark_lifetime_seconds=600)
            await store.replace(session, now=NOW)
            await store.end_renewal("l", "me", provider="corp", mark=MarkEnd.DROP)

        await store.read(warm.key, touch=True, now=NOW)
        await refresh(with_note(warm, "warm"))
        await store.delete(warm.key)
        await store.remember_first("warm", lifetime_seconds=60, now=NOW)
        counts: dict[str, list[int]] = {}
        before = sent(server)

        def counted() -> int:
            nonlocal before
            before, last = sent(server), before
            return before - last

        session = await store.create(a_session(), now=NOW)
        begun = counted()
        await store.remember_first("state", lifetime_seconds=60, now=NOW)
        counts["a session begins"] = [begun, counted()]
        await store.read(session.key, touch=True, now=NOW)
        counts["a request whose session is not at hand"] = [counted()]
        await refresh(with_note(session, "new"))
        counts["a token is refreshed"] = [counted()]
        await store.delete(session.key)
        counts["a session ends"] = [counted()]
        await store.close()
    assert counts == {name: numbers for name, numbers in documented().items() if numbers != [0]}
