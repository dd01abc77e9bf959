"""What every session store does: the same suite for memory, Valkey and a Cluster."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from bff.sessions.model import Session
from bff.sessions.store import USES_KEPT_SECONDS, Begun, Change, Mark, MarkEnd, SessionStore, Spent
from support.session_samples import ISSUER, NOW, OTHER_ISSUER, Heard, a_grant, a_session, end_all, with_note

NewWorker = Callable[[], SessionStore]


async def kept(store: SessionStore, session: Session | None = None) -> Session:
    """A session in the store, as it was returned."""
    return await store.create(session or a_session(), now=NOW)


async def test_a_store_that_answers_passes_a_ping(store: SessionStore) -> None:
    """A ping returns."""
    await store.ping()


async def test_a_created_session_reads_back_equal_at_version_one(store: SessionStore) -> None:
    """What was created is what is read, at version 1."""
    session = a_session()
    created = await store.create(session, now=NOW)
    live = await store.read(session.key, touch=False, now=NOW)
    assert created == replace(session, version=1)
    assert live is not None
    assert live.session == created


async def test_an_unknown_key_reads_as_none(store: SessionStore) -> None:
    """A session that was never created is None."""
    assert await store.read("0" * 64, touch=True, now=NOW) is None


async def test_a_key_is_created_once(store: SessionStore) -> None:
    """A second session under the key of a living one is refused and changes nothing."""
    first = await kept(store)
    with pytest.raises(ValueError, match="new key"):
        await store.create(a_session(a_grant(subject="mallory"), key=first.key), now=NOW)
    live = await store.read(first.key, touch=False, now=NOW)
    assert live is not None
    assert live.session == first


@pytest.mark.requirement("R-182")
async def test_touching_moves_the_idle_deadline(store: SessionStore) -> None:
    """A read that touches gives the session a whole idle time from then on."""
    session = await kept(store)
    live = await store.read(session.key, touch=True, now=NOW + 600)
    assert live is not None
    assert live.idle_expires_at == pytest.approx(NOW + 600 + 1800, abs=1)


@pytest.mark.requirement("R-182")
async def test_the_idle_deadline_never_passes_the_absolute_one(store: SessionStore) -> None:
    """Near its absolute end, touching gives a session no more than what is left."""
    session = await kept(store, a_session(lifetime_seconds=2000))
    live = await store.read(session.key, touch=True, now=NOW + 1700)
    assert live is not None
    assert live.idle_expires_at == pytest.approx(NOW + 2000, abs=1)


@pytest.mark.requirement("R-182", "R-183")
async def test_nothing_lives_past_its_absolute_end(store: SessionStore) -> None:
    """At its absolute end a session is gone, touched or not, and cannot be replaced."""
    session = await kept(store, a_session(lifetime_seconds=1000))
    assert await store.read(session.key, touch=True, now=NOW + 999) is not None
    assert await store.read(session.key, touch=False, now=NOW + 1000) is None
    assert await store.replace(session, now=NOW + 1000) is None
    assert await store.read(session.key, touch=True, now=NOW + 1000) is None


async def test_replace_writes_at_the_version_that_was_read(store: SessionStore) -> None:
    """A replaced session reads back at the next version."""
    session = await kept(store)
    replaced = await store.replace(with_note(session, "new"), now=NOW)
    live = await store.read(session.key, touch=False, now=NOW)
    assert replaced == replace(with_note(session, "new"), version=2)
    assert live is not None
    assert live.session == replaced


async def test_replace_refuses_a_version_that_is_not_the_stored_one(store: SessionStore) -> None:
    """Of two changes to one version, the second gets None and writes nothing."""
    session = await kept(store)
    first = await store.replace(with_note(session, "first"), now=NOW)
    assert await store.replace(with_note(session, "second"), now=NOW) is None
    live = await store.read(session.key, touch=False, now=NOW)
    assert live is not None
    assert live.session == first


async def test_of_many_changes_at_once_one_is_written(workers: NewWorker) -> None:
    """Twenty changes to one version, from two workers: exactly one succeeds."""
    stores = [workers(), workers()]
    session = await kept(stores[0])
    results = await asyncio.gather(
        *(stores[n % 2].replace(with_note(session, str(n)), now=NOW) for n in range(20)),
    )
    assert sum(result is not None for result in results) == 1


@pytest.mark.requirement("R-140")
async def test_nothing_brings_a_deleted_session_back(store: SessionStore) -> None:
    """A change that was computed before the sign-out is refused after it."""
    session = await kept(store)
    assert await store.delete(session.key)
    assert await store.replace(with_note(session, "refreshed"), now=NOW) is None
    assert await store.read(session.key, touch=True, now=NOW) is None


@pytest.mark.requirement("R-182")
async def test_replace_leaves_the_idle_deadline_where_it_was(store: SessionStore) -> None:
    """A refresh in the background keeps no session alive."""
    session = await kept(store)
    await store.replace(session, now=NOW + 100)
    live = await store.read(session.key, touch=False, now=NOW)
    assert live is not None
    assert live.idle_expires_at == pytest.approx(NOW + 1800, abs=1)


@pytest.mark.requirement("R-183")
async def test_a_deleted_session_is_gone_in_every_worker(workers: NewWorker) -> None:
    """What one worker deleted no other worker reads; deleting again says that there was none."""
    here, there = workers(), workers()
    session = await kept(here)
    assert await there.read(session.key, touch=True, now=NOW) is not None
    assert await here.delete(session.key)
    assert await there.read(session.key, touch=True, now=NOW) is None
    assert not await there.delete(session.key)


@pytest.mark.requirement("R-213")
async def test_a_sid_finds_its_session_only(store: SessionStore) -> None:
    """A `sid` names one session of its issuer, whoever else has the same `sid` elsewhere."""
    wanted = await kept(store, a_session(a_grant(sid="one")))
    await kept(store, a_session(a_grant(sid="two")))
    await kept(store, a_session(a_grant(sid="one", issuer=OTHER_ISSUER)))
    assert await store.find(issuer=ISSUER, sid="one") == [wanted.key]


@pytest.mark.requirement("R-213", "R-184")
async def test_a_subject_finds_all_its_sessions_at_this_issuer(store: SessionStore) -> None:
    """Three sessions at each of two issuers, with the same subject: three are found."""
    wanted = [await kept(store, a_session(a_grant(sid=f"sid-{n}"))) for n in range(3)]
    for n in range(3):
        await kept(store, a_session(a_grant(sid=f"sid-{n}", issuer=OTHER_ISSUER)))
    await kept(store, a_session(a_grant(subject="bob", sid="bob")))
    found = await store.find(issuer=ISSUER, subject="alice-subject")
    assert sorted(found) == sorted(session.key for session in wanted)


@pytest.mark.requirement("R-213")
async def test_find_knows_only_living_sessions(store: SessionStore) -> None:
    """A session that ended is not found, and its end hides no other session of the same user."""
    gone, lives = await kept(store), await kept(store)
    await store.delete(gone.key)
    assert await store.find(issuer=ISSUER, subject="alice-subject") == [lives.key]


@pytest.mark.requirement("R-213")
async def test_a_second_provider_is_found_too(store: SessionStore) -> None:
    """A session that gained a grant is found by it, also once the grant has ended, and no longer once another user took its place."""
    session = await kept(store)
    partner = a_grant(provider="partner", issuer=OTHER_ISSUER, subject="alice-there", sid="sid-there")
    both = await store.replace(session.with_grant(partner), now=NOW)
    assert both is not None
    assert await store.find(issuer=OTHER_ISSUER, subject="alice-there") == [session.key]
    assert await store.find(issuer=OTHER_ISSUER, sid="sid-there") == [session.key]
    left = await store.replace(both.without_grant("partner"), now=NOW)
    assert left is not None
    assert await store.find(issuer=OTHER_ISSUER, subject="alice-there") == [session.key]
    assert await store.find(issuer=OTHER_ISSUER, sid="sid-there") == [session.key]
    bob = a_grant(provider="partner", issuer=OTHER_ISSUER, subject="bob-there", sid="sid-of-bob")
    await store.replace(left.with_grant(bob), now=NOW)
    assert await store.find(issuer=OTHER_ISSUER, subject="alice-there") == []
    assert await store.find(issuer=OTHER_ISSUER, sid="sid-there") == []
    assert await store.find(issuer=ISSUER, subject="alice-subject") == [session.key]


async def test_a_refused_change_makes_a_session_findable_for_nobody_else(store: SessionStore) -> None:
    """A change that lost the race leaves no trace: its new user does not find the session."""
    session = await kept(store)
    await store.replace(with_note(session, "first"), now=NOW)
    assert await store.replace(replace(session, grants=(a_grant(subject="mallory"),)), now=NOW) is None
    assert await store.find(issuer=ISSUER, subject="mallory") == []


async def test_sessions_without_subject_and_sid_are_kept(store: SessionStore) -> None:
    """Plain OAuth 2.0 names nobody: such a session lives, and no search finds it."""
    session = await kept(store, a_session(a_grant(subject=None, sid=None)))
    assert await store.read(session.key, touch=True, now=NOW) is not None
    assert await store.find(issuer=ISSUER, subject="alice-subject") == []


@pytest.mark.parametrize("asked", [{}, {"subject": "a", "sid": "b"}])
async def test_find_takes_exactly_one_of_subject_and_sid(store: SessionStore, asked: dict[str, str]) -> None:
    """Neither or both is a mistake of the caller."""
    with pytest.raises(ValueError, match="exactly one"):
        await store.find(issuer=ISSUER, **asked)


@pytest.mark.requirement("R-184")
async def test_every_session_can_be_ended_at_once(store: SessionStore) -> None:
    """Ending all says how many there were, and leaves none; marks stay."""
    sessions = [await kept(store) for _ in range(7)]
    await store.remember("done", lifetime_seconds=600, now=NOW)
    assert await end_all(store) == 7
    assert [await store.read(session.key, touch=False, now=NOW) for session in sessions] == [None] * 7
    assert await end_all(store) == 0
    assert await store.remembers("done", now=NOW)


async def test_the_value_of_a_mark_is_the_latest(workers: NewWorker) -> None:
    """What one worker writes another one reads; a later value takes the place of an earlier one."""
    here, there = workers(), workers()
    assert await there.recall("mark", now=NOW) is None
    await here.remember("mark", value="first", lifetime_seconds=600, now=NOW)
    await there.remember("mark", value="second", lifetime_seconds=600, now=NOW)
    assert await here.recall("mark", now=NOW) == "second"


@pytest.mark.requirement("R-059")
async def test_one_caller_is_the_first(workers: NewWorker) -> None:
    """Of twenty callers at once, in two workers, one makes the mark."""
    stores = [workers(), workers()]
    made = await asyncio.gather(
        *(stores[n % 2].remember_first("login", lifetime_seconds=600, now=NOW) for n in range(20))
    )
    assert sorted(made) == [False] * 19 + [True]
    assert await stores[1].remembers("login", now=NOW)


async def test_a_lease_has_one_holder(workers: NewWorker) -> None:
    """While one holds a lease nobody else does; its holder may extend it."""
    here, there = workers(), workers()
    assert await here.take_lease("refresh", "here", lifetime_seconds=60)
    assert not await there.take_lease("refresh", "there", lifetime_seconds=60)
    assert await here.take_lease("refresh", "here", lifetime_seconds=60)
    assert await there.take_lease("another", "there", lifetime_seconds=60)


async def test_a_lease_is_given_back_by_its_holder_only(workers: NewWorker) -> None:
    """Who does not hold a lease cannot drop it; once dropped, the next may take it."""
    here, there = workers(), workers()
    await here.take_lease("refresh", "here", lifetime_seconds=60)
    await there.drop_lease("refresh", "there")
    assert not await there.take_lease("refresh", "there", lifetime_seconds=60)
    await here.drop_lease("refresh", "here")
    assert await there.take_lease("refresh", "there", lifetime_seconds=60)


@pytest.mark.requirement("R-212")
async def test_what_is_done_is_remembered_by_every_worker_for_its_time(workers: NewWorker) -> None:
    """What one worker remembers another one knows, by its name alone; what nobody remembered is not done."""
    here, there = workers(), workers()
    assert not await there.remembers("done", now=NOW)
    await here.remember("done", lifetime_seconds=60, now=NOW)
    await here.remember("done", lifetime_seconds=60, now=NOW)
    assert await there.remembers("done", now=NOW + 59)
    assert not await there.remembers("another", now=NOW)


async def test_every_worker_hears_of_changes_and_ends(workers: NewWorker) -> None:
    """A listener learns of a replaced and of a deleted session, whichever worker did it."""
    here, there, heard = workers(), workers(), Heard()
    await there.open(heard)
    await heard.resumed()
    session = await kept(here)
    await here.replace(session, now=NOW)
    await heard.until(lambda events: Change(key=session.key, ended=False) in events)
    await here.delete(session.key)
    await heard.until(lambda events: Change(key=session.key, ended=True) in events)


async def test_a_worker_has_heard_of_its_own_change_when_it_returns(store: SessionStore) -> None:
    """Who writes does not wait for its own message: read your own writes."""
    heard = Heard()
    await store.open(heard)
    await heard.resumed()
    session = await kept(store)
    await store.delete(session.key)
    assert Change(key=session.key, ended=True) in heard.events


async def test_nothing_runs_after_close(workers: NewWorker) -> None:
    """A closed store leaves no task behind."""
    before = asyncio.all_tasks()
    store, heard = workers(), Heard()
    await store.open(heard)
    await heard.resumed()
    await kept(store)
    await store.close()
    assert asyncio.all_tasks() == before


async def test_a_crowd_is_served(store: SessionStore) -> None:
    """A thousand requests at once, each by a user of one session: all are answered."""
    session = await kept(store)
    found = await asyncio.gather(*(store.read(session.key, touch=True, now=NOW) for _ in range(1000)))
    assert all(live is not None and live.session == session for live in found)


MARK = Mark(provider="corp", token_hash="ab" * 16)


async def begun(store: SessionStore, holder: str, mark: Mark = MARK, *, lifetime_seconds: float = 60) -> Begun | Spent:
    """What this process gets that wants to renew."""
    return await store.begin_renewal(
        "session", holder, lifetime_seconds=lifetime_seconds, mark=mark, mark_lifetime_seconds=600
    )


@pytest.mark.requirement("R-341", "R-345")
async def test_a_renewal_is_begun_by_one_process(workers: NewWorker) -> None:
    """While one has the lease the other is told that it is busy; the same process may begin again."""
    here, there = workers(), workers()
    assert await begun(here, "here") is Begun.YES
    assert await begun(there, "there") is Begun.BUSY
    assert await begun(here, "here") is Begun.YES
    await here.end_renewal("session", "here", provider="corp", mark=MarkEnd.DROP)
    assert await begun(there, "there") is Begun.YES


@pytest.mark.requirement("R-341")
@pytest.mark.parametrize("given_back", [False, True], ids=["lease ran out", "kept"])
async def test_a_mark_outlives_the_lease(workers: NewWorker, given_back: bool) -> None:
    """A token that one process may have spent is not used by another, however its lease ended; the same process may."""
    here, there = workers(), workers()
    assert await begun(here, "here", lifetime_seconds=60 if given_back else 0) is Begun.YES
    if given_back:
        await here.end_renewal("session", "here", provider="corp", mark=MarkEnd.KEEP)
    spent = await begun(there, "there")
    assert isinstance(spent, Spent)
    assert spent.by == "here"
    assert 0 <= spent.age_seconds < 60
    assert await begun(here, "here", lifetime_seconds=0) is Begun.YES


@pytest.mark.requirement("R-341")
@pytest.mark.parametrize(
    "other", [Mark(provider="corp", token_hash="cd" * 16), Mark(provider="partner", token_hash="ab" * 16)], ids=repr
)
async def test_a_mark_is_of_one_token(workers: NewWorker, other: Mark) -> None:
    """Another refresh token, or another provider's, is not held up by it."""
    here, there = workers(), workers()
    assert await begun(here, "here", lifetime_seconds=0) is Begun.YES
    assert await begun(there, "there", other) is Begun.YES


