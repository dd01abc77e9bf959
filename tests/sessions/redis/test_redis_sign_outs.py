"""Sign-outs noted by one process and looked for by another, whose clocks differ."""

from collections.abc import Callable

import pytest

from bff.sessions import sign_outs
from bff.sessions.redis.store import RedisStore
from support.session_samples import ISSUER, a_grant, ahead
from support.valkey_server import ValkeyServer

MakeStore = Callable[..., RedisStore]


@pytest.mark.requirement("R-183", "R-213", "R-349")
@pytest.mark.parametrize(("signing_out", "signing_in"), [(0, 240), (0, -240), (240, -240), (-240, 240)])
async def test_a_sign_out_at_one_process_is_told_from_a_sign_in_at_another(
    valkey: ValkeyServer, redis_store: MakeStore, signing_out: float, signing_in: float
) -> None:
    """A code that was sent a minute before the sign-out leads to no session, one that was sent a minute after it does."""
    theirs, ours = ahead(signing_out), ahead(signing_in)
    here, there = redis_store(valkey.url, clock=ours), redis_store(valkey.url, clock=theirs)
    await sign_outs.note_user(there, issuer=ISSUER, subject="alice-subject", now=theirs())
    await sign_outs.note_browser(there, [b"browser"], now=theirs())
    for sent, ended in ((-60, True), (60, False)):
        since = await here.shared_instant(ours() + sent)
        assert await sign_outs.user_since(here, a_grant(), since=since, now=ours()) is ended
        assert await sign_outs.browser_since(here, b"browser", since=since, now=ours()) is ended
