"""`GET /user`: who is signed in, without a token and always `200`, so that a page can ask before it shows anything."""

from bff.request_head import Field, RequestHead
from bff.sessions.model import Grant, LiveSession
from bff.tokens import grants
from bff.web import cookies, guards, query
from bff.web.answers import OwnAnswer, json_answer
from bff.web.gateway import Gateway
from bff.web.problems import sign_in_url


async def user(gateway: Gateway, head: RequestHead) -> OwnAnswer:
    """`{"authenticated": false, "login_url"}`, or who it is and for how long; `?touch=0` does not extend the session.

    Raises:
        CsrfRefused: the call does not come from our own pages (its answer is not for other sites' scripts, ASVS V3.5.7).
        StoreUnavailable: the store does not answer.
    """
    guards.csrf(head, by="header", site=gateway.site)
    touch = query.parameters(head).get("touch") != "0"
    live = await guards.session(gateway, head, touch=touch)
    now = gateway.process.clock()
    alive = [grant for grant in live.session.grants if not grants.ended(grant, now=now)] if live else []
    if live is not None and alive:
        more = _cookie_signed_anew(gateway, head, live, now=now)
        return json_answer(_signed_in(gateway, live, alive, now=now), https=gateway.site.https, more=more)
    is_dead_cookie = gateway.cookies.session + b"=" in head.named.get(b"cookie", b"")
    more = (gateway.cookies.clear_session(),) if is_dead_cookie else ()
    first = next(iter(gateway.providers))
    signed_out = {"authenticated": False, "login_url": sign_in_url(gateway.site.base_path, provider=first)}
    return json_answer(signed_out, https=gateway.site.https, more=more)


def _cookie_signed_anew(gateway: Gateway, head: RequestHead, live: LiveSession, *, now: float) -> tuple[Field, ...]:
    """After a rotation of session keys: the same cookie under the newest key, with the same end."""
    value = cookies.find(head.named.get(b"cookie"), gateway.cookies.session)
    signed = None if value is None else gateway.signer.signed_anew(gateway.cookies.session, value)
    if signed is None:
        return ()
    left = live.session.absolute_expires_at - now if gateway.config.session.persistent else None
    return (gateway.cookies.set_session(signed, seconds=left),)


def _signed_in(gateway: Gateway, live: LiveSession, alive: list[Grant], *, now: float) -> dict[str, object]:
    newest = alive[0]
    by_provider = {grant.provider: grant for grant in alive}
    return {
        "authenticated": True,
        "provider": newest.provider,
        "claims": newest.claims,
        "session": {
            "idle_expires_in": max(0, round(live.idle_expires_at - now)),
            "absolute_expires_in": max(0, round(live.session.absolute_expires_at - now)),
        },
        "logins": {name: _login(gateway, name, by_provider.get(name)) for name in gateway.providers},
    }


def _login(gateway: Gateway, provider: str, grant: Grant | None) -> dict[str, object]:
    if grant is None:
        return {"authenticated": False, "login_url": sign_in_url(gateway.site.base_path, provider=provider)}
    return {"authenticated": True, "claims": grant.claims}
