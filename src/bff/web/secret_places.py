"""Where a configuration has secrets whose uses are noted (`secret_uses.py`)."""

from collections.abc import Iterator

from bff.config.model import Config
from bff.secret_uses import SESSION


def secret_places(config: Config) -> frozenset[tuple[str, str]]:
    """The owner and the position of each, as the file names them: `("corp", "client_secrets[0]")`."""
    return frozenset(_places(config))


def _places(config: Config) -> Iterator[tuple[str, str]]:
    yield from ((SESSION, f"keys[{number}]") for number in range(len(config.session.keys)))
    for name, provider in config.providers.items():
        yield from ((name, f"client_secrets[{number}]") for number in range(len(provider.client_secrets)))
        yield from ((name, f"client_keys[{number}]") for number in range(len(provider.client_keys)))
        if provider.client_certificate is not None:
            yield name, "client_certificate"
