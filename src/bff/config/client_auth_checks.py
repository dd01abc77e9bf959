"""Checks of how we authenticate at a provider: the method and what it needs. `oauth/client_auth.py` says what each method is."""

from bff.config.model import Config, ProviderConfig, TokenKind
from bff.config.problems import Findings, KeyPath
from bff.config.values.secrets import Secret
from bff.errors import SecretUnavailable

_SHORTEST_HMAC_SECRET = 32  # bytes: RFC 7518 section 3.2
_NEEDS = {
    "client_secret_basic": "client_secret",
    "client_secret_post": "client_secret",
    "client_secret_jwt": "client_secret",
    "private_key_jwt": "client_keys",
    "client_assertion": "client_assertion",
    "tls_client_auth": "client_certificate",
    "self_signed_tls_client_auth": "client_certificate",
}
_CREDENTIALS = ("client_secret", "client_secrets", "client_keys", "client_certificate", "client_assertion")


def check_client_auth(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    """Report a method without its credential, and a credential that the method cannot use."""
    if not findings.sound((*path, "client_auth"), *((*path, name) for name in _CREDENTIALS)):
        return
    method = provider.client_auth
    _warn_of_unused(provider, path, findings)
    if provider.insecure_public_client and method != "none":
        findings.report((*path, "insecure_public_client"), "is for `client_auth: none` only")
    if method == "none":
        _check_public_client(provider, path, findings)
        return
    needed = _NEEDS.get(method or "client_secret_basic", "")
    if not _has(provider, needed):
        findings.report((*path, needed), _missing(method))
    elif method == "client_secret_jwt":
        _check_hmac_secrets(provider, path, findings)
    elif needed == "client_certificate":
        _check_tls(provider, path, findings)


def check_requests(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    """Report authorization requests that cannot be pushed or signed."""
    if provider.request_object == "signed" and not provider.client_keys and findings.sound((*path, "client_keys")):
        findings.report((*path, "client_keys"), "is missing: `request_object: signed` signs with it")
    at = (*path, "pushed_authorization_request_endpoint")
    nowhere = provider.discovery == "off" and provider.pushed_authorization_request_endpoint is None
    if provider.par == "required" and nowhere and findings.sound((*path, "discovery"), at):
        findings.report(at, "is missing: `par: required` needs it, and discovery is off")


def check_public_clients(config: Config, findings: Findings) -> None:
    """Report routes that want the gateway's own token from a provider to which it cannot prove itself."""
    for index, route in enumerate(config.routes):
        path: KeyPath = ("routes", index, "token")
        provider = config.providers.get(route.provider or "")
        if provider is None or provider.client_auth != "none" or not findings.sound(path):
            continue
        if route.token in {TokenKind.CLIENT, TokenKind.USER_OR_CLIENT}:
            # RFC 6749 section 4.4: "MUST only be used by confidential clients"
            findings.report(path, "needs the gateway's own token, and its provider has `client_auth: none`")


def _warn_of_unused(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    """Keys are never unused: a new one is published before it signs."""
    method = provider.client_auth
    by_secret = method is None or method.startswith("client_secret")
    if provider.client_secrets and not by_secret and method != "none":  # with `none` it is an error
        findings.warn((*path, _secret_key(path, findings)), f"is not sent: `client_auth: {method}` needs no secret")
    if provider.client_assertion is not None and method != "client_assertion":
        findings.warn((*path, "client_assertion"), "is not sent without `client_auth: client_assertion`")
    if provider.assertion_audience is not None and method not in {"client_secret_jwt", "private_key_jwt", None}:
        findings.warn((*path, "assertion_audience"), f"is not sent: `client_auth: {method}` signs no assertion")
    if method == "none" and provider.insecure_public_client:
        findings.warn(
            (*path, "insecure_public_client"), "lets any program that knows the client id act as this gateway"
        )


def _secret_key(path: KeyPath, findings: Findings) -> str:
    """The spelling of the key that stands in the file."""
    return "client_secrets" if findings.known((*path, "client_secrets")) else "client_secret"


def _missing(method: str | None) -> str:
    if method is None:
        return "is missing, and has no default"  # RFC 10017 section 6.1.3.1: a confidential client
    return f"is missing: `client_auth: {method}` needs it"


def _has(provider: ProviderConfig, name: str) -> bool:
    return bool(provider.client_secrets) if name == "client_secret" else bool(getattr(provider, name))


def _check_public_client(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    if not provider.insecure_public_client:
        findings.report(
            (*path, "client_auth"),
            "makes the gateway a public client, which proves nothing (RFC 10017 section 6.1.3.1):"
            " if the provider has nothing else, write `insecure_public_client: true` too",
        )
    if provider.client_secrets:
        key = _secret_key(path, findings)
        findings.report((*path, key), "is never sent with `client_auth: none`: remove one of the two")


def _check_hmac_secrets(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    if any(_length(secret) < _SHORTEST_HMAC_SECRET for secret in provider.client_secrets):
        key = _secret_key(path, findings)
        findings.report(
            (*path, key), f"has fewer than {_SHORTEST_HMAC_SECRET} bytes, which `client_auth: client_secret_jwt` needs"
        )


def _length(secret: Secret) -> int:
    try:
        return len(secret.read().encode())
    except SecretUnavailable:  # reported where it is read
        return _SHORTEST_HMAC_SECRET


def _check_tls(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    for name in ("token_endpoint", "issuer"):
        url = getattr(provider, name)
        if url is None or not findings.sound((*path, name)):
            continue
        if url.startswith("http:"):
            findings.report(
                (*path, name), "is http, and the client's certificate is shown in TLS only: write an https URL"
            )
        return  # a token endpoint that is written is the one that is called