@pytest.mark.requirement("R-342")
async def test_a_mark_of_unknown_outcome_binds_for_a_time(workers: NewWorker) -> None:
    """After a call that ended without an answer nobody asks for a pause, then anybody may."""
    here, there = workers(), workers()
    assert await begun(here, "here") is Begun.YES
    await here.end_renewal("session", "here", provider="corp", mark=60.0)
    assert isinstance(await begun(there, "there"), Spent)
    assert await begun(here, "here") is Begun.YES
    await here.end_renewal("session", "here", provider="corp", mark=0.0)
    async with asyncio.timeout(5):
        while await begun(there, "there") is not Begun.YES:
            await asyncio.sleep(0)


@pytest.mark.requirement("R-341")
async def test_a_mark_may_end_by_itself(workers: NewWorker) -> None:
    """One of a token that a use does not spend binds others for so long only, whatever becomes of its process."""
    here, there = workers(), workers()
    assert await begun(here, "here", replace(MARK, binds_seconds=60.0), lifetime_seconds=0) is Begun.YES
    assert isinstance(await begun(there, "there"), Spent)
    assert await begun(here, "here", replace(MARK, binds_seconds=0.0), lifetime_seconds=0) is Begun.YES
    async with asyncio.timeout(5):
        while await begun(there, "there") is not Begun.YES:
            await asyncio.sleep(0)


