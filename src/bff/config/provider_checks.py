"""Checks across the keys of the providers, and of the routes that use them."""

from bff.config.client_auth_checks import check_client_auth, check_public_clients, check_requests
from bff.config.model import Config, ProviderConfig, TokenKind
from bff.config.problems import Findings, KeyPath
from bff.config.sign_in_checks import check_sign_in
from bff.config.values.urls import is_plain_http_abroad
from bff.issuers import is_template, matches

_LONGEST_LEEWAY_SECONDS = 300.0
_URLS = (
    *("issuer", "metadata_url", "authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint"),
    *("end_session_endpoint", "revocation_endpoint", "pushed_authorization_request_endpoint"),
)


def check_providers(config: Config, findings: Findings) -> None:
    """Report providers that contradict themselves or each other."""
    _check_issuers(config, findings)
    check_public_clients(config, findings)
    for name, provider in config.providers.items():
        path: KeyPath = ("providers", name)
        _check_discovery(provider, path, findings)
        _check_tenants(provider, path, findings)
        _check_plain_http(provider, path, findings)
        _check_proxy(provider, path, findings)
        _warn_of_weaknesses(provider, path, findings)
        check_client_auth(provider, path, findings)
        check_requests(provider, path, findings)
        if signs_in(name, config, findings):
            check_sign_in(provider, path, findings)
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
    """RFC 9207 section 4: `iss` tells providers apart only while no two of them share it.

    Two policies of one server do (Azure AD B2C): each then has metadata of its own; redirect URI, state and nonce tell them apart.
    """
    earlier: list[str] = []
    for name, provider in config.providers.items():
        path: KeyPath = ("providers", name, "issuer")
        if not findings.sound(path):
            continue
        for other in earlier:
            if _same_issuer(config.providers[other], provider):
                line = findings.line(("providers", other, "issuer"))
                findings.report(
                    path,
                    f"is the issuer of another provider too (line {line}): their answers would mix up; "
                    "two policies of one server each have a `metadata_url` of their own",
                )
        earlier.append(name)


def _same_issuer(one: ProviderConfig, other: ProviderConfig) -> bool:
    if one.issuer == other.issuer and one.metadata_url and other.metadata_url:
        return one.metadata_url == other.metadata_url
    return matches(one.issuer, template=other.issuer) or matches(other.issuer, template=one.issuer)


def _check_discovery(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    if provider.discovery != "off" or not findings.sound((*path, "discovery")):
        return
    if provider.token_endpoint is None and findings.sound((*path, "token_endpoint")):
        findings.report((*path, "token_endpoint"), "is missing: with `discovery: off` it must be given here")
    if provider.metadata_url is not None and findings.sound((*path, "metadata_url")):
        findings.report_key((*path, "metadata_url"), "is not asked with `discovery: off`: keep one of the two")
    if provider.userinfo and provider.userinfo_endpoint is None and findings.sound((*path, "userinfo_endpoint")):
        findings.report((*path, "userinfo_endpoint"), "is missing: `userinfo: true` asks it, and discovery is off")


def _check_tenants(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    if not findings.sound((*path, "issuer"), (*path, "allowed_tenants")):
        return
    many = is_template(provider.issuer)
    if many and provider.allowed_tenants is None:
        findings.report(
            (*path, "allowed_tenants"),
            "is missing: an issuer with {tenantid} needs the tenants that may sign in, or `any`",
        )
    if not many and provider.allowed_tenants is not None:
        findings.report_key((*path, "allowed_tenants"), "is of no use: the issuer holds no {tenantid}")


def _check_plain_http(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    """Secrets and tokens go to these URLs (RFC 6749 sections 3.1 and 3.2: TLS), and what comes back is believed."""
    if provider.insecure_http or not findings.sound((*path, "insecure_http")):
        return
    for key in _URLS:
        url = getattr(provider, key)
        if url and findings.sound((*path, key)) and is_plain_http_abroad(url):
            findings.report(
                (*path, key),
                "is plain http outside loopback: use https, or `insecure_http: true` where the network itself encrypts",
            )


def _check_proxy(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    if not findings.sound((*path, "proxy")):
        return
    if provider.proxy is None:
        if provider.proxy_credentials is not None:
            findings.report_key((*path, "proxy_credentials"), "is of no use without `proxy`, which it is for")
        return
    for key in _URLS:
        url = getattr(provider, key)
        if url and url.startswith("https://[") and findings.sound((*path, key)):
            # httpcore writes such an address into CONNECT without the brackets that RFC 3986 section 3.2.2 wants
            findings.report((*path, key), "is an IPv6 address, for which no `proxy` can be asked: write a host name")


def _warn_of_weaknesses(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    if provider.insecure_http:
        findings.warn((*path, "insecure_http"), "lets client secrets and tokens cross the network in the clear")
    if provider.insecure_no_nonce:
        findings.warn(
            (*path, "insecure_no_nonce"), "takes ID tokens without a nonce: PKCE alone binds them to a sign-in"
        )
