"""Defaults that follow from another key.

provider with token_endpoint    discovery: off (not with metadata_url)
provider without discovery      unadvertised_iss: check
provider without a secret       client_auth: private_key_jwt, client_assertion or tls_client_auth, by what there is
route with files                token: none
route that needs a token        provider: the only one
session in memory://            one key, made now: its sessions end with the process anyway
"""

import secrets

from bff.config.model import ClientAuth, Config, ProviderConfig, RouteConfig, SessionConfig, TokenKind
from bff.config.problems import Findings, KeyPath
from bff.config.values.secrets import MadeSecret


def complete(config: Config, findings: Findings) -> Config:
    """The same configuration with these filled in; a key with a problem of its own stays as it is."""
    return config.model_copy(
        update={
            "session": _session(config.session) if findings.sound(("session",)) else config.session,
            "providers": {name: _provider(provider) for name, provider in config.providers.items()},
            "routes": tuple(
                _route(route, serves_files=_serves_files(route, ("routes", index), findings), config=config)
                for index, route in enumerate(config.routes)
            ),
        }
    )


def _session(session: SessionConfig) -> SessionConfig:
    if session.keys or not session.store.in_memory:
        return session
    return session.model_copy(update={"keys": (MadeSecret(value=secrets.token_urlsafe(32)),)})


def _provider(provider: ProviderConfig) -> ProviderConfig:
    said = provider.model_fields_set
    update: dict[str, object] = {}
    if provider.token_endpoint is not None and provider.metadata_url is None and "discovery" not in said:
        update["discovery"] = "off"
    if update.get("discovery", provider.discovery) == "off" and "unadvertised_iss" not in said:
        update["unadvertised_iss"] = "check"  # nothing could have advertised it
    if provider.client_auth is None and not provider.client_secrets:
        update["client_auth"] = _client_auth(provider)
    return provider.model_copy(update=update) if update else provider


def _client_auth(provider: ProviderConfig) -> ClientAuth | None:
    """The method of the only credential that there is; None: with a secret, the metadata says which (`oauth/client_auth.py`)."""
    if provider.client_keys:
        return "private_key_jwt"
    if provider.client_assertion is not None:
        return "client_assertion"
    return None if provider.client_certificate is None else "tls_client_auth"


def _serves_files(route: RouteConfig, path: KeyPath, findings: Findings) -> bool:
    return route.files is not None or not findings.sound((*path, "files"))


def _route(route: RouteConfig, *, serves_files: bool, config: Config) -> RouteConfig:
    if serves_files and "token" not in route.model_fields_set:
        return route.model_copy(update={"token": TokenKind.NONE})
    if route.token is not TokenKind.NONE and route.provider is None and len(config.providers) == 1:
        return route.model_copy(update={"provider": next(iter(config.providers))})
    return route
