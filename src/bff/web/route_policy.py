"""What a route asks of a request and whose token it takes, worked out once from the configuration."""

from dataclasses import dataclass

from bff.config.model import Config, RouteConfig, TokenKind
from bff.oauth.tokens import Exchange
from bff.sessions.model import Target
from bff.tokens.exchanged import exchange
from bff.web.access_rules import Requirement, requirement
from bff.web.request_headers import RequestHeaders, request_headers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoutePolicy:
    """What a route asks of a request before it is forwarded."""

    label: str  # for logs and metrics: the route's path as configured
    provider: str | None
    target: Target
    needs_session: bool
    csrf: str
    cross_site_pages: bool  # a link of another site leads to a page here without a click on ours
    takes_user: bool  # a signed-in user's own token is attached
    takes_client: bool  # else the gateway's own
    reads_session: bool
    asks_csrf: bool  # not where no token is attached: nothing there rests on the cookie
    serves_files: bool
    only_asked: bool  # a proxy asks about it and forwards itself (`forward_auth`)
    requirement: Requirement | None  # of the user's sign-in at `provider`
    passes_bearer: bool  # a request's own bearer token goes upstream, if no session cookie is with it
    request_headers: RequestHeaders  # the operator's own
    touches: bool  # calls extend the session
    exchange: Exchange | None  # the user's token is exchanged for one of this kind


def route_policy(route: RouteConfig) -> RoutePolicy:
    """The policy of one route."""
    kind = route.token
    return RoutePolicy(
        label=route.path.text,
        provider=route.provider,
        target=Target(resource=route.resource, audience=route.audience, scope=route.scope),
        needs_session=kind is TokenKind.USER or (kind is TokenKind.CLIENT and route.session == "required"),
        csrf=route.csrf,
        cross_site_pages=route.cross_site_pages,
        takes_user=kind in {TokenKind.USER, TokenKind.USER_OR_CLIENT, TokenKind.USER_OR_NONE},
        takes_client=kind in {TokenKind.CLIENT, TokenKind.USER_OR_CLIENT},
        reads_session=kind is not TokenKind.NONE and route.session == "required",
        asks_csrf=kind is not TokenKind.NONE,
        serves_files=route.files is not None,
        only_asked=route.files is None and route.upstream is None,
        requirement=None if route.require is None else requirement(route.require),
        passes_bearer=route.bearer == "pass",
        request_headers=request_headers(route.request_headers),
        touches=route.touch,
        exchange=None if route.exchange is None else exchange(route.exchange),
    )


def user_targets(config: Config, provider: str) -> tuple[Target, ...]:
    """What users' tokens of this provider are for, in the order of the routes."""
    policies = [route_policy(route) for route in config.routes]
    return tuple(
        dict.fromkeys(policy.target for policy in policies if policy.takes_user and policy.provider == provider)
    )


def sign_in_target(config: Config, provider: str) -> Target:
    """What the access token of the sign-in itself is for: the first target that a code exchange can ask for.

    A code exchange can name a resource (RFC 8707 section 2.2) but not narrow the scope; such tokens are fetched by a refresh.
    """
    plain = (t for t in user_targets(config, provider) if t.scope is None and t.audience is None)
    return next(plain, Target())
