"""A worker's own copies: when they may be used, and above all when not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.sessions.local_copies import REMEMBERED_CHANGES, ChangeFanout, LocalCopies
from bff.sessions.model import LiveSession
from bff.sessions.store import Change
from support.session_samples import NOW, Heard, a_session

COOKIE = b"a signed cookie value"
KEY = "k" * 64


def live(*, key: str = KEY, idle_seconds: float = 1800, lifetime_seconds: float = 43_200) -> LiveSession:
    """A session as just read at NOW."""
    session = replace(a_session(key=key, lifetime_seconds=lifetime_seconds), version=1)
    return LiveSession(session=session, idle_expires_at=NOW + idle_seconds)


def hearing(*, max_age_seconds: float = 5.0, max_entries: int = 10_000) -> LocalCopies:
    """Copies while changes are heard."""
    copies = LocalCopies(max_age_seconds=max_age_seconds, max_entries=max_entries)
    copies.changes_resumed()
    return copies


def keep(copies: LocalCopies, read: LiveSession, *, cookie: bytes = COOKIE, now: float = NOW) -> None:
    """Read and put with nothing in between."""
    copies.put(cookie, read, copies.reading(read.session.key), now=now)


def copied(copies: LocalCopies, cookie: bytes, *, now: float) -> LiveSession | None:
    """The session that is copied under this cookie value."""
    copy = copies.get(cookie, now=now)
    return None if copy is None else copy.live


def test_a_copy_is_what_was_read() -> None:
    """Under the same cookie value, the same session; under another one, none."""
    copies, read = hearing(), live()
    keep(copies, read)
    assert copied(copies, COOKIE, now=NOW) is read
    assert copied(copies, b"another cookie", now=NOW) is None


@pytest.mark.parametrize(
    ("read", "lasts"),
    [(live(), 5.0), (live(idle_seconds=2.0), 2.0), (live(lifetime_seconds=3.0), 3.0)],
    ids=["max age", "idle end", "absolute end"],
)
@pytest.mark.requirement("R-182")
def test_a_copy_ends_with_its_age_or_its_session(read: LiveSession, lasts: float) -> None:
    """A copy is used until the first of maximum age, idle end and absolute end, and is not kept after it."""
    copies = hearing()
    keep(copies, read)
    assert copied(copies, COOKIE, now=NOW + lasts - 0.01) is read
    assert copied(copies, COOKIE, now=NOW + lasts) is None
    assert len(copies) == 0


def test_a_clock_that_was_set_back_lengthens_no_copy() -> None:
    """A copy from the future is not used."""
    copies = hearing()
    keep(copies, live())
    assert copied(copies, COOKIE, now=NOW - 1) is None


@pytest.mark.requirement("R-183")
@pytest.mark.parametrize("ended", [True, False])
def test_a_change_drops_every_copy_of_its_session_at_once(ended: bool) -> None:
    """Whatever cookies led to it: after a change none finds the session, and other sessions stay."""
    copies = hearing()
    keep(copies, live(), cookie=b"one")
    keep(copies, live(), cookie=b"two")
    keep(copies, live(key="other"), cookie=b"other")
    copies.session_changed(Change(key=KEY, ended=ended))
    assert copied(copies, b"one", now=NOW) is None
    assert copied(copies, b"two", now=NOW) is None
    assert copied(copies, b"other", now=NOW) is not None


@pytest.mark.requirement("R-183")
def test_a_change_during_a_read_keeps_its_result_from_being_copied() -> None:
    """Read begins, sign-out is heard, the old answer arrives: it must not be used for the next request."""
    copies, read = hearing(), live()
    ticket = copies.reading(KEY)
    copies.session_changed(Change(key=KEY, ended=True))
    copies.put(COOKIE, read, ticket, now=NOW)
    assert copied(copies, COOKIE, now=NOW) is None


def test_a_change_of_another_session_disturbs_no_read() -> None:
    """Only changes of the same session make a ticket void; the next read of it is copied again."""
    copies, read = hearing(), live()
    ticket = copies.reading(KEY)
    copies.session_changed(Change(key="other", ended=True))
    copies.put(COOKIE, read, ticket, now=NOW)
    assert copied(copies, COOKIE, now=NOW) is read
    copies.session_changed(Change(key=KEY, ended=False))
    keep(copies, read)
    assert copied(copies, COOKIE, now=NOW) is read


def test_a_read_that_outlasts_the_memory_of_changes_is_not_copied() -> None:
    """After more changes than are remembered, a ticket from before them is void: nobody knows any more."""
    copies, read = hearing(), live()
    ticket = copies.reading(KEY)
    copies.session_changed(Change(key=KEY, ended=True))
    for number in range(REMEMBERED_CHANGES):
        copies.session_changed(Change(key=str(number), ended=False))
    copies.put(COOKIE, read, ticket, now=NOW)
    assert copied(copies, COOKIE, now=NOW) is None


def test_nothing_is_copied_before_changes_are_heard() -> None:
    """Until the store's changes are heard for the first time, no copy is made."""
    copies = LocalCopies(max_age_seconds=5.0)
    keep(copies, live())
    assert len(copies) == 0


