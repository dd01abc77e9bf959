"""Page loads that come from elsewhere, and those that need a sign-in. No sequence of these may loop.

from elsewhere   A Strict cookie is withheld when a navigation comes from another site, and another site may lead a signed-in person
                 to an address that does something. So a page load that comes from another origin does not reach an upstream: it is
                 answered with a page of ours that leads on, after a click, or at once where the route says `cross_site_pages`. What
                 follows has `Sec-Fetch-Site: same-origin`, so it is never answered like this again.
to sign-in       `/login` from another site is repeated at once, to see whether there is a session; if it is to end on a page as
                 above it needs the click: a sign-in must not be a way round it.
fragments       The pages above keep the fragment of their own address, which only the browser knows, over a form at the provider. An
                address that was typed, or opened from a mail program, meets such a page at `/login` (R-309).
the way back     The redirect from the provider counts as coming from another site, also where the browser says otherwise. So the
                 callback leads to such a page by a page of ours, which needs no `Sec-Fetch-Site`.
a failure       `pages.sign_in_error` begins no sign-in by itself, if it is guarded by mistake.
the breaker      The callback notes in a cookie when it led there, and `/login` when a sign-in that cannot begin led to a page of the
                 app. A page load that finds two such marks of the last minute and no session is not sent to sign in a third time,
                 and a third sign-in that cannot begin ends on a page of ours (R-301).
"""

import re

from bff.errors import BffError, LoginRequired, PlainHttp, SignInLoop
from bff.request_head import Field, RequestHead
from bff.sessions.model import LiveSession
from bff.web import cookies, pages
from bff.web.answers import OwnAnswer, redirect
from bff.web.gateway import Gateway
from bff.web.pages import bounce_page, look_of, page_answer, question_page, requested_path, with_return_to
from bff.web.problems import login_url
from bff.web.route_policy import RoutePolicy

CIRCLE_SECONDS = 10.0
ROUNDS_SECONDS = 60
MAX_ROUNDS = 2

_MARK = re.compile(rb"[0-9]{1,12}")


def must_bounce(head: RequestHead, *, session_cookie: bytes) -> bool:
    """Whether the session cookie may only be missing because the navigation came from another site."""
    cross_site = head.named.get(b"sec-fetch-site") == b"cross-site"
    return cross_site and cookies.find(head.named.get(b"cookie"), session_cookie) is None


def comes_from_elsewhere(head: RequestHead) -> bool:
    """Whether another origin led here, or took part in it; for an address that was typed the field is `none`."""
    return head.named.get(b"sec-fetch-site") in {b"cross-site", b"same-site"}


def must_click(gateway: Gateway, head: RequestHead, *, return_to: str) -> bool:
    """Whether a sign-in that another origin begins would end on a page that only a click may lead to."""
    policy = _policy_of_page(gateway, return_to)
    return policy is not None and not policy.cross_site_pages and comes_from_elsewhere(head)


def may_have_fragment(gateway: Gateway, head: RequestHead, *, return_to: str) -> bool:
    """Whether a sign-in begins with an address that a person typed or opened from a mail: a page of ours that is guarded sent it here.

    From other sites such an address comes by a page that keeps the fragment already, and from our own the app says it in `return_to`.
    """
    typed = head.named.get(b"sec-fetch-site") == b"none" and head.named.get(b"sec-fetch-dest") == b"document"
    return typed and head.is_navigation and _policy_of_page(gateway, return_to) is not None


def lead_on(gateway: Gateway, head: RequestHead, *, at_once: bool) -> OwnAnswer:
    """The page that repeats this page load from our own site, at once or after a click."""
    url, look = requested_path(head), look_of(gateway.config)
    # Right after a sign-in the page puts back what was kept before it.
    keep = None if at_once and _rounds(gateway, head) else url
    page = bounce_page(url, look, keep=keep) if at_once else question_page(url, look, keep=keep)
    return page_answer(200, page, https=gateway.site.https)


def lead_on_to_sign_in(
    gateway: Gateway, head: RequestHead, *, at_once: bool, return_to: str, more: str = ""
) -> OwnAnswer:
    """The page that repeats this call of `/login` from our own site, with `more` in its query."""
    url, look = requested_path(head, longest=gateway.config.limits.max_target) + more, look_of(gateway.config)
    page = bounce_page(url, look, keep=return_to) if at_once else question_page(url, look, keep=return_to)
    return page_answer(200, page, https=gateway.site.https)


def way_back(gateway: Gateway, head: RequestHead, return_to: str, *, more: tuple[Field, ...]) -> OwnAnswer:
    """The answer that leads from a completed sign-in to where it began."""
    https = gateway.site.https
    policy = _policy_of_page(gateway, return_to)
    if policy is None:
        return redirect(return_to, https=https, more=more)
    marked = (*more, mark_of_round(gateway, head))
    if policy.cross_site_pages and b"sec-fetch-site" in head.named:
        return redirect(return_to, https=https, more=marked)  # the page load that follows is repeated itself
    return page_answer(200, bounce_page(return_to, look_of(gateway.config)), https=https, more=marked)


