"""Sign-outs as sign-ins under way learn of them: by whom they name, and only those that came since."""

import pytest
from structlog.testing import capture_logs

from bff.errors import StoreUnavailable
from bff.sessions import sign_outs
from bff.sessions.memory import MemoryStore
from support.session_samples import ISSUER, NOW, OTHER_ISSUER, a_grant

BROWSER, TAB, OTHER = b"browser", b"tab", b"other"


class Full(MemoryStore):
    """A store that takes no marks."""

    async def remember(self, name: str, *, value: str = "", lifetime_seconds: float, now: float) -> None:
        """There is no room."""
        raise StoreUnavailable("full", reason="store_full")


def a_store() -> MemoryStore:
    """An empty one."""
    return MemoryStore(idle_timeout_seconds=3600)


@pytest.mark.requirement("R-213")
async def test_a_sign_out_of_a_sid_is_that_of_no_other() -> None:
    """Issuer and `sid` both count; the subject is not looked at."""
    store = a_store()
    await sign_outs.note_user(store, issuer=ISSUER, subject="alice-subject", sid="alice-sid", now=NOW)
    said = {
        "the same": a_grant(),
        "another sid": a_grant(sid="other"),
        "no sid": a_grant(sid=None),
        "another issuer": a_grant(issuer=OTHER_ISSUER),
        "another subject": a_grant(subject="bob"),
    }
    found = {name: await sign_outs.user_since(store, grant, since=NOW - 1, now=NOW) for name, grant in said.items()}
    assert [name for name, signed_out in found.items() if signed_out] == ["the same", "another subject"]


@pytest.mark.requirement("R-213")
async def test_a_sign_out_of_a_subject_is_that_of_all_its_sids() -> None:
    """It is no sign-out of another subject, of another issuer's, or where no user is known."""
    store = a_store()
    await sign_outs.note_user(store, issuer=ISSUER, subject="None", now=NOW)
    assert not await sign_outs.user_since(store, a_grant(subject=None, sid=None), since=NOW - 1, now=NOW)
    await sign_outs.note_user(store, issuer=ISSUER, subject="alice-subject", now=NOW)
    said = [a_grant(), a_grant(sid=None), a_grant(subject="bob"), a_grant(issuer=OTHER_ISSUER)]
    found = [await sign_outs.user_since(store, grant, since=NOW - 1, now=NOW) for grant in said]
    assert found == [True, True, False, False]


@pytest.mark.requirement("R-183")
async def test_a_sign_out_of_a_browser_is_that_of_all_its_ids() -> None:
    """Those that it had when it signed out, and no others."""
    store = a_store()
    await sign_outs.note_browser(store, (BROWSER, TAB), now=NOW)
    found = [await sign_outs.browser_since(store, one, since=NOW - 1, now=NOW) for one in (BROWSER, TAB, OTHER)]
    assert found == [True, True, False]


@pytest.mark.requirement("R-183", "R-213")
async def test_only_a_sign_out_since_then_counts() -> None:
    """A sign-in that began at the sign-out or later is a new one. The note itself ends."""
    store = a_store()
    await sign_outs.note_browser(store, (BROWSER,), now=NOW)
    await sign_outs.note_user(store, issuer=ISSUER, subject="alice-subject", now=NOW)
    for since, later, signed_out in ((NOW - 1, 0.0, True), (NOW, 0.0, False), (NOW - 1, sign_outs.KEPT_SECONDS, False)):
        assert await sign_outs.browser_since(store, BROWSER, since=since, now=NOW + later) is signed_out
        assert await sign_outs.user_since(store, a_grant(), since=since, now=NOW + later) is signed_out


async def test_a_store_without_room_stops_no_sign_out() -> None:
    """The sessions that there are can be ended all the same; the log says what was not noted."""
    store = Full(idle_timeout_seconds=3600)
    with capture_logs() as logs:
        await sign_outs.note_browser(store, (BROWSER,), now=NOW)
        await sign_outs.note_user(store, issuer=ISSUER, subject="alice-subject", now=NOW)
    assert [(entry["event"], entry["reason"]) for entry in logs] == [("sign_out.not_noted", "store_full")] * 2
