"""`GET /user`: who is signed in, without a token and always `200`, so that a page can ask before it shows anything."""

from starlette.requests import Request
from starlette.responses import Response

from bff.sessions.model import Grant, LiveSession
from bff.tokens import grants
from bff.web import cookies, facts, guards
from bff.web.parts import Parts
from bff.web.problems import login_url
from bff.web.responses import json_answer


async def user(parts: Parts, request: Request) -> Response:
    """`{"authenticated": false, "login_url"}`, or who it is and for how long; `?touch=0` does not extend the session.

    Raises:
        CsrfRefused: the call does not come from our own pages (its answer is not for other sites' scripts, ASVS V3.5.7).
        StoreUnavailable: nobody can tell.
    """
    seen = facts.read(request.scope["headers"])
    guards.csrf(seen, by="header", method="GET", public_origin=parts.site.origin_bytes)
    touch = request.query_params.get("touch") != "0"
    live = await guards.session(parts, seen, touch=touch)
    now = parts.clock()
    alive = [grant for grant in live.session.grants if not grants.ended(grant, now=now)] if live else []
    if live is None or not alive:
        dead_cookie = cookies.clear_session() if cookies.SESSION_NAME + b"=" in seen.get(b"cookie", b"") else None
        first = next(iter(parts.providers))
        nobody = {"authenticated": False, "login_url": login_url(parts.site.base_path, provider=first)}
        return json_answer(nobody, https=parts.site.https, set_cookie=dead_cookie)
    return json_answer(_signed_in(parts, live, alive, now=now), https=parts.site.https)


def _signed_in(parts: Parts, live: LiveSession, alive: list[Grant], *, now: float) -> dict[str, object]:
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
        "logins": {name: _login(parts, name, by_provider.get(name)) for name in parts.providers},
    }


def _login(parts: Parts, provider: str, grant: Grant | None) -> dict[str, object]:
    if grant is None:
        return {"authenticated": False, "login_url": login_url(parts.site.base_path, provider=provider)}
    return {"authenticated": True, "claims": grant.claims}
