"""`bff check --online`: what the store, the providers and the upstreams say. One line each.

`ok`, `FAIL`, or `?` where it cannot be told, which is no failure.

provider   metadata (issuer found and written), client authentication, redirect URI, keys, clock
upstream   a connection, TLS included, and its health page if it has one
"""

import secrets
from collections.abc import Awaitable
from urllib.parse import urljoin, urlsplit

import click

from bff.cli.failures import described
from bff.cli.redirect_uri import Seen, judge, leads_to, seen
from bff.clock import wall
from bff.config.model import Config, RouteConfig, TokenKind
from bff.config.values.urls import UpstreamUrl
from bff.errors import (
    BffError,
    ProviderMisbehaved,
    ProviderRefused,
    UpstreamError,
)
from bff.oauth import authorization
from bff.oauth.authorization import AuthorizationCode
from bff.oauth.form import Fields
from bff.oauth.messages import shown
from bff.provider.client import Provider
from bff.provider.documents import metadata_location
from bff.provider.features import unsupported
from bff.proxy.probe import probe
from bff.sessions.opening import open_store
from bff.telemetry.remedies import REMEDIES
from bff.web.route_policy import user_targets

_MOST_REDIRECTS = 4
_UPSTREAM_FAILURES = {
    "name": "its name is not found",
    "refused": "it refuses connections",
    "certificate": "its certificate cannot be trusted",
    "tls": "TLS fails",
    "unreachable": "it cannot be reached",
    "connect": "no connection in time",
}


async def check_online(config: Config) -> int:
    """1 if something is not as it should be."""
    failures = await _failed("store", _ask_store(config))
    for name, settings in config.providers.items():
        redirect_uri = f"{config.public_url}{config.base_path}/callback/{name}"
        provider = Provider(name=name, config=settings, redirect_uri=redirect_uri, clock=wall)
        try:
            failures += await _ask_provider(config, provider)
        finally:
            await provider.close()
    return 1 if failures + await _ask_upstreams(config) else 0


async def _ask_provider(config: Config, provider: Provider) -> int:
    """How many of the questions failed; without metadata the others cannot be asked."""
    name = f"provider {provider.name}"
    at = metadata_location(provider.config)
    if await _failed(f"{name}: metadata{await _issuers(provider)}", provider.metadata(), at=at):
        return 1
    failures = await _lacking(name, provider)
    failures += await _failed(f"{name}: client authentication", _ask_tokens(config, provider))
    if any(route.provider == provider.name and route.token is not TokenKind.CLIENT for route in config.routes):
        failures += await _ask_redirect_uri(name, config, provider)
    if "openid" in provider.config.scope.split():
        failures += await _failed(f"{name}: keys", provider.keys(), at=(await provider.metadata()).jwks_uri)
    return failures + _compare_clocks(name, provider)


async def _issuers(provider: Provider) -> str:
    """The issuer that was found beside the one that is written. Where they differ, the error says both."""
    if provider.config.discovery == "off":
        return " (discovery is off: nothing was asked)"
    try:
        found = (await provider.metadata()).issuer
    except BffError:  # asked again, and told then
        return ""
    return f" (issuer found: {found}, written: {provider.config.issuer})"


def _compare_clocks(name: str, provider: Provider) -> int:
    """1 if the provider's clock, by the `Date` of its answers, differs from ours by more than a sign-in tolerates (R-349)."""
    seconds = provider.skew.seconds
    if seconds is None:
        click.echo(f"?    {name}: clock: its answers have no Date")
        return 0
    apart = abs(seconds) > provider.config.leeway
    click.echo(f"{'FAIL' if apart else 'ok  '} {name}: clock ({round(seconds):+d} s)")
    return int(apart)


async def _failed(what: str, question: Awaitable[object], *, at: str | None = None) -> int:
    """1 if there is no good answer; `at` is the URL that is asked, shown where it failed."""
    try:
        await question
    except BffError as error:
        click.echo(f"FAIL {what}{f' ({at})' if at else ''}: {described(error)}")
        return 1
    click.echo(f"ok   {what}")
    return 0


async def _ask_store(config: Config) -> None:
    store = open_store(config.session)
    try:
        await store.ping()
    finally:
        await store.close()


async def _lacking(name: str, provider: Provider) -> int:
    """1 if the metadata says that the provider lacks what the configuration relies on; a line is printed then only."""
    lacking = None if provider.config.discovery == "off" else unsupported(provider.config, await provider.metadata())
    if lacking is None:
        return 0
    click.echo(f"FAIL {name}: {lacking}")
    return 1


