"""When notes of used secrets are written: at once, then once a minute, also after an outage; by a task, and never by a request."""

import asyncio
from dataclasses import dataclass, field

import pytest

from bff.config.values.secrets import LiteralSecret
from bff.errors import StoreUnavailable
from bff.secret_uses import SecretUses, digest, fingerprint
from bff.sessions.memory import MemoryStore
from bff.sessions.sealing import Sealer
from bff.sessions.secret_notes import SecretNotes
from support.session_samples import KEY, NEW_KEY, NOW


@dataclass
class Clock:
    """Unix seconds that a test moves."""

    now: float = NOW

    def __call__(self) -> float:
        """Now."""
        return self.now


@dataclass
class Counting(MemoryStore):
    """A store that counts notes, and can be away."""

    clock: Clock
    away: bool = False
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """A whole store."""
        super().__init__(idle_timeout_seconds=1800, clock=self.clock)

    async def note_use(self, owner: str, digest: str, *, by: str, age_seconds: float) -> None:
        """Count, and note."""
        self.notes.append(owner)
        if self.away:
            raise StoreUnavailable("away")
        await super().note_use(owner, digest, by=by, age_seconds=age_seconds)


@dataclass
class Room:
    """One process's uses and notes."""

    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        """Make the parts."""
        self.store = Counting(self.clock)
        self.uses = SecretUses(clock=self.clock)
        self.notes = SecretNotes(uses=self.uses, store=self.store, clock=self.clock, by="here")

    async def later(self, seconds: float) -> None:
        """Let time pass, and write what is due then."""
        self.clock.now += seconds
        await self.notes.write()


async def test_a_secret_is_noted_at_most_once_a_minute() -> None:
    """The first use is written at once; uses of the next minute are one note; no use is no note."""
    room = Room()
    for _ in range(59):
        room.uses.note("corp", "client_secrets[0]", "ab")
        await room.later(1)
    assert room.store.notes == ["corp"]
    await room.later(2)
    assert room.store.notes == ["corp"] * 2
    assert await room.store.uses("corp", "ab") == {"here": NOW + 58}
    await room.later(600)
    assert room.store.notes == ["corp"] * 2


async def test_each_secret_has_a_minute_of_its_own() -> None:
    """A secret that is used for the first time does not wait for another one's minute."""
    room = Room()
    room.uses.note("corp", "client_secrets[1]", "old")
    await room.later(1)
    room.uses.note("corp", "client_secrets[0]", "new")
    await room.later(1)
    assert await room.store.uses("corp", "new") == {"here": NOW + 1}


async def test_a_note_survives_an_outage_of_the_store() -> None:
    """It is tried again, and says when the use was and not when it was written."""
    room = Room()
    room.store.away = True
    room.uses.note("corp", "client_secrets[0]", "ab")
    await room.later(10)
    room.store.away = False
    await room.later(10)
    assert await room.store.uses("corp", "ab") == {"here": NOW}
    await room.later(10)
    assert room.store.notes == ["corp"] * 2


async def test_a_clock_that_is_set_back_stops_no_notes() -> None:
    """What was written "in the future" keeps no later use from being written."""
    room = Room()
    room.uses.note("corp", "client_secrets[0]", "ab")
    await room.later(1)
    room.clock.now -= 3600
    await room.later(0)
    room.clock.now += 3601
    room.uses.note("corp", "client_secrets[0]", "ab")
    await room.later(60)
    assert room.store.notes == ["corp"] * 2


async def test_memory_keeps_no_secret_that_was_rotated_away() -> None:
    """A use that is written and an hour old leaves memory."""
    room = Room()
    room.uses.note("session", "keys[1]", "ab")
    await room.later(1)
    await room.later(3600)
    assert list(room.uses.all()) == []


async def test_the_task_writes_a_first_use_without_waiting() -> None:
    """`keep` wakes at the first use of a secret; the place of use only notes it in memory."""
    room = Room()
    task = asyncio.create_task(room.notes.keep())
    try:
        room.uses.note("corp", "client_secrets[0]", "ab")
        assert room.store.notes == []
        async with asyncio.timeout(5):
            while not room.store.notes:
                await asyncio.sleep(0)
    finally:
        task.cancel()
        await asyncio.wait([task])


def test_a_session_key_is_used_when_it_seals_and_when_it_opens() -> None:
    """Each key at its position; what does not open is no use, and neither is a name of an index."""
    old, new = LiteralSecret(value=KEY), LiteralSecret(value=NEW_KEY)
    record = Sealer([old]).seal(b"record", bound_to=b"here")
    uses = SecretUses(clock=Clock())
    sealer = Sealer([new, old], uses=uses)
    sealer.names(b"index")
    assert sealer.open(record, bound_to=b"elsewhere") is None
    assert list(uses.all()) == []
    assert sealer.open(record, bound_to=b"here") == b"record"
    assert [(use.owner, use.position, use.digest) for use in uses.all()] == [("session", "keys[1]", digest(KEY))]
    sealer.seal(b"record", bound_to=b"here")
    assert {use.position for use in uses.all()} == {"keys[0]", "keys[1]"}


@pytest.mark.parametrize("value", [KEY, f"{KEY}\n", f" {KEY}"])
def test_a_fingerprint_is_of_the_value_without_white_space(value: str) -> None:
    """Eight hexadecimal digits of a labelled hash, the same for every spelling of a file."""
    assert fingerprint(value) == fingerprint(KEY) == digest(KEY)[:8]
    assert len(fingerprint(KEY)) == 8
    assert fingerprint(KEY) != fingerprint(NEW_KEY)