@pytest.mark.requirement("R-183")
def test_an_interruption_drops_all_and_makes_none() -> None:
    """While changes may be missed there are no copies, and reads begun before or during it leave none after it."""
    copies, read = hearing(), live()
    keep(copies, read)
    before = copies.reading(KEY)
    copies.changes_interrupted()
    assert copied(copies, COOKIE, now=NOW) is None
    during = copies.reading(KEY)
    keep(copies, read)
    copies.changes_resumed()
    for ticket in (before, during):
        copies.put(COOKIE, read, ticket, now=NOW)
    assert copied(copies, COOKIE, now=NOW) is None
    keep(copies, read)
    assert copied(copies, COOKIE, now=NOW) is read


def test_a_ticket_is_good_for_its_own_session_only() -> None:
    """What was read under another session's ticket is not copied."""
    copies = hearing()
    copies.put(COOKIE, live(), copies.reading("other"), now=NOW)
    assert len(copies) == 0


def test_a_maximum_age_of_zero_is_off() -> None:
    """Then no copy is ever made."""
    copies = hearing(max_age_seconds=0.0)
    keep(copies, live())
    assert len(copies) == 0


def test_the_oldest_makes_room() -> None:
    """There are never more copies than allowed; the newest are kept."""
    copies = hearing(max_entries=3)
    for number in range(5):
        keep(copies, live(key=str(number)), cookie=b"%d" % number)
    assert [copied(copies, b"%d" % number, now=NOW) is not None for number in range(5)] == [
        False,
        False,
        True,
        True,
        True,
    ]


def test_what_ended_does_not_stay_in_memory() -> None:
    """The next copy drops those that have ended, though nobody asked for them again."""
    copies = hearing()
    for number in range(100):
        keep(copies, live(key=str(number)), cookie=b"%d" % number)
    keep(copies, live(), now=NOW + 5)
    assert len(copies) == 1


steps = st.lists(
    st.tuples(st.sampled_from(["begin", "finish", "change", "interrupt", "resume"]), st.integers(0, 2)), max_size=60
)


@given(steps=steps)
def test_no_order_of_events_serves_what_is_older_than_a_change_that_was_heard(steps: list[tuple[str, int]]) -> None:
    """Reads that begin and end around changes and interruptions, in any order: no copy is older than what was heard."""
    copies = hearing()
    heard = dict.fromkeys(range(3), 0)  # the version of each session that was last heard of
    under_way = []
    for what, number in steps:
        if what == "begin":
            under_way.append((number, heard[number], copies.reading(str(number))))
        elif what == "finish" and under_way:
            key, version, ticket = under_way.pop(number % len(under_way))
            read = live(key=str(key))
            read = replace(read, session=replace(read.session, version=version))
            copies.put(b"%d" % key, read, ticket, now=NOW)
        elif what == "change":
            heard[number] += 1
            copies.session_changed(Change(key=str(number), ended=False))
        elif what == "interrupt":
            heard = {key: version + 1 for key, version in heard.items()}  # anything may have changed
            copies.changes_interrupted()
        elif what == "resume":
            heard = {key: version + 1 for key, version in heard.items()}
            copies.changes_resumed()
        for key, version in heard.items():
            copy = copied(copies, b"%d" % key, now=NOW)
            assert copy is None or copy.session.version == version


def test_the_fanout_tells_everybody_everything() -> None:
    """Each listener hears each event, in order."""
    first, second = Heard(), Heard()
    fanout = ChangeFanout([first, second])
    fanout.changes_resumed()
    fanout.session_changed(Change(key=KEY, ended=True))
    fanout.changes_interrupted()
    assert first.events == second.events == ["resumed", Change(key=KEY, ended=True), "interrupted"]
