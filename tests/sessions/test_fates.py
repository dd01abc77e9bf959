"""Why a session is not there any more: what its mark says, and that a store without a word stops nothing."""

import pytest

from bff.errors import StoreUnavailable
from bff.sessions import fates
from bff.sessions.memory import MemoryStore
from support.session_samples import NOW, a_session

HOUR = 3600.0


class Away(MemoryStore):
    """A store that cannot be asked for marks."""

    async def remember(self, name: str, *, value: str = "", lifetime_seconds: float, now: float) -> None:
        """It is away."""
        raise StoreUnavailable("away")

    async def recall(self, name: str, *, now: float) -> str | None:
        """It is away."""
        raise StoreUnavailable("away")


@pytest.mark.requirement("R-363")
async def test_a_session_that_expired_was_idle_or_reached_its_end() -> None:
    """Its mark holds the absolute end, and outlives it."""
    store, session = MemoryStore(idle_timeout_seconds=HOUR), a_session(lifetime_seconds=2 * HOUR)
    await fates.started(store, session, now=NOW, user=None)
    assert await fates.fate(store, session.key, now=NOW + HOUR) == ("idle", None)
    assert await fates.fate(store, session.key, now=NOW + 2 * HOUR) == ("absolute", None)


@pytest.mark.requirement("R-363")
async def test_a_session_that_was_ended_names_the_cause() -> None:
    """For an hour: then its cookie is as unknown as any other."""
    store, session = MemoryStore(idle_timeout_seconds=HOUR), a_session()
    await fates.started(store, session, now=NOW, user="alice")
    await fates.ended(store, session.key, cause="signed_out", now=NOW + 1)
    assert await fates.fate(store, session.key, now=NOW + 2) == ("ended", "signed_out")
    assert await fates.fate(store, session.key, now=NOW + 2 + HOUR) == ("unknown", None)


@pytest.mark.requirement("R-363")
async def test_a_store_that_is_away_makes_a_fate_unknown() -> None:
    """The session itself is what counts: nothing fails for want of a mark."""
    store, session = Away(idle_timeout_seconds=HOUR), a_session()
    await fates.started(store, session, now=NOW, user=None)
    await fates.ended(store, session.key, cause="signed_out", now=NOW)
    assert await fates.fate(store, session.key, now=NOW) == ("unknown", None)
