"""What the endpoints work with, put together once in `app.py` and handed to each recipe."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bff.config.model import Config
from bff.errors import MalformedRequest
from bff.provider.client import Provider
from bff.proxy.forward import Forwarder
from bff.proxy.routes import RouteTable
from bff.sessions.local_copies import LocalCopies
from bff.sessions.model import Grant
from bff.sessions.store import SessionStore
from bff.tokens.background import BackgroundTasks
from bff.tokens.client_credentials import ClientCredentials
from bff.tokens.refresh import Refresher
from bff.web.access import RouteAccess
from bff.web.cookies import CookieSigner
from bff.web.files import AppFiles
from bff.web.streams import OpenStreams


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts of one running gateway; nothing here belongs to one request."""

    config: Config
    site: "Site"
    clock: Callable[[], float]
    store: SessionStore
    copies: LocalCopies
    streams: OpenStreams
    signer: CookieSigner
    providers: Mapping[str, Provider]
    refresher: Refresher
    client_credentials: ClientCredentials
    tasks: BackgroundTasks
    routes: RouteTable
    access: Mapping[bytes, RouteAccess]  # by the route's prefix
    forwarder: Forwarder
    files: Mapping[bytes, AppFiles]  # by the route's prefix
    trusts: Callable[[str], bool]  # whether this peer's address is a trusted proxy's

    def provider(self, name: str | None) -> Provider:
        """The provider of this name; the first of the file if none is named.

        Raises:
            MalformedRequest: there is none of this name.
        """
        if name is None:
            return next(iter(self.providers.values()))
        found = self.providers.get(name)
        if found is None:
            raise MalformedRequest("There is no such provider.")
        return found

    def gave(self, grant: Grant) -> bool:
        """Whether a provider of this configuration gave it: sessions outlive changes of names and issuers (R-143)."""
        provider = self.providers.get(grant.provider)
        return provider is not None and provider.config.issuer == grant.issuer


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Who we are to browsers: from `public_url`, never from a request (RFC 9700 section 4.1.3)."""

    origin: str  # scheme://host[:port], as in the Origin field
    origin_bytes: bytes
    scheme: bytes
    host: bytes  # host[:port], as in the Host field
    base_path: str

    @property
    def https(self) -> bool:
        """Whether browsers reach us over TLS."""
        return self.scheme == b"https"

    def url(self, path: str) -> str:
        """The absolute URL of one of our paths."""
        return f"{self.origin}{path}"


def site_of(config: Config) -> Site:
    """The site that the configuration describes."""
    url = config.public_url
    return Site(
        origin=url.text,
        origin_bytes=url.raw,
        scheme=url.scheme.encode("ascii"),
        host=url.authority,
        base_path=config.base_path,
    )
