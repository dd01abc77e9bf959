"""`POST /backchannel-logout/{provider}`: the provider tells us that a user signed out there (Back-Channel Logout 1.0).

No cookie and no CSRF header: the logout token's signature is the proof. Exactly 200, or 400 for any failure, ours included
(section 2.8), never cached.
"""

import asyncio

import structlog
from starlette.requests import Request
from starlette.responses import Response

from bff import metrics
from bff.errors import BffError
from bff.oauth.logout import check_logout_token, parse_backchannel_body
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
    provider = parts.provider(name)
    logout_token = parse_backchannel_body(await _bounded_body(request), request.headers.get("content-type", ""))
    issuer = (await provider.metadata()).issuer
    token = check_logout_token(
        await provider.verify(logout_token, types=("logout+jwt", "JWT")),
        provider=name,
        issuer=issuer,
        client_id=provider.config.client_id,
        now=parts.clock(),
        leeway=provider.config.leeway,
    )
    if token.sid is not None:
        keys = await parts.store.find(issuer=issuer, sid=token.sid)
    else:
        keys = await parts.store.find(issuer=issuer, subject=token.subject)
    for key in keys:
        await parts.store.delete(key)
    return len(keys)


async def _bounded_body(request: Request) -> bytes:
    """The content, bounded in size and time; nothing if it goes beyond, which is no logout token and refused as such."""
    body = bytearray()
    try:
        async with asyncio.timeout(MAX_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    return b""
    except TimeoutError:
        return b""
    return bytes(body)
