"""`GET /frontchannel-logout/{provider}`: the provider loads this in a frame of its own sign-out page (OpenID Connect Front-Channel
Logout 1.0).

The frame brings no cookie of ours (SameSite=Strict, and browsers block third-party cookies), so `iss` and `sid` name the session. A
caller needs no proof, but has to know a `sid`, which the provider and we alone do. So nothing is revoked, and the switch is off unless
configured: back-channel logout, whose token is signed, is the one to use.
"""

from urllib.parse import urlsplit

from bff.errors import MalformedRequest, NoRoute
from bff.request_head import RequestHead
from bff.sessions import fates
from bff.sessions.ending import sessions_to_end
from bff.telemetry.sign_in import frontchannel_logout_done
from bff.web import query
from bff.web.answers import OwnAnswer, answer
from bff.web.gateway import Gateway


async def frontchannel_logout(gateway: Gateway, head: RequestHead, name: str) -> OwnAnswer:
    """End the session of this `iss` and `sid`; none at all is success, too. Only the provider may frame the answer.

    Raises:
        NoRoute: the provider takes no part in it.
        MalformedRequest: no such provider; `iss` or `sid` is missing or repeated.
        ProviderError, StoreUnavailable: the session could not be ended.
    """
    provider = gateway.provider(name)
    if not provider.config.frontchannel_logout:
        raise NoRoute("There is no such endpoint.", reason="no_endpoint")
    asked = query.parameters(head, once=("iss", "sid"))
    issuer, sid = asked.get("iss"), asked.get("sid")
    if not issuer or not sid:
        raise MalformedRequest("iss and sid must be given.")
    known = await provider.metadata()
    keys = sessions_to_end(gateway.process.store, issuer=issuer, sid=sid)
    ended = sum([await _end_session(gateway, key, provider=name, issuer=issuer, sid=sid) async for key in keys])
    frontchannel_logout_done(provider=name, sessions=ended)
    framing = {_origin(url) for url in (known.issuer, known.authorization_endpoint, known.end_session_endpoint) if url}
    csp = f"default-src 'none'; frame-ancestors {' '.join(sorted(framing))}"
    field = (b"content-security-policy", csp.encode("ascii"))
    return answer(200, b"", "text/html; charset=utf-8", https=gateway.site.https, csp=field)


async def _end_session(gateway: Gateway, key: str, *, provider: str, issuer: str, sid: str) -> bool:
    """End one session, if this provider gave it this `sid`, as us."""
    store = gateway.process.store
    live = await store.read(key, touch=False, now=gateway.process.clock())
    if live is None or not any(map(gateway.gave, live.session.grants)):
        return False
    if (provider, issuer, sid) not in {(user.provider, user.issuer, user.sid) for user in live.session.users}:
        return False
    if not await store.delete(key):
        return False
    await fates.ended(store, key, cause="frontchannel", now=gateway.process.clock())
    return True


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
