"""Checks across the keys of the providers, and of the routes that use them."""

from bff.config.client_auth_checks import check_client_auth, check_public_clients, check_requests
from bff.config.model import Config, ProviderConfig, TokenKind
from bff.config.problems import Findings, KeyPath

_LONGEST_LEEWAY_SECONDS = 300.0


def check_providers(config: Config, findings: Findings) -> None:
    """Report providers that contradict themselves or each other."""
    _check_issuers(config, findings)
    check_public_clients(config, findings)
    for name, provider in config.providers.items():
        path: KeyPath = ("providers", name)
        _check_discovery(provider, path, findings)
        check_client_auth(provider, path, findings)
        check_requests(provider, path, findings)
        if signs_in(name, config, findings):
            _check_sign_in(provider, path, findings)
        if provider.leeway > _LONGEST_LEEWAY_SECONDS:
            findings.report((*path, "leeway"), "is more than 5m: expired ID tokens would be accepted")


def signs_in(name: str, config: Config, findings: Findings) -> bool:
    """Whether people sign in at this provider. A provider that only client routes name serves machines."""
    kinds = {
        route.token if findings.sound(("routes", index, "token")) else TokenKind.CLIENT
        for index, route in enumerate(config.routes)
        if route.provider == name and route.token is not TokenKind.NONE
    }
    return kinds != {TokenKind.CLIENT}


def _check_issuers(config: Config, findings: Findings) -> None:
    """RFC 9207 section 4: `iss` tells providers apart only while no two of them share it."""
    first: dict[str, KeyPath] = {}
    for name, provider in config.providers.items():
        path: KeyPath = ("providers", name, "issuer")
        if not findings.sound(path):
            continue
        if provider.issuer in first:
            line = findings.line(first[provider.issuer])
            findings.report(path, f"is the issuer of another provider too (line {line}): their answers would mix up")
        first.setdefault(provider.issuer, path)


def _check_discovery(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    if provider.discovery != "off" or not findings.sound((*path, "discovery")):
        return
    if provider.token_endpoint is None and findings.sound((*path, "token_endpoint")):
        findings.report((*path, "token_endpoint"), "is missing: with `discovery: off` it must be given here")
    if provider.userinfo and provider.userinfo_endpoint is None and findings.sound((*path, "userinfo_endpoint")):
        findings.report((*path, "userinfo_endpoint"), "is missing: `userinfo: true` asks it, and discovery is off")


def _check_sign_in(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    asks_openid = "openid" in provider.scope.split(" ")
    scope_known = findings.sound((*path, "scope"), (*path, "discovery"), (*path, "token_endpoint"))
    if provider.discovery == "openid" and not asks_openid and scope_known:
        findings.report(
            (*path, "scope"), "lacks `openid`, which OpenID Connect needs; plain OAuth is `discovery: oauth`"
        )
    if provider.discovery != "off" or not scope_known:
        return
    if provider.authorization_endpoint is None and findings.sound((*path, "authorization_endpoint")):
        findings.report((*path, "authorization_endpoint"), "is missing: people sign in here, and discovery is off")
    if asks_openid and provider.jwks_uri is None and findings.sound((*path, "jwks_uri")):
        findings.report((*path, "jwks_uri"), "is missing: `openid` in scope brings ID tokens, whose keys are needed")
