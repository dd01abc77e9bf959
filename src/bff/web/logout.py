"""`POST /logout`: the session ends here first, then tokens are revoked, then the answer names the URL of the provider's sign-out.

Order matters (ASVS V7.4.1): once this answers, the cookie is dead everywhere, also if the provider fails. Revocation never holds
the answer up (RFC 7009 section 2.2). Without a session it succeeds as well.
"""

import secrets

from bff.errors import ProviderError
from bff.oauth.logout import build_end_session_url
from bff.request_head import RequestHead
from bff.sessions import fates
from bff.sessions.model import Grant, LiveSession
from bff.web import guards, transactions
from bff.web.answers import OwnAnswer, json_answer, redirect
from bff.web.gateway import Gateway

# What the app kept for its user goes as well (ASVS V14.3.1). Not "cache": Chromium takes seconds to clear it and answers only then
# (crbug.com/40233601), and nothing that was sent with a token is stored there unless the API allows it.
CLEAR_SITE_DATA = (b"clear-site-data", b'"storage"')


async def logout(gateway: Gateway, head: RequestHead) -> OwnAnswer:
    """`200 {"logout_url"}` to fetch, `303` there to a form post of our own pages.

    Raises:
        CsrfRefused: the call does not come from our own pages.
        StoreUnavailable: the session could not be ended; it and its cookie stay.
    """
    by_form = b"x-csrf" not in head.named
    guards.csrf(head, by="origin" if by_form else "header", site=gateway.site)
    ended = await _end_sessions(gateway, head)
    url = await _logout_url(gateway, next((grant for live in ended for grant in live.session.grants), None))
    own = gateway.cookies
    more = (own.clear_session(), *transactions.forgotten_by_browser(gateway, head), own.set_signed_out())
    if gateway.config.session.clear_site_data:
        more += (CLEAR_SITE_DATA,)
    if by_form:
        return redirect(url, https=gateway.site.https, more=more)
    return json_answer({"logout_url": url}, https=gateway.site.https, more=more)


async def _end_sessions(gateway: Gateway, head: RequestHead) -> list[LiveSession]:
    """End this browser's session, and those that sign-ins make of it meanwhile: one under way ends without (`sign_outs.py`).

    A session cookie of ours is enough for the note: a sign-in may be just replacing its session, and then neither is found.
    """
    store = gateway.process.store
    if guards.own_session_key(gateway, head) is not None:
        await transactions.note_sign_out(gateway, head)
    successors = await transactions.latest_sessions(gateway, head)
    ended = await guards.sessions_to_end(gateway, head, successors=successors)
    for live in ended:
        if await store.delete(live.session.key):
            await fates.ended(store, live.session.key, cause="logout", now=gateway.process.clock())
        gateway.revoke(live.session.grants)
    return ended


async def _logout_url(gateway: Gateway, grant: Grant | None) -> str:
    """The provider's end-session URL (RP-Initiated Logout 1.0 section 2), or our own page where it has none."""
    landing = gateway.config.pages.signed_out or "/"
    if grant is None:
        return landing
    provider = gateway.providers[grant.provider]
    try:
        endpoint = (await provider.metadata()).end_session_endpoint
    except ProviderError:
        return landing
    if endpoint is None:
        return landing
    return build_end_session_url(
        end_session_endpoint=endpoint,
        client_id=provider.config.client_id,
        id_token_hint=grant.id_token,
        post_logout_redirect_uri=gateway.site.url(landing),
        state=secrets.token_urlsafe(16),
        extra=provider.config.end_session_params,
    )
