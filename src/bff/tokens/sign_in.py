"""Keeping what a sign-in gave us: always under a new session id; the old one dies (ASVS V7.2.4)."""

import math
from dataclasses import dataclass, replace

from bff.sessions import fates
from bff.sessions.model import Grant, Session, new_session_id, session_key
from bff.sessions.store import Begun, Mark, SessionStore
from bff.tokens.holder import token_hash
from bff.tokens.lease import LIFETIME_SECONDS, lease

PATIENCE_SECONDS = 10.0  # a person waits


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSignIn:
    """Where a sign-in is kept now, and what the session before it held of another user: nobody holds that any more."""

    session_id: str
    left_behind: tuple[Grant, ...] = ()


async def keep_sign_in(
    store: SessionStore,
    *,
    grant: Grant,
    previous_key: str | None,
    absolute_timeout_seconds: float,
    now: float,
    ends_at: float | None = None,
    user_agent: str | None = None,
    patience_seconds: float = PATIENCE_SECONDS,
) -> KeptSignIn:
    """Create the session that holds `grant`, and what the previous session held from other providers.

    `ends_at` is the end that the provider gives the session, where it says one; ours may be sooner.

    The lease of the previous session is taken first: a refresh in flight would otherwise store its rotated refresh token in a
    session that is about to die. A refresh that takes longer than `patience_seconds`, because its provider hangs, does not hold up the
    sign-in: the grant that it renews stays behind, and its answer finds no session.

    Raises:
        StoreUnavailable: nothing was kept that a browser could use.
    """
    session_id = new_session_id()
    fresh = Session(
        key=session_key(session_id),
        version=0,
        created_at=now,
        absolute_expires_at=min(now + absolute_timeout_seconds, math.inf if ends_at is None else ends_at),
        grants=(grant,),
        user_agent=user_agent,
    )
    if previous_key is None:
        await store.create(fresh, now=now)
        return KeptSignIn(session_id=session_id)
    async with lease(store, previous_key, patience_seconds=patience_seconds) as holder:
        live = await store.read(previous_key, touch=False, now=now)
        previous = None if live is None else await _without_spent(store, live.session, holder)
        created = await store.create(_with_other_grants(fresh, previous), now=now)
        taken_over = live is None or await store.delete(previous_key)
        if live is not None and taken_over:
            await fates.ended(store, previous_key, cause="replaced", now=now)
        if not taken_over:  # it ended after we read it: a sign-out is final for all that it held
            await store.replace(replace(created, grants=(grant,), earlier_users=()), now=now)
            previous = None  # and whoever ended it revokes that
    return KeptSignIn(session_id=session_id, left_behind=_of_another_user(previous, grant))


async def _without_spent(store: SessionStore, previous: Session, holder: str) -> Session:
    """Leave out grants whose refresh token another process may have spent, or is about to: its answer will find no session any more,
    and the token must not be sent once more from another session (R-341)."""
    for grant in previous.grants:
        mark = Mark(provider=grant.provider, token_hash=token_hash(grant.refresh_token or ""))
        begun = await store.begin_renewal(
            previous.key, holder, lifetime_seconds=LIFETIME_SECONDS, mark=mark, mark_lifetime_seconds=LIFETIME_SECONDS
        )
        if begun is not Begun.YES:
            previous = previous.without_grant(grant.provider)
    return previous


def _of_another_user(previous: Session | None, grant: Grant) -> tuple[Grant, ...]:
    return previous.grants if previous is not None and previous.is_of_another_user(grant) else ()


def _with_other_grants(fresh: Session, previous: Session | None) -> Session:
    """Carry over what other providers granted, unless another user has signed in; carried grants keep their deadline."""
    grant = fresh.grants[0]
    if previous is None or previous.is_of_another_user(grant):
        return fresh
    carried = previous.without_grant(grant.provider).with_grant(grant)
    deadline = fresh.absolute_expires_at
    if len(carried.grants) > 1:
        deadline = min(deadline, previous.absolute_expires_at)
    return replace(fresh, grants=carried.grants, earlier_users=carried.earlier_users, absolute_expires_at=deadline)