def signed_in_just_now(live: LiveSession | None, *, provider: str, now: float) -> bool:
    """A sign-in there that did not help a moment ago will not help now: no navigation may run in circles."""
    grant = live.session.grant(provider) if live is not None else None
    return grant is not None and abs(now - grant.granted_at) < CIRCLE_SECONDS  # a clock set back lengthens no circle


def to_our_site(gateway: Gateway, head: RequestHead, policy: RoutePolicy) -> OwnAnswer:
    """Another origin led here: the page that goes on from our own. A provider's sign-out leads here too: the page that says so."""
    if policy.needs_session and has_signed_out(gateway, head):
        needed = LoginRequired("There is no session.", provider=gateway.provider(policy.provider).name)
        return to_sign_in(gateway, needed, head)
    return lead_on(gateway, head, at_once=policy.cross_site_pages)


def to_sign_in(gateway: Gateway, needed: LoginRequired, head: RequestHead) -> OwnAnswer:
    """A person waits for a page: begin the sign-in that it needs.

    Raises:
        SignInLoop: two sign-ins have just not helped.
        LoginRequired: a failed sign-in led to this page: it must not begin the next one by itself.
    """
    if tells_of_failure(gateway, head):
        raise needed
    if goes_round(gateway, head):
        raise SignInLoop("Two sign-ins within a minute have not helped.", provider=needed.provider)
    url = with_return_to(login_url(gateway.site.base_path, needed), requested_path(head))
    if has_signed_out(gateway, head):
        return signed_out_page(gateway, url)
    return redirect(url, https=gateway.site.https)


def has_signed_out(gateway: Gateway, head: RequestHead) -> bool:
    """Whether this browser signed out a moment ago: a page that needs a sign-in must not begin one at once, unseen."""
    return cookies.find(head.named.get(b"cookie"), gateway.cookies.signed_out) is not None


def signed_out_page(gateway: Gateway, login_url: str) -> OwnAnswer:
    """The page that says so, once."""
    more = (gateway.cookies.clear_signed_out(),)
    page = pages.signed_out_page(login_url, pages.look_of(gateway.config))
    return pages.page_answer(200, page, https=gateway.site.https, more=more)


def signed_out_no_more(gateway: Gateway, head: RequestHead) -> tuple[Field, ...]:
    """After a sign-in: what takes the note of a sign-out back, if there is one."""
    return (gateway.cookies.clear_signed_out(),) if has_signed_out(gateway, head) else ()


def to_https(gateway: Gateway, error: PlainHttp) -> OwnAnswer | None:
    """The redirect to the same page over https; None: a redirect does not help."""
    if error.location is None:
        return None
    more = (gateway.cookies.set_sent_to_https(),)
    return redirect(error.location, https=gateway.site.https, more=more)


def tells_of_failure(gateway: Gateway, head: RequestHead) -> bool:
    """Whether this is the page that failed sign-ins end on (`pages.sign_in_error`). Where it is guarded, a provider that refuses at
    once would lead there for ever."""
    page = gateway.config.pages.sign_in_error
    return page is not None and head.path == page.partition("?")[0].encode("ascii")


def goes_round(gateway: Gateway, head: RequestHead) -> bool:
    """Whether this browser has been through `MAX_ROUNDS` sign-ins just now; the next would not help either."""
    return len(_rounds(gateway, head)) >= MAX_ROUNDS


def mark_of_round(gateway: Gateway, head: RequestHead) -> Field:
    """The cookie that notes this round beside those of the last minute."""
    return gateway.cookies.set_rounds(_rounds_after(gateway, head))


def _rounds(gateway: Gateway, head: RequestHead) -> list[int]:
    """When sign-ins of this browser ended on pages, within the last minute."""
    now = gateway.process.clock()
    value = cookies.find(head.named.get(b"cookie"), gateway.cookies.rounds) or b""
    marks = [int(mark) for mark in value.split(b".")[:MAX_ROUNDS] if _MARK.fullmatch(mark)]
    return [mark for mark in marks if now - ROUNDS_SECONDS < mark <= now]


def _rounds_after(gateway: Gateway, head: RequestHead) -> str:
    return ".".join(map(str, [int(gateway.process.clock()), *_rounds(gateway, head)][:MAX_ROUNDS]))


def _policy_of_page(gateway: Gateway, path: str) -> RoutePolicy | None:
    """The policy of the route with `csrf: origin` that a page at this path belongs to; None: it is another's page, or no page."""
    raw = path.partition("#")[0].partition("?")[0].encode("ascii")
    try:
        policy = gateway.policies[gateway.routes.match(raw, b"GET").route.prefix]
    except BffError:
        return None
    return policy if policy.asks_csrf and policy.csrf == "origin" else None