@pytest.mark.requirement("R-341")
async def test_only_its_owner_ends_a_mark(workers: NewWorker) -> None:
    """Another process's end leaves mark and lease where they are."""
    here, there = workers(), workers()
    assert await begun(here, "here") is Begun.YES
    await there.end_renewal("session", "there", provider="corp", mark=MarkEnd.DROP)
    assert await begun(there, "there") is Begun.BUSY
    await here.end_renewal("session", "here", provider="corp", mark=MarkEnd.KEEP)
    await there.end_renewal("session", "there", provider="corp", mark=MarkEnd.DROP)
    assert isinstance(await begun(there, "there"), Spent)


async def test_the_latest_use_of_a_secret_is_known_for_each_process(workers: NewWorker) -> None:
    """What processes note is read by every worker; an earlier use does not take the place of a later one."""
    here, there = workers(), workers()
    await here.note_use("corp", "ab", by="one", age_seconds=50)
    await there.note_use("corp", "ab", by="two", age_seconds=5)
    await there.note_use("corp", "ab", by="one", age_seconds=100)
    uses = await here.uses("corp", "ab")
    assert sorted(uses) == ["one", "two"]
    assert 40 < uses["two"] - uses["one"] < 50
    assert await here.uses("corp", "cd") == {}
    assert await here.uses("partner", "ab") == {}


async def test_a_use_is_forgotten_after_its_time(store: SessionStore) -> None:
    """Processes come and go: what is a month old is dropped."""
    await store.note_use("corp", "ab", by="old", age_seconds=USES_KEPT_SECONDS + 1)
    await store.note_use("corp", "ab", by="new", age_seconds=0)
    assert list(await store.uses("corp", "ab")) == ["new"]
