"""Which sessions a user, or a provider's `sid`, has: entries of session keys under keyed hashes (keys.py).

An entry is written before the record, so no session is missing from a look-up. A stale entry is harmless, because the reader opens
each record and compares its grants. Entries are written under the first sealing key, and looked up and removed under every one.
"""

import asyncio
from dataclasses import dataclass
from typing import cast

from bff.sessions.model import Session
from bff.sessions.redis import keys, scripts
from bff.sessions.redis.commands import Commands, milliseconds
from bff.sessions.sealing import Sealer


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexes:
    """The indexes of one namespace under one set of sealing keys. Its methods raise StoreUnavailable."""

    commands: Commands
    names: keys.Names
    sealer: Sealer

    async def add(self, session: Session, *, now: float) -> None:
        """Enter the session where it belongs."""
        arguments = (milliseconds(now), milliseconds(session.absolute_expires_at), session.key)
        own = [self._names_of(index)[0] for index in keys.indexes(session)]
        await asyncio.gather(*(self.commands.run(scripts.INDEX, name, *arguments) for name in own))

    async def remove(self, session: Session) -> None:
        """Take the session out of every index that it belongs to."""
        every = [name for index in keys.indexes(session) for name in self._names_of(index)]
        await asyncio.gather(*(self.commands.run(scripts.UNINDEX, name, session.key) for name in every))

    async def look_up(self, *, issuer: str, subject: str | None, sid: str | None) -> list[str]:
        """The session keys in the index of the user, or of the `sid`; each once."""
        index = keys.index(issuer, subject=subject, sid=sid)
        asked = (self.commands.execute("ZRANGE", name, 0, -1) for name in self._names_of(index))
        found = cast(list[list[bytes]], await asyncio.gather(*asked))
        return list({key.decode(errors="replace"): None for members in found for key in members})

    def _names_of(self, index: bytes) -> list[bytes]:
        return [self.names.index(name) for name in self.sealer.names(index)]
