"""May this request pass, and with whose token? The judgements that need no waiting, each named and each callable alone.

    route      which route it is for                                        400 404 405 421, plain http
    brought    the request brings a bearer token of its own: then none of the other three is asked
    same_site  the call comes from our own pages                            403
    access     the user's sign-in is what the route requires                403 401
    source     whose token is attached: the user's, our own, none           401

The recipe (`api.py`), WebSocket handshakes, questions of proxies (`forward_auth.py`) and the fast lane call the same ones, in
this order, with the session looked up before the last two. A judgement refuses by raising; what it returns is the proof that it was
made.
"""

import re

from msgspec import Struct

from bff.errors import LoginRequired, MalformedRequest, NoRoute, NotAPage
from bff.proxy import destinations
from bff.proxy.routes import Match
from bff.request_head import RequestHead
from bff.sessions.model import Grant, LiveSession
from bff.tokens import grants
from bff.tokens.sources import BroughtToken, ClientToken, ExchangedToken, TokenSource, UserToken
from bff.web import access_rules, cookies, guards, navigation, step_up
from bff.web.gateway import Gateway
from bff.web.route_policy import RoutePolicy

# RFC 6750 section 2.1; the case of a scheme's name does not count (RFC 9110 section 11.1).
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +([A-Za-z0-9._~+/-]+=*)")


class Admitted(Struct, frozen=True):
    """A request that is for one of our routes and for our host. Only `route` makes it."""

    match: Match
    policy: RoutePolicy


def route(gateway: Gateway, head: RequestHead, *, asked: bool = False) -> Admitted:
    """The route that this request is for; `asked`: a proxy asks about it and serves it itself, so the route needs no upstream.

    Raises:
        MalformedRequest, NoRoute, MethodNotAllowed: for none, or the request has more than one meaning; a COPY or MOVE that leads
            out of the route.
        MisdirectedRequest, PlainHttp: it names another host, or came without TLS.
    """
    match = gateway.routes.match(head.path, head.method)
    if head.method in destinations.METHODS:
        match = destinations.with_destination(gateway.routes, match, head, public_origin=gateway.site.origin_bytes)
    policy = gateway.policies[match.route.prefix]
    meant_for_us(gateway, head)
    if policy.only_asked and not asked:
        detail = "This path has no upstream: it is one that a proxy asks about (forward_auth)."
        raise NoRoute(detail, reason="only_asked")
    return Admitted(match, policy)


def meant_for_us(gateway: Gateway, head: RequestHead) -> None:
    """The request has one meaning, names our host, and came the way that browsers are to use.

    Raises:
        MalformedRequest, MisdirectedRequest, PlainHttp: it does not.
    """
    if head.section.repeated is not None:
        raise MalformedRequest(f"The field {head.section.repeated.decode('ascii')} may appear only once.")
    guards.host(gateway, head)
    guards.transport(gateway, head)


def same_site(gateway: Gateway, head: RequestHead, policy: RoutePolicy) -> None:
    """The call comes from our own pages, where a token that rests on the cookie is attached.

    Raises:
        CsrfRefused: it does not, or cannot prove it.
    """
    if policy.asks_csrf:
        guards.csrf(head, by=policy.csrf, site=gateway.site)


def may_be_opened(policy: RoutePolicy) -> None:
    """A page load may be for this route: one that asks for a header could never be answered, signed in or not (R-317).

    Raises:
        NotAPage: it is an API.
    """
    if policy.asks_csrf and policy.csrf == "header":
        raise NotAPage("This is an API, not a page: its calls carry X-CSRF: 1, which opening an address cannot send.")


