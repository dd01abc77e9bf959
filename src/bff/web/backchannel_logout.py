"""`POST /backchannel-logout/{provider}`: the provider reports that a user signed out there (Back-Channel Logout 1.0).

No cookie and no CSRF header: the logout token's signature is the proof. Exactly 200, or 400 for any failure, ours included
(section 2.8), never cached.

A logout token works once: delivered again it is a success that does nothing, or a copy of it could sign its user out for as long as
it lives. It is remembered after the sessions have ended and not before, because a provider repeats what failed. If the store has no
room to remember it the answer is 200 all the same: the sessions have ended.
"""

from contextlib import suppress

from bff.errors import BffError, StoreUnavailable
from bff.oauth.logout import check_logout_token, parse_backchannel_body
from bff.proxy.browser import Receive
from bff.request_head import RequestHead
from bff.sessions import fates, sign_outs
from bff.sessions.ending import sessions_to_end
from bff.sessions.model import Grant
from bff.telemetry import sign_in as telemetry
from bff.web.answers import OwnAnswer, answer
from bff.web.content import bounded_content, content_type
from bff.web.gateway import Gateway


async def backchannel_logout(gateway: Gateway, head: RequestHead, name: str, receive: Receive) -> OwnAnswer:
    """End the session of the token's `sid`, or without one all sessions of its `sub`; none at all is success, too."""
    try:
        ended = await _end_sessions(gateway, head, name, receive)
    except BffError as error:
        telemetry.backchannel_logout_refused(error, provider=name if name in gateway.providers else "unknown")
        return answer(400, b'{"error": "invalid_request"}', "application/json", https=gateway.site.https)
    telemetry.backchannel_logout_done(provider=name, sessions=ended)
    return answer(200, b"", "text/plain; charset=utf-8", https=gateway.site.https)


async def _end_sessions(gateway: Gateway, head: RequestHead, name: str, receive: Receive) -> int:
    """Judge the token and end its sessions; returns how many sessions ended."""
    provider = gateway.provider(name)
    logout_token = parse_backchannel_body(await bounded_content(receive), content_type(head))
    issuer = (await provider.metadata()).issuer
    verified = await provider.identity.verify(logout_token, types=("logout+jwt", "JWT"), anonymous=True)
    now = gateway.process.clock()
    token = check_logout_token(
        verified,
        provider=name,
        issuer=issuer,
        client_id=provider.config.client_id,
        now=now,
        leeway=provider.config.leeway,
        allowed_tenants=provider.config.allowed_tenants or (),
        trusted_audiences=provider.config.trusted_audiences,
    )
    done = f"logout token {token.jti} of {token.issuer}"
    if await gateway.process.store.remembers(done, now=now):
        return 0
    subject = None if token.sid is not None else token.subject
    await sign_outs.note_user(gateway.process.store, issuer=token.issuer, subject=subject, sid=token.sid, now=now)
    keys = sessions_to_end(gateway.process.store, issuer=token.issuer, subject=subject, sid=token.sid)
    ended = sum([await _end_session(gateway, key, now=now) async for key in keys])
    with suppress(StoreUnavailable):  # a full store: the sessions have ended, which is what the provider asks about
        await gateway.process.store.remember(done, lifetime_seconds=token.expires_at - now, now=now)
    return ended


async def _end_session(gateway: Gateway, key: str, *, now: float) -> bool:
    """End one session, and what was granted for as long as it lasts; False if it was gone already."""
    live = await gateway.process.store.read(key, touch=False, now=now)
    if live is not None and not any(map(gateway.gave, live.session.grants)):
        return False  # of another gateway on this store, which gets a logout token of its own
    if not await gateway.process.store.delete(key):
        return False
    await fates.ended(gateway.process.store, key, cause="backchannel", now=now)
    if live is not None:
        gateway.revoke(grant for grant in live.session.grants if _ends_with_session(gateway, grant))
    return True


def _ends_with_session(gateway: Gateway, grant: Grant) -> bool:
    """Section 2.7: refresh tokens SHOULD be revoked, unless they were issued with `offline_access`, to outlive the session."""
    return gateway.gave(grant) and "offline_access" not in gateway.providers[grant.provider].config.scope.split()
