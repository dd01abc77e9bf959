"""`POST /backchannel-logout/{provider}`: the provider tells us that a user signed out there (Back-Channel Logout 1.0).

No cookie and no CSRF header: the logout token's signature is the proof. Exactly 200, or 400 for any failure, ours included
(section 2.8), never cached.

A logout token works once: delivered again it is a success that does nothing, or whoever has kept one could sign its user out for as
long as it lives. It is remembered after the sessions have ended and not before, because a provider repeats what failed.
"""

import asyncio

import structlog
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bff import metrics
from bff.errors import BffError
from bff.oauth.logout import check_logout_token, parse_backchannel_body
from bff.sessions.ending import sessions_to_end
from bff.sessions.model import Grant
from bff.web.logout import revoke
from bff.web.parts import Parts
from bff.web.responses import answer

MAX_BODY_BYTES = 64 * 1024
MAX_BODY_SECONDS = 10.0

log = structlog.get_logger()


async def backchannel_logout(parts: Parts, request: Request) -> Response:
    """End the session of the token's `sid`, or without one all sessions of its `sub`; none at all is success, too."""
    name = request.path_params["provider"]
    try:
        ended = await _end_sessions(parts, name, request)
    except BffError as error:
        reason = getattr(error, "reason", type(error).__name__)
        log.warning(
            "backchannel_logout.refused", provider=name if name in parts.providers else "unknown", reason=reason
        )
        return answer(400, b'{"error": "invalid_request"}', "application/json", https=parts.site.https)
    metrics.LOGOUTS.labels("backchannel").inc(ended)
    log.info("backchannel_logout.done", provider=name, sessions=ended)
    return answer(200, b"", "text/plain; charset=utf-8", https=parts.site.https)


async def _end_sessions(parts: Parts, name: str, request: Request) -> int:
    """Judge the token and do what it says; returns how many sessions ended."""
    provider = parts.provider(name)
    logout_token = parse_backchannel_body(await _bounded_body(request), request.headers.get("content-type", ""))
    issuer = (await provider.metadata()).issuer
    verified = await provider.verify(logout_token, types=("logout+jwt", "JWT"))
    now = parts.clock()
    token = check_logout_token(
        verified,
        provider=name,
        issuer=issuer,
        client_id=provider.config.client_id,
        now=now,
        leeway=provider.config.leeway,
    )
    done = f"logout token {token.jti} of {issuer}"
    if await parts.store.remembers(done, now=now):
        return 0
    subject = None if token.sid is not None else token.subject
    keys = sessions_to_end(parts.store, issuer=issuer, subject=subject, sid=token.sid)
    ended = sum([await _end_session(parts, key, now=now) async for key in keys])
    await parts.store.remember(done, lifetime_seconds=token.expires_at - now, now=now)
    return ended


async def _end_session(parts: Parts, key: str, *, now: float) -> bool:
    """End one session, and what was granted for as long as it lasts; False if it was gone already."""
    live = await parts.store.read(key, touch=False, now=now)
    if not await parts.store.delete(key):
        return False
    if live is not None:
        parts.tasks.start(revoke(parts, [grant for grant in live.session.grants if _ends_with_session(parts, grant)]))
    return True


def _ends_with_session(parts: Parts, grant: Grant) -> bool:
    """Section 2.7: refresh tokens SHOULD be revoked, unless they were issued with `offline_access`, to outlive the session."""
    return parts.gave(grant) and "offline_access" not in parts.providers[grant.provider].config.scope.split()


async def _bounded_body(request: Request) -> bytes:
    """The content, bounded in size and time; nothing if it goes beyond or breaks off, which is refused as no logout token."""
    body = bytearray()
    try:
        async with asyncio.timeout(MAX_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    return b""
    except (TimeoutError, ClientDisconnect):
        return b""
    return bytes(body)