def brought(gateway: Gateway, head: RequestHead, policy: RoutePolicy) -> BroughtToken | None:
    """The bearer token that the request itself brings, on a route with `bearer: pass`; None: none, or a session cookie is there.

    No CSRF defence is asked for with it: no page of another site can make a browser attach it (RFC 6750 section 5.3).

    Raises:
        MalformedRequest: several, or one that is none (RFC 6750 section 2.1).
    """
    if not policy.passes_bearer or cookies.find(head.named.get(b"cookie"), gateway.cookies.session) is not None:
        return None
    values = [value for name, value in head.fields if name == b"authorization"]
    if not any(value[:7].lower() == b"bearer " for value in values):
        return None
    token = _BEARER.fullmatch(values[0]) if len(values) == 1 else None
    if token is None:
        raise MalformedRequest("The Authorization field is not one bearer token.")
    return BroughtToken(token[1].decode("ascii"))


def access(gateway: Gateway, policy: RoutePolicy, live: LiveSession | None, *, now: float) -> None:
    """The user's sign-in at the route's provider holds what the route requires.

    Raises:
        LoginRequired: there is no sign-in at that provider.
        StepUpRequired: the user has to authenticate in another way, or again.
        NotPermitted: a claim has none of the values that are required.
    """
    if policy.requirement is None or policy.provider is None:
        return
    provider = gateway.provider(policy.provider)
    grant = None if live is None else live.session.grant(provider.name)
    # Where the user's own token goes along, `source` judges whether the sign-in has ended.
    if grant is None or (not policy.takes_user and grants.ended(grant, now=now)):
        raise LoginRequired("A sign-in is needed.", provider=provider.name)
    lacking = access_rules.judge(policy.requirement, grant, now=now, leeway=provider.config.leeway)
    if lacking is not None:
        raise step_up.required(gateway.signer, policy.requirement.step_up, provider=provider.name, reason=lacking)


def signed_in(policy: RoutePolicy, live: LiveSession | None, *, source: TokenSource | None, now: float) -> Grant | None:
    """Who the upstream may be told of: the user's sign-in at the route's provider. One that has ended says nothing any more; where the
    user's own token goes along, its source has judged that."""
    grant = None if live is None or policy.provider is None else live.session.grant(policy.provider)
    is_users = isinstance(source, UserToken | ExchangedToken)
    return grant if grant is not None and (is_users or not grants.ended(grant, now=now)) else None


def must_come_from_our_site(head: RequestHead, policy: RoutePolicy) -> bool:
    """Whether this page load is first repeated from our own site (`navigation.lead_on`)."""
    return policy.asks_csrf and policy.csrf == "origin" and navigation.comes_from_elsewhere(head)


def source(gateway: Gateway, policy: RoutePolicy, live: LiveSession | None, *, now: float) -> TokenSource | None:
    """Where the token for the upstream comes from: the user's if the route takes it and there is one, else our own if it takes that.

    Raises:
        LoginRequired: the route wants a user, and there is no sign-in at its provider, or it has ended.
    """
    if live is None and policy.needs_session:
        raise LoginRequired("There is no session.", provider=gateway.provider(policy.provider).name)
    if policy.provider is None:
        return None
    keeping = gateway.tokens[policy.provider]
    if live is not None and _takes_users_token(policy, live, provider=policy.provider, now=now):
        users = UserToken(keeping.refresher, live.session, policy.provider, policy.target)
        return users if policy.exchange is None else ExchangedToken(keeping.exchanged, users, policy.exchange)
    if not policy.takes_client:
        return None
    if policy.needs_session and not _is_signed_in(live, now=now):
        raise LoginRequired("The sign-in has ended.", provider=policy.provider)
    return ClientToken(keeping.client_credentials, policy.provider, policy.target)


def _takes_users_token(policy: RoutePolicy, live: LiveSession, *, provider: str, now: float) -> bool:
    """Whether this request goes out with the user's own token; without a grant a route may have another answer than 401."""
    if not policy.takes_user or policy.needs_session:
        return policy.takes_user
    grant = live.session.grant(provider)
    return grant is not None and not grants.ended(grant, now=now)


def _is_signed_in(live: LiveSession | None, *, now: float) -> bool:
    """Whether any provider still knows the user: no session outlives the last of its refresh tokens (R-022)."""
    return live is not None and not all(grants.ended(grant, now=now) for grant in live.session.grants)
