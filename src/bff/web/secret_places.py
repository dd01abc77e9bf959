"""Where a configuration has secrets whose uses are noted (`secret_uses.py`)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from bff.config.model import CertificateConfig, Config, ProviderConfig
from bff.secret_uses import CLIENT_CERTIFICATE, PROXY_CREDENTIALS, ROUTES, SESSION


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretPlace:
    """One secret or key of the configuration: `SecretPlace(owner="corp", position="client_secrets[0]", read=...)`.

    `owner` and `position` are those under which its uses are noted. `route` is the path of the route that shows a certificate; all
    routes share one position, because one certificate may be shown by several.
    """

    owner: str
    position: str
    read: Callable[[], str]
    route: str | None = None


def secrets_of(config: Config) -> Iterator[SecretPlace]:
    """Every secret and key whose uses are noted, session keys first."""
    for number, key in enumerate(config.session.keys):
        yield SecretPlace(owner=SESSION, position=f"keys[{number}]", read=key.read)
    for name, provider in config.providers.items():
        yield from _of_provider(name, provider)
    for route in config.routes:
        if route.client_certificate is not None:
            read = partial(_certificate, route.client_certificate)
            yield SecretPlace(owner=ROUTES, position=CLIENT_CERTIFICATE, read=read, route=str(route.path))


def secret_places(config: Config) -> frozenset[tuple[str, str]]:
    """The owner and the position of each."""
    return frozenset((secret.owner, secret.position) for secret in secrets_of(config))


def _of_provider(name: str, provider: ProviderConfig) -> Iterator[SecretPlace]:
    for number, secret in enumerate(provider.client_secrets):
        yield SecretPlace(owner=name, position=f"client_secrets[{number}]", read=secret.read)
    for number, key in enumerate(provider.client_keys):
        yield SecretPlace(owner=name, position=f"client_keys[{number}]", read=key.read)
    if provider.client_assertion is not None:
        yield SecretPlace(owner=name, position="client_assertion", read=provider.client_assertion.read)
    if provider.proxy_credentials is not None:
        yield SecretPlace(owner=name, position=PROXY_CREDENTIALS, read=provider.proxy_credentials.read)
    if provider.client_certificate is not None:
        read = partial(_certificate, provider.client_certificate)
        yield SecretPlace(owner=name, position=CLIENT_CERTIFICATE, read=read)


def _certificate(pair: CertificateConfig) -> str:
    return pair.certificate.read_text(encoding="ascii", errors="replace")
