"""What a sound configuration gives away or lacks: warnings, each about something that can be run and mended.

A file is *open* if every user of the machine can read it. A group may read a secret: that is how Kubernetes and systemd hand
one to a process that is not root.
"""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from bff.config.model import Config, ProviderConfig, RouteConfig, TokenKind
from bff.config.problems import Findings, KeyPath
from bff.config.values.secrets import FileSecret, LiteralSecret, Secret
from bff.loopback import is_loopback

_OF_UPSTREAMS = ("timeouts", "max_body", "max_connections", "max_waiting")
_ASKS_FOR_REFRESH = frozenset({"offline_access", "offline.access", "refresh_token"})
# Parts of the issuers of providers that give refresh tokens without being asked (docs/how-to/providers.md).
_REFRESHES_UNASKED = ("/realms/", "//cognito-idp.", "//auth.pingone.", ".onelogin.com/", "//gitlab.", "/adfs")
_HAS_NO_REFRESH = ("//slack.com", "//id.twitch.tv", "//www.linkedin.com", "//appleid.apple.com")


def warn_of_weaknesses(config: Config, findings: Findings, *, file: Path) -> None:
    """Report them all; `config` is sound."""
    for path, secret in _secrets(config, findings):
        _warn_of_open_secret(secret, path, findings, file=file)
    _warn_of_forgetful_store(config, findings)
    for name, provider in config.providers.items():
        if _serves_users(name, config):
            _warn_of_no_refresh(provider, ("providers", name), findings)
    for index, route in enumerate(config.routes):
        _warn_of_plain_upstream(route, ("routes", index), findings)
        _warn_of_idle_keys(route, ("routes", index), findings)
    _warn_of_hidden_pages(config, findings)


def _secrets(config: Config, findings: Findings) -> Iterator[tuple[KeyPath, Secret]]:
    """Every secret with the key that names it; also the keys of certificates."""
    if config.tls is not None:
        yield ("tls", "key"), FileSecret(path=config.tls.key)
    for index, route in enumerate(config.routes):
        if route.client_certificate is not None:
            yield ("routes", index, "client_certificate", "key"), FileSecret(path=route.client_certificate.key)
    for index, secret in enumerate(config.session.keys):
        yield ("session", "keys", index), secret
    for name, provider in config.providers.items():
        at: KeyPath = ("providers", name)
        several = findings.known((*at, "client_secrets"))
        for index, secret in enumerate(provider.client_secrets):
            yield (*at, "client_secrets", index) if several else (*at, "client_secret"), secret
        for index, secret in enumerate(provider.client_keys):
            yield (*at, "client_keys", index), secret
        if provider.proxy_credentials is not None:
            yield (*at, "proxy_credentials"), provider.proxy_credentials
        if provider.client_assertion is not None:
            yield (*at, "client_assertion"), provider.client_assertion
        if provider.client_certificate is not None:
            yield (*at, "client_certificate", "key"), FileSecret(path=provider.client_certificate.key)


def _warn_of_open_secret(secret: Secret, path: KeyPath, findings: Findings, *, file: Path) -> None:
    if isinstance(secret, FileSecret):
        mode = _open_mode(secret.path)
        if mode:
            findings.warn(
                path, f"is a file that every user of this machine can read (mode {mode}): take that away (chmod o=)"
            )
    if isinstance(secret, LiteralSecret) and findings.known(path):  # else it was made at this start
        mode = _open_mode(file)
        if mode:
            findings.warn(
                path,
                f"stands in a file that every user of this machine can read (mode {mode}):"
                " write {file: PATH}, or take that away (chmod o=)",
            )


def _open_mode(path: Path) -> str | None:
    """The mode of an open file, as `chmod` takes it; None if it is not open."""
    try:
        mode = os.stat(path).st_mode
    except OSError:  # it has been read; if it went away since, there is nothing to say
        return None
    return f"{stat.S_IMODE(mode):04o}" if os.name == "posix" and mode & (stat.S_IROTH | stat.S_IWOTH) else None


def _warn_of_forgetful_store(config: Config, findings: Findings) -> None:
    if config.session.store.in_memory and not is_loopback(config.public_url.host):
        findings.warn(
            ("session", "store"),
            "keeps sessions in the memory of one process: a restart signs every user out; use redis://",
        )


def _serves_users(name: str, config: Config) -> bool:
    """Whether a route attaches a user's token of this provider."""
    kinds = {route.token for route in config.routes if route.provider == name}
    return bool(kinds & {TokenKind.USER, TokenKind.USER_OR_CLIENT, TokenKind.USER_OR_NONE})


def _warn_of_no_refresh(provider: ProviderConfig, path: KeyPath, findings: Findings) -> None:
    """OpenID Connect Core section 11: `offline_access` asks for a refresh token. Plain OAuth 2.0 has no word for it."""
    words = set(provider.scope.split())
    if (
        "openid" not in words
        or words & _ASKS_FOR_REFRESH
        or provider.authorization_params.get("access_type") == "offline"
    ):
        return
    if any(part in provider.issuer for part in (*_REFRESHES_UNASKED, *_HAS_NO_REFRESH)):
        return
    findings.warn(
        (*path, "scope"),
        "lacks `offline_access`, which asks for a refresh token: if the provider gives none unasked,"
        " users sign in again when their first access token ends",
    )


def _warn_of_plain_upstream(route: RouteConfig, path: KeyPath, findings: Findings) -> None:
    crossing = (
        "requests and answers"
        if route.token is TokenKind.NONE and route.bearer == "drop"
        else "access tokens and content"
    )
    upstreams = route.upstream or ()
    for index, upstream in enumerate(upstreams):
        if upstream.tls or upstream.socket is not None or is_loopback(upstream.host):
            continue
        at: KeyPath = (*path, "upstream") if len(upstreams) == 1 else (*path, "upstream", index)
        findings.warn(at, f"is plain http outside loopback: {crossing} cross that network unencrypted")


def _warn_of_idle_keys(route: RouteConfig, path: KeyPath, findings: Findings) -> None:
    """What a `files` route may say, and what changes nothing there."""
    if route.files is None:
        return
    for key in _OF_UPSTREAMS:
        if key in route.model_fields_set:
            findings.warn((*path, key), "changes nothing here: files come from no upstream")


def _warn_of_hidden_pages(config: Config, findings: Findings) -> None:
    """What people without a session come to must load without one."""
    shown = {"logo": config.pages.logo, "sign_in_error": config.pages.sign_in_error}
    for key, page in shown.items():
        if page is None:
            continue
        path = page.partition("?")[0]
        covering = [route for route in config.routes if _covers(route, path)]
        route = max(covering, key=lambda route: len(route.path.raw), default=None)
        if route is None:
            findings.warn(("pages", key), f"is on no route: {path} is answered with 404")
        elif route.files is None and (route.token is TokenKind.USER or _refuses_page_loads(route)):
            findings.warn(("pages", key), f"is on the route {route.path}, which does not show it without a session")


def _refuses_page_loads(route: RouteConfig) -> bool:
    """Whether calls there need the header `X-CSRF`, which opening an address cannot send."""
    return route.token is not TokenKind.NONE and route.csrf == "header"


def _covers(route: RouteConfig, path: str) -> bool:
    prefix = route.path.raw.decode("ascii")
    return path == prefix or path.startswith(f"{prefix}/")
