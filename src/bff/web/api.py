"""Everything that is not below `base_path`: the recipe of a forwarded request, every security check a visible line.

    1 routes.match      pure, on the raw path                              404, 405, 400
    2 guards.csrf       header, Sec-Fetch-Site, Origin                     403
    3 guards.session    cookie -> local copy, else signature -> store      401, 503
    4 usable token      fresh or stale: at once                            503, 401
    5, 6 forwarder      rewritten and sent                                 502, 504
    7 relay             status, fields, content with back-pressure

Straight from the ASGI scope: no router, no Request object, no task of ours.
"""

import asyncio
from contextlib import nullcontext
from typing import Any
from urllib.parse import quote

from bff import metrics
from bff.errors import BffError, BrowserGone, LoginRequired, NoRoute
from bff.proxy.response import UpstreamResponse
from bff.proxy.routes import Match
from bff.sessions.model import AccessToken, LiveSession
from bff.tokens import grants
from bff.web import facts, guards, navigation
from bff.web.access import RouteAccess
from bff.web.facts import Facts
from bff.web.parts import Parts
from bff.web.problems import login_url
from bff.web.responses import redirect

CIRCLE_SECONDS = 10.0

Scope = Any
Receive = Any
Send = Any


async def api(parts: Parts, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one HTTP request to a route.

    Raises:
        BffError: see the table above; nothing was sent to the browser then.
        BrokenTransfer: the upstream broke off after the answer had begun.
    """
    method: str = scope["method"]
    match = parts.routes.match(scope["raw_path"], method.encode("ascii"))
    access = parts.access[match.route.prefix]
    seen = facts.read(scope["headers"])
    guards.host(parts, seen, scope)
    guards.transport(parts, seen, scope)
    if access.serves_files:
        await parts.files[match.route.prefix].send(match, seen, scope, receive, send)
        return
    opening = facts.is_navigation(seen, method=method)
    if opening and access.csrf == "origin" and access.asks_csrf and navigation.comes_from_elsewhere(seen):
        await navigation.bounce_page(scope, https=parts.site.https)(scope, receive, send)
        return
    live: LiveSession | None = None
    try:
        if access.asks_csrf and not opening:
            guards.csrf(seen, by=access.csrf, method=method, public_origin=parts.site.origin_bytes)
        live = await guards.session(parts, seen, touch=True) if access.reads_session else None
        if live is None and access.needs_session:
            raise LoginRequired("Nobody is signed in here.", provider=parts.provider(access.provider).name)
        if access.asks_csrf and opening:
            # judged late: who is not signed in goes to sign in, whatever could not be proved
            guards.csrf(seen, by=access.csrf, method=method, public_origin=parts.site.origin_bytes)
        token = await usable_token(parts, access, live)
    except LoginRequired as needed:
        if not opening or _signed_in_just_now(live, provider=needed.provider, now=parts.clock()):
            raise
        await _to_sign_in(parts, needed, seen, scope, receive, send)
        return
    response = await parts.forwarder.send(match, scope, receive, bearer=token.value if token else None)
    if response.status == 401 and token is not None:
        response = await _once_more(parts, access, live, match, scope, receive, response=response, rejected=token)
    metrics.request_counter(access.label, response.status)()
    await _relay(parts, live, access, response, send)


async def _relay(
    parts: Parts, live: LiveSession | None, access: RouteAccess, response: UpstreamResponse, send: Send
) -> None:
    try:
        if live is not None and _is_event_stream(response):
            await _relay_while_signed_in(parts, live, access, response, send)
        else:
            await response.relay(send)
    except BrowserGone:
        return  # nobody waits for the rest
    except BffError as error:
        raise BrokenTransfer from error


class BrokenTransfer(Exception):
    """The answer had begun and cannot be completed: the server must close the connection, never end the body cleanly."""


def _is_event_stream(response: UpstreamResponse) -> bool:
    for name, value in response.fields:
        if name == b"content-type":
            return value.startswith(b"text/event-stream")
    return False


async def _relay_while_signed_in(
    parts: Parts, live: LiveSession, access: RouteAccess, response: UpstreamResponse, send: Send
) -> None:
    """An event stream ends when its session does; the page then reconnects and gets its 401."""
    ended = LoginRequired("The session has ended.", provider=access.provider or "")
    with parts.streams.opened(live.session.key, end=lambda: response.fail(ended)):
        await response.relay(send)


async def websocket(parts: Parts, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one WebSocket handshake to a route; `Origin` is judged before anything else is looked at.

    Raises:
        BffError: refused; the handshake is still unanswered then.
    """
    match = parts.routes.match(scope["raw_path"], b"GET")
    access = parts.access[match.route.prefix]
    seen = facts.read(scope["headers"])
    guards.host(parts, seen, scope)
    guards.transport(parts, seen, scope)
    guards.websocket_origin(seen, public_origin=parts.site.origin_bytes)
    if not match.route.config.websocket:
        raise NoRoute("This path takes no WebSockets.")
    live = await guards.session(parts, seen, touch=True) if access.reads_session else None
    if live is None and access.needs_session:
        raise LoginRequired("Nobody is signed in here.", provider=parts.provider(access.provider).name)
    token = await usable_token(parts, access, live)
    ended = asyncio.Event()
    with parts.streams.opened(live.session.key, end=ended.set) if live else nullcontext():
        await parts.forwarder.websocket(match, scope, receive, send, bearer=token.value if token else None, ended=ended)


async def usable_token(parts: Parts, access: RouteAccess, live: LiveSession | None) -> AccessToken | None:
    """Whose token the upstream gets: the user's if the route takes it and there is one, else our own if it takes that.

    Raises:
        LoginRequired: the route wants the user's, and there is none from its provider; or a user, and no sign-in lasts.
        ProviderError, StoreUnavailable: none to be had now.
    """
    if access.provider is None:
        return None
    if live is not None and takes_users_token(parts, access, live, provider=access.provider):
        return await parts.refresher.usable(live.session, provider=access.provider, target=access.target)
    if access.takes_client:
        if access.needs_session and not _is_signed_in(live, now=parts.clock()):
            raise LoginRequired("The sign-in has ended.", provider=access.provider)
        return await parts.client_credentials.usable(provider=access.provider, target=access.target)
    return None


def takes_users_token(parts: Parts, access: RouteAccess, live: LiveSession, *, provider: str) -> bool:
    """Whether this request goes out with the user's own token; without a grant a route may have another answer than 401."""
    if not access.takes_user or access.needs_session:
        return access.takes_user
    grant = live.session.grant(provider)
    return grant is not None and not grants.ended(grant, now=parts.clock())


def _is_signed_in(live: LiveSession | None, *, now: float) -> bool:
    """Whether any provider still knows the user: no session outlives the last of its refresh tokens (R-022)."""
    return live is not None and not all(grants.ended(grant, now=now) for grant in live.session.grants)


async def _once_more(
    parts: Parts,
    access: RouteAccess,
    live: LiveSession | None,
    match: Match,
    scope: Scope,
    receive: Receive,
    *,
    response: UpstreamResponse,
    rejected: AccessToken,
) -> UpstreamResponse:
    """The upstream rejected a token that we held to be good: ask again with another, if there is one (R-154)."""
    another = another_token(parts, access, live, rejected)
    if not response.replayable:
        parts.tasks.start(another)  # the next request will have it
        return response
    token = await another
    if token is None:
        return response
    response.discard()
    return await parts.forwarder.send(match, scope, receive, bearer=token.value)


async def another_token(
    parts: Parts, access: RouteAccess, live: LiveSession | None, rejected: AccessToken
) -> AccessToken | None:
    """A token of the same kind as the rejected one, in its place; None if there is none to be had now."""
    provider = access.provider or ""
    if live is not None and takes_users_token(parts, access, live, provider=provider):
        return await parts.refresher.instead_of(rejected, live.session, provider=provider, target=access.target)
    return await parts.client_credentials.instead_of(rejected, provider=provider, target=access.target)


def _signed_in_just_now(live: LiveSession | None, *, provider: str, now: float) -> bool:
    """A sign-in there that did not help a moment ago will not help now: no navigation may run in circles."""
    grant = live.session.grant(provider) if live is not None else None
    return grant is not None and now - grant.granted_at < CIRCLE_SECONDS


async def _to_sign_in(
    parts: Parts, needed: LoginRequired, seen: Facts, scope: Scope, receive: Receive, send: Send
) -> None:
    """A person waits for a page: repeat the navigation from our own site, or begin the sign-in that it needs."""
    https = parts.site.https
    if navigation.must_bounce(seen):
        await navigation.bounce_page(scope, https=https)(scope, receive, send)
        return
    url = login_url(parts.site.base_path, provider=needed.provider)
    back = quote(navigation.requested_path(scope), safe="/")
    await redirect(f"{url}&return_to={back}", https=https)(scope, receive, send)