async def _ask_tokens(config: Config, provider: Provider) -> None:
    """Client credentials where a route needs them; else a code that cannot exist, which only an unknown client is refused for."""
    for route in config.routes:
        if route.provider == provider.name and route.token in {TokenKind.CLIENT, TokenKind.USER_OR_CLIENT}:
            await provider.client_credentials(scope=route.scope, resource=route.resource, audience=route.audience)
            return
    try:
        code = AuthorizationCode(value="bff-check")
        await provider.exchange_code(code, code_verifier="x" * 43, redirect_uri=provider.redirect_uri, resource=None)
    except ProviderRefused as refused:
        if refused.error in {"invalid_client", "unauthorized_client"}:
            raise
    else:
        raise ProviderMisbehaved("took a code that it never gave", provider=provider.name, reason="code_accepted")


async def _ask_redirect_uri(name: str, config: Config, provider: Provider) -> int:
    """A sign-in without a user, and if it proves nothing, the same with an address that is not registered."""
    what = f"{name}: redirect URI {provider.redirect_uri}"
    try:
        ours = await _tried(config, provider, provider.redirect_uri)
        unregistered = f"{provider.redirect_uri}/bff-check-{secrets.token_hex(4)}"
        other = await _tried(config, provider, unregistered) if ours.end == "went on" else None
    except BffError as error:
        click.echo(f"FAIL {what}: {described(error)}")
        return 1
    verdict = judge(ours, other=other, redirect_uri=provider.redirect_uri)
    mark = {True: "ok  ", False: "FAIL", None: "?   "}[verdict.holds]
    click.echo(f"{mark} {what}: {verdict.words}")
    return int(verdict.holds is False)


async def _tried(config: Config, provider: Provider, redirect_uri: str) -> Seen:
    """Follow the answers as a browser without cookies would, while they stay on the provider's host."""
    try:
        url = await provider.authorization_url(_parameters(config, provider, redirect_uri))
    except ProviderRefused as refused:  # of the pushed request
        names_it = refused.error == "invalid_redirect_uri" or "redirect" in str(refused)
        return Seen(end="refused", error=refused.error, names_it=names_it)
    host = urlsplit(url).netloc
    for _ in range(_MOST_REDIRECTS):
        answer = await provider.page(url)
        found = seen(answer, redirect_uri=redirect_uri)
        goes_on = found.end == "went on" and answer.location is not None
        following = urljoin(url, answer.location or "")
        if not goes_on or urlsplit(following).netloc != host or leads_to(following, redirect_uri):
            return found
        url = following
    return found


def _parameters(config: Config, provider: Provider, redirect_uri: str) -> Fields:
    """What a sign-in asks for, of a provider that is not to show anything to a user."""
    settings = provider.config
    silent = {"prompt": "none"} if "openid" in settings.scope.split() else {}
    resources = (target.resource for target in user_targets(config, provider.name))
    return authorization.authorization_parameters(
        client_id=settings.client_id,
        redirect_uri=redirect_uri,
        scope=settings.scope,
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        code_challenge=secrets.token_urlsafe(32),
        resources=tuple(dict.fromkeys(resource for resource in resources if resource is not None)),
        max_age=settings.max_age,
        acr_values=settings.acr_values,
        extra={**settings.authorization_params, **silent},
        response_mode=settings.response_mode,
    )


async def _ask_upstreams(config: Config) -> int:
    """How many upstreams cannot be connected to; routes to one upstream are one line."""
    asked = [(upstream, route) for route in config.routes for upstream in route.upstream or ()]
    lines = dict.fromkeys([await _upstream_line(upstream, route) for upstream, route in asked])
    for line in lines:
        click.echo(line)
    return sum(line.startswith("FAIL") for line in lines)


async def _upstream_line(upstream: UpstreamUrl, route: RouteConfig) -> str:
    try:
        await probe(upstream, route)
    except UpstreamError as error:
        words = _UPSTREAM_FAILURES.get(error.reason or "", error.reason or error.what)
        cause = f": {shown(str(error.__cause__))}" if str(error.__cause__ or "") else ""
        advice = REMEDIES.get(error.reason or "")
        return f"FAIL upstream {upstream.origin}: {words}{cause}{f'; {advice}' if advice else ''}"
    return f"ok   upstream {upstream.origin}"
