"""Sessions in Redis or Valkey, shared by every worker and kept over restarts.

    bff:s:<session key>        hash {version, record, absolute}      ends when idle, never after the absolute end
    bff:i:<keyed hash>         the session keys of one (issuer, subject) or (issuer, sid)   ends with the last of them
    bff:l:<hash>               lease of a session, and marks of refresh tokens that may be spent
    bff:d:<hash>               mark that something is done, sealed   ends when it can no longer be asked for
    bff:u:<keyed hash>         when a secret was last used, by process    ends a month after the last use
    bff:changed                channel of changes

`bff` is the namespace (`session.namespace`): every name begins with it.

- Records are sealed and bound to kind, name and version (invariant 9): a swapped, planted or misdelivered record does
  not open.
- "Not found" and "cannot ask" differ (invariant 7, `commands.py`).
- Instants in records are by the server's clock (`shared_clock.py`).
- `replace` and every other change is one script with its conditions (invariant 6), and may be sent twice
  (`scripts.py`).
- Index entries are written before the record, so no session is missing from `find` (`indexes.py`).
- What has ended is not read, also if the server has it again (`recent_ends.py`).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import cast

from bff.clock import Clock, steady
from bff.config.values.secrets import Secret
from bff.config.values.stores import StoreLocation
from bff.errors import StoreUnavailable
from bff.sessions.local_copies import ChangeFanout
from bff.sessions.model import LiveSession, Session
from bff.sessions.records import decode_session, encode_session
from bff.sessions.redis import keys, scripts
from bff.sessions.redis.changes import Subscription
from bff.sessions.redis.commands import Commands, milliseconds
from bff.sessions.redis.indexes import Indexes
from bff.sessions.redis.recent_ends import RecentEnds
from bff.sessions.redis.server import open_server
from bff.sessions.redis.shared_clock import SharedClock
from bff.sessions.sealing import Sealer
from bff.sessions.store import (
    USES_KEPT_SECONDS,
    Begun,
    Change,
    ChangeListener,
    Found,
    Mark,
    MarkEnd,
    MessageListener,
    Spent,
    ignored,
)

PEEKED_AT_ONCE = 500  # sessions: reading all sessions of one user at once could take longer than a command's timeout


class RedisStore:
    """A `SessionStore` in Redis. `idle_timeout_seconds` is how long a session lives unused."""

    def __init__(
        self,
        location: StoreLocation,
        *,
        sealer: Sealer,
        idle_timeout_seconds: float,
        namespace: str = "bff",
        connect_timeout_seconds: float = 1.0,
        command_timeout_seconds: float = 1.0,
        clock: Clock | None = None,
    ) -> None:
        """`clock`: that of `now`, to be compared with the server's; None: instants are taken as they are."""
        self._server = open_server(
            location,
            connect_timeout_seconds=connect_timeout_seconds,
            command_timeout_seconds=command_timeout_seconds,
        )
        self._connect_timeout_seconds = connect_timeout_seconds
        self._commands = Commands(self._server)
        self._shared_clock = SharedClock(None if location.topology == "cluster" else clock)
        self._names = keys.Names(namespace)
        self._use_keys(sealer)
        self._idle_milliseconds = milliseconds(idle_timeout_seconds)
        self._ends = RecentEnds(end=self.delete, clock=steady)
        self._listener: ChangeListener = self._ends
        self._subscription: Subscription | None = None

    async def open(self, listener: ChangeListener, *, on_message: MessageListener = ignored) -> None:
        """Subscribe to changes and messages; the server may become reachable later."""
        self._listener = ChangeFanout([self._ends, listener])
        self._subscription = Subscription(
            self._server.new_connection,
            self._listener,
            on_message=on_message,
            channel=self._names.channel,
            connect_timeout_seconds=self._connect_timeout_seconds,
        )
        self._subscription.start()

    async def close(self) -> None:
        """Close every connection and end every task."""
        if self._subscription is not None:
            await self._subscription.close()
        await self._ends.close()
        await self._server.close()

    def change_settings(self, *, idle_timeout_seconds: float, sealing_keys: Sequence[Secret]) -> None:
        """Use these from the next command on."""
        self._idle_milliseconds = milliseconds(idle_timeout_seconds)
        self._use_keys(self._sealer.with_keys(sealing_keys))

    async def ping(self) -> None:
        """Return if the server answers."""
        await self._commands.execute("PING")

    async def tell(self, text: str) -> None:
        """Publish it on the channel of changes."""
        await self._commands.execute("PUBLISH", self._names.channel, text + ":told")

    async def create(self, session: Session, *, now: float) -> Session:
        """Keep a new session and its index entries.

        Raises:
            ValueError: its key is taken.
        """
        await self._compare_clocks()
        created = replace(session, version=1)
        shared, server_now = self._shared_clock.to_server(created), now + self._shared_clock.ahead_seconds
        await self._indexes.add(shared, now=server_now)
        absolute = milliseconds(shared.absolute_expires_at)
        ttl = max(1, min(self._idle_milliseconds, absolute - milliseconds(server_now)))
        if not await self._commands.run(
            scripts.CREATE, self._names.session(session.key), self._seal(shared), absolute, ttl
        ):
            raise ValueError("a new session needs a new key")
        return created

    async def read(self, key: str, *, touch: bool, now: float) -> LiveSession | None:
        """The session, if it lives at `now`; one round trip, which also moves the idle deadline."""
        if key in self._ends:
            return None
        await self._compare_clocks()
        name, clock, asked_at = self._names.session(key), self._shared_clock, self._shared_clock.ours()
        server_now = milliseconds(now + clock.ahead_seconds)
        found = await self._commands.run(scripts.READ, name, server_now, self._idle_milliseconds if touch else 0)
        if found is None:
            return None
        version, record, ttl, *time = cast(tuple[bytes, bytes, int, bytes, bytes], found)
        clock.note(*time, asked_at=asked_at)
        shared = self._unseal(key, version, record)
        session = None if shared is None else clock.to_ours(shared)
        # the record is sealed, the end that the server compared is not
        if session is None or now >= session.absolute_expires_at:
            return None
        return LiveSession(session=session, idle_expires_at=now + ttl / 1000)

    async def replace(self, session: Session, *, now: float) -> Session | None:
        """Write `session` if its version is still the stored one; its index entries first."""
        if session.key in self._ends:
            return None
        await self._compare_clocks()
        replaced = replace(session, version=session.version + 1)
        shared, server_now = self._shared_clock.to_server(replaced), now + self._shared_clock.ahead_seconds
        await self._indexes.add(shared, now=server_now)
        message = session.key + ":changed"
        arguments = (session.version, replaced.version, self._seal(shared), self._names.channel, message)
        try:
            written = await self._commands.run(
                scripts.REPLACE, self._names.session(session.key), milliseconds(server_now), *arguments
            )
        finally:
            self._notify(session.key, ended=False)  # also if it is unknown whether it was written
        return replaced if written else None

    async def delete(self, key: str) -> bool:
        """End a session, and take it out of the indexes if that can be done now."""
        found: object = None
        try:
            found = await self._commands.run(
                scripts.DELETE, self._names.session(key), self._names.channel, key + ":ended"
            )
        finally:
            self._notify(key, ended=found is not None)
        session = self._unseal(key, *found) if isinstance(found, list) and all(found) and found else None
        if session is not None:
            with contextlib.suppress(StoreUnavailable):
                await self._indexes.remove(session)
        return found is not None

    async def find(self, *, issuer: str, subject: str | None = None, sid: str | None = None) -> list[str]:
        """The keys of the sessions of this user: from the index, each judged by its record."""
        if (subject is None) == (sid is None):
            raise ValueError("exactly one of subject and sid")
        session_keys = await self._indexes.look_up(issuer=issuer, subject=subject, sid=sid)
        found: list[str] = []
        for first in range(0, len(session_keys), PEEKED_AT_ONCE):
            portion = [key for key in session_keys[first : first + PEEKED_AT_ONCE] if key not in self._ends]
            living = [session for session in await asyncio.gather(*map(self._peek, portion)) if session is not None]
            found += [s.key for s in living if s.has_user(issuer=issuer, subject=subject, sid=sid)]
        return found

    async def survey(self, *, now: float, key_prefix: str = "") -> AsyncIterator[list[Found]]:
        """Every session whose key begins with this text: by SCAN, which holds up no other client, and one read for each."""
        async for names in self._commands.scan(self._names.session(key_prefix) + b"*"):
            yield await asyncio.gather(*(self._found(self._names.key_of(name), now=now) for name in names))

    async def note_use(self, owner: str, digest: str, *, by: str, age_seconds: float) -> None:
        """Note a use, at the instant that the server's clock shows for it."""
        name = self._names.uses(self._sealer.names(keys.used_secret(owner, digest))[0])
        await self._commands.run(scripts.NOTE_USE, name, by, milliseconds(age_seconds), milliseconds(USES_KEPT_SECONDS))

    async def uses(self, owner: str, digest: str) -> dict[str, float]:
        """When the secret was last used, by process; noted under any session key."""
        names = [self._names.uses(name) for name in self._sealer.names(keys.used_secret(owner, digest))]
        asked = (self._commands.execute("ZRANGE", name, 0, -1, "WITHSCORES") for name in names)
        found: dict[str, float] = {}
        for words in cast(list[list[bytes]], await asyncio.gather(*asked)):
            for by, at in zip(words[::2], words[1::2], strict=True):
                name = by.decode(errors="replace")
                found[name] = max(float(at) / 1000, found.get(name, 0.0))
        return found

    async def shared_instant(self, instant: float) -> float:
        """By the server's clock, as near as `TOLERATED_SECONDS`."""
        await self._compare_clocks()
        return instant + self._shared_clock.ahead_seconds

    async def take_lease(self, name: str, holder: str, *, lifetime_seconds: float) -> bool:
        """Become the holder of the lease, or extend it if we are."""
        return (
            await self._commands.run(
                scripts.TAKE_LEASE, self._names.lease(name), holder, milliseconds(lifetime_seconds)
            )
            == 1
        )

    async def begin_renewal(
        self, name: str, holder: str, *, lifetime_seconds: float, mark: Mark, mark_lifetime_seconds: float
    ) -> "Begun | Spent":
        """Take the lease and mark the refresh token as being used, in one step."""
        arguments = (
            holder,
            milliseconds(lifetime_seconds),
            keys.mark_field(mark.provider),
            mark.token_hash,
            milliseconds(mark_lifetime_seconds),
            0 if mark.binds_seconds is None else max(milliseconds(mark.binds_seconds), 1),
        )
        answer = await self._commands.run(scripts.BEGIN_RENEWAL, self._names.lease(name), *arguments)
        if isinstance(answer, list):
            return Spent(by=answer[0].decode(errors="replace"), age_seconds=answer[1] / 1000)
        return Begun.YES if answer == 1 else Begun.BUSY

    async def end_renewal(self, name: str, holder: str, *, provider: str, mark: "MarkEnd | float") -> None:
        """Give the lease back, and say what becomes of our mark."""
        word = mark.value if isinstance(mark, MarkEnd) else max(milliseconds(mark), 1)
        await self._commands.run(scripts.END_RENEWAL, self._names.lease(name), holder, keys.mark_field(provider), word)

    async def drop_lease(self, name: str, holder: str) -> None:
        """Give the lease back, if it is still ours."""
        await self._commands.run(scripts.DROP_LEASE, self._names.lease(name), holder)

    async def remember(self, name: str, *, value: str = "", lifetime_seconds: float, now: float) -> None:
        """Mark something as done; the server counts the time, so `now` is not needed."""
        done = self._names.done(name)
        sealed = self._sealer.seal(value.encode(), bound_to=done)
        await self._commands.execute("SET", done, sealed, "PX", max(milliseconds(lifetime_seconds), 1))

    async def remember_first(self, name: str, *, lifetime_seconds: float, now: float) -> bool:
        """Mark something as done; False if it was marked already. A mark of ours from a first try counts as ours."""
        done = self._names.done(name)
        sealed = self._sealer.seal(b"", bound_to=done)
        return await self._commands.run(scripts.TAKE_LEASE, done, sealed, max(milliseconds(lifetime_seconds), 1)) == 1

    async def remembers(self, name: str, *, now: float) -> bool:
        """Whether the mark is there and has not expired."""
        return await self._commands.execute("EXISTS", self._names.done(name)) == 1

    async def recall(self, name: str, *, now: float) -> str | None:
        """The value of the mark; None if there is none, or not one that we wrote."""
        done = self._names.done(name)
        found = await self._commands.execute("GET", done)
        opened = self._sealer.open(found, bound_to=done) if isinstance(found, bytes) else None
        return None if opened is None else opened.decode(errors="replace")

    def _use_keys(self, sealer: Sealer) -> None:
        self._sealer = sealer
        self._indexes = Indexes(commands=self._commands, names=self._names, sealer=sealer)

    async def _compare_clocks(self) -> None:
        """Once, before the first instant goes to the server or comes from it; later every read does."""
        if self._shared_clock.is_known:
            return
        asked_at = self._shared_clock.ours()
        answer = await self._commands.run(scripts.CLOCK, self._names.channel)
        if isinstance(answer, list):
            self._shared_clock.note(*answer, asked_at=asked_at)

    # --- records ---

    def _seal(self, session: Session) -> bytes:
        return self._sealer.seal(encode_session(session), bound_to=self._names.binding(session.key, session.version))

    def _unseal(self, key: str, version: bytes, record: bytes) -> Session | None:
        opened = self._sealer.open(record, bound_to=self._names.binding(key, version.decode(errors="replace")))
        return None if opened is None else decode_session(opened)

    async def _peek(self, key: str) -> Session | None:
        """The session without its deadlines: an entry that Redis still holds has not ended."""
        found = await self._commands.execute("HMGET", self._names.session(key), "version", "record")
        version, record = cast(list[bytes | None], found)
        return None if version is None or record is None else self._unseal(key, version, record)

    async def _found(self, key: str, *, now: float) -> Found:
        return Found(key=key, live=await self.read(key, touch=False, now=now))

    def _notify(self, key: str, *, ended: bool) -> None:
        self._listener.session_changed(Change(key=key, ended=ended))
