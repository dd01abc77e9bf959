"""Where a configuration has secrets: their uses are noted (`secret_uses.py`), and what becomes of their files is told of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain

from bff.config.model import Config, ProviderConfig
from bff.config.values.certificates import certificate_text
from bff.config.values.secrets import FileSecret, Secret
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
    for position, secret in _session_keys(config):
        yield SecretPlace(owner=SESSION, position=position, read=secret.read)
    for name, provider in config.providers.items():
        for position, secret in _texts(provider):
            yield SecretPlace(owner=name, position=position, read=secret.read)
        if provider.client_certificate is not None:
            read = partial(certificate_text, provider.client_certificate.certificate)
            yield SecretPlace(owner=name, position=CLIENT_CERTIFICATE, read=read)
    for route in config.routes:
        if route.client_certificate is not None:
            read = partial(certificate_text, route.client_certificate.certificate)
            yield SecretPlace(owner=ROUTES, position=CLIENT_CERTIFICATE, read=read, route=str(route.path))


def secret_places(config: Config) -> frozenset[tuple[str, str]]:
    """The owner and the position of each."""
    return frozenset((secret.owner, secret.position) for secret in secrets_of(config))


def watch_files(config: Config, unusable: Callable[[str, str], None]) -> None:
    """Have `unusable` called with the file of a secret that has changed and cannot be used, and why."""
    for _, secret in chain(_session_keys(config), *map(_texts, config.providers.values())):
        if isinstance(secret, FileSecret):
            secret.unusable = unusable


def _session_keys(config: Config) -> Iterator[tuple[str, Secret]]:
    return ((f"keys[{number}]", key) for number, key in enumerate(config.session.keys))


def _texts(provider: ProviderConfig) -> Iterator[tuple[str, Secret]]:
    """Position and reference of each secret that is a text."""
    for number, secret in enumerate(provider.client_secrets):
        yield f"client_secrets[{number}]", secret
    for number, key in enumerate(provider.client_keys):
        yield f"client_keys[{number}]", key
    if provider.client_assertion is not None:
        yield "client_assertion", provider.client_assertion
    if provider.proxy_credentials is not None:
        yield PROXY_CREDENTIALS, provider.proxy_credentials
