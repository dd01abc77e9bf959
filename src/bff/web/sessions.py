"""`/sessions`: the signed-in user's own sessions, to look at and to end (ASVS V7.5.2). Never a token, nothing that opens a session.

The user is every (issuer, subject) that the session was given by this gateway's providers. An id is the beginning of the name under
which the store keeps the session, which is a hash: it opens nothing.
"""

from bff.errors import LoginRequired, NoRoute
from bff.request_head import RequestHead
from bff.sessions import fates
from bff.sessions.model import LiveSession, shown_id
from bff.tokens import grants
from bff.web import guards, transactions
from bff.web.answers import OwnAnswer, answer, json_answer
from bff.web.gateway import Gateway


async def list_sessions(gateway: Gateway, head: RequestHead) -> OwnAnswer:
    """`{"sessions": [...]}`, the latest sign-in first.

    Raises:
        CsrfRefused, LoginRequired, StoreUnavailable.
    """
    current = await _signed_in(gateway, head)
    listed = [_listed(gateway, live, current) for live in await _own(gateway, current)]
    return json_answer({"sessions": listed}, https=gateway.site.https)


async def end_session(gateway: Gateway, head: RequestHead, session: str) -> OwnAnswer:
    """`204`: the session of this id is over.

    Raises:
        NoRoute: the user has no session of this id.
        CsrfRefused, LoginRequired, StoreUnavailable.
    """
    current = await _signed_in(gateway, head)
    found = [live for live in await _own(gateway, current) if shown_id(live.session.key) == session]
    if not found:
        raise NoRoute("There is no such session of yours.")
    is_current = found[0].session.key == current.session.key
    if is_current:
        await transactions.note_sign_out(gateway, head)
    await _end(gateway, found[0])
    more = (gateway.cookies.clear_session(), *transactions.forgotten_by_browser(gateway, head)) if is_current else ()
    return answer(204, b"", "text/plain; charset=utf-8", https=gateway.site.https, more=more)


async def end_other_sessions(gateway: Gateway, head: RequestHead) -> OwnAnswer:
    """`204`: every session of the user but this one is over.

    Raises:
        CsrfRefused, LoginRequired, StoreUnavailable.
    """
    current = await _signed_in(gateway, head)
    for live in await _own(gateway, current):
        if live.session.key != current.session.key:
            await _end(gateway, live)
    return answer(204, b"", "text/plain; charset=utf-8", https=gateway.site.https)


async def _signed_in(gateway: Gateway, head: RequestHead) -> LiveSession:
    guards.csrf(head, by="header", site=gateway.site)
    live = await guards.session(gateway, head, touch=False)
    now = gateway.process.clock()
    if live is None or all(grants.ended(grant, now=now) for grant in live.session.grants):
        raise LoginRequired("Sign in to see your sessions.", provider=next(iter(gateway.providers)))
    return live


async def _own(gateway: Gateway, current: LiveSession) -> list[LiveSession]:
    """Every session with a grant of ours for one of the current session's users."""
    store, now = gateway.process.store, gateway.process.clock()
    users = {(grant.issuer, grant.subject) for grant in current.session.grants if grant.subject is not None}
    keys = {current.session.key}
    for issuer, subject in users:
        keys.update(await store.find(issuer=issuer, subject=subject))
    found = [await store.read(key, touch=False, now=now) for key in keys]
    own = [live for live in found if live is not None and _is_of(gateway, live, users, current)]
    return sorted(own, key=lambda live: (live.session.created_at, live.session.key), reverse=True)


def _is_of(gateway: Gateway, live: LiveSession, users: set[tuple[str, str]], current: LiveSession) -> bool:
    of_user = any((grant.issuer, grant.subject) in users and gateway.gave(grant) for grant in live.session.grants)
    return of_user or live.session.key == current.session.key


async def _end(gateway: Gateway, live: LiveSession) -> None:
    if await gateway.process.store.delete(live.session.key):
        await fates.ended(gateway.process.store, live.session.key, cause="user", now=gateway.process.clock())
        gateway.revoke(live.session.grants)


def _listed(gateway: Gateway, live: LiveSession, current: LiveSession) -> dict[str, object]:
    session, idle = live.session, gateway.config.session.idle_timeout
    return {
        "id": shown_id(session.key),
        "current": session.key == current.session.key,
        "created_at": int(session.created_at),
        "last_used_at": int(live.last_used_at(idle_timeout_seconds=idle)),
        "expires_at": int(live.idle_expires_at),
        "providers": [grant.provider for grant in session.grants if gateway.gave(grant)],
        "user_agent": session.user_agent,
    }
