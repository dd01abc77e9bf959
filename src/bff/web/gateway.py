"""What is made of one configuration, for the recipes (`Gateway`), and what lives as long as the process does (`Process`).

A `Gateway` holds nothing of a request and opens nothing: it can be replaced whole by one of another configuration, while sessions,
copies, open streams, connections and refreshes of the `Process` go on.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache

import httpx2

from bff.clock import Clock, wall
from bff.config.insecure import insecure_keys
from bff.config.model import Config
from bff.errors import MalformedRequest
from bff.provider.client import Provider
from bff.proxy.forward import Forwarder, is_trusted
from bff.proxy.pool import UpstreamPools
from bff.proxy.routes import RouteTable
from bff.sessions.local_copies import ChangeFanout, LocalCopies
from bff.sessions.model import Grant
from bff.sessions.opening import open_store
from bff.sessions.sealing import Sealer
from bff.sessions.store import SessionStore
from bff.telemetry import running as telemetry
from bff.tokens.background import BackgroundTasks
from bff.tokens.client_credentials import ClientCredentials
from bff.tokens.exchanged import ExchangedTokens
from bff.tokens.refresh import Refresher
from bff.tokens.renewal import Renewal
from bff.tokens.renewing import Renewing, renewing
from bff.web.cookies import CookieSigner
from bff.web.files import AppFiles
from bff.web.route_policy import RoutePolicy, route_policy
from bff.web.streams import OpenStreams

WRITE_GRACE_SECONDS = 10.0  # for writing what the last call brought


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """What lives as long as the process; nothing in it belongs to one request or to one configuration."""

    clock: Clock
    store: SessionStore
    copies: LocalCopies
    streams: OpenStreams
    tasks: BackgroundTasks
    pools: UpstreamPools
    renewing: Renewing


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What is made of one configuration."""

    config: Config
    process: Process
    site: "Site"
    signer: CookieSigner  # of the session cookie
    login_sealer: Sealer  # of sign-ins under way
    providers: Mapping[str, Provider]
    refresher: Refresher
    client_credentials: ClientCredentials
    exchanged: ExchangedTokens
    routes: RouteTable
    policies: Mapping[bytes, RoutePolicy]  # by the route's prefix
    forwarder: Forwarder
    files: Mapping[bytes, AppFiles]  # by the route's prefix
    endpoints_below: bytes  # `base_path` and a slash
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


def build_process(config: Config, *, clock: Clock = wall) -> Process:
    """The parts that live for the process; nothing is opened yet."""
    store, tasks = open_store(config.session), BackgroundTasks()
    return Process(
        clock=clock,
        store=store,
        copies=LocalCopies(max_age_seconds=config.session.local_copy),
        streams=OpenStreams(store=store, clock=clock),
        tasks=tasks,
        pools=UpstreamPools(),
        renewing=renewing(store=store, tasks=tasks, clock=clock),
    )


def build_gateway(
    config: Config, process: Process, *, provider_transport: httpx2.AsyncBaseTransport | None = None
) -> Gateway:
    """What the configuration makes. `provider_transport` takes the place of the network towards providers, in tests.

    Raises:
        OSError: a CA file cannot be used.
    """
    site, clock, tasks = site_of(config), process.clock, process.tasks
    routes = RouteTable(config.routes, max_body=config.limits.max_body)
    providers = {
        name: Provider(
            name=name,
            config=settings,
            redirect_uri=site.url(f"{config.base_path}/callback/{name}"),
            clock=clock,
            transport=provider_transport,
        )
        for name, settings in config.providers.items()
    }
    renewal = Renewal(renewing=process.renewing, providers=providers)
    return Gateway(
        config=config,
        process=process,
        site=site,
        signer=CookieSigner(config.session.keys),
        login_sealer=Sealer(config.session.keys, purpose=b"login "),
        providers=providers,
        refresher=Refresher(renewal=renewal, tasks=tasks, clock=clock),
        client_credentials=ClientCredentials(providers=providers, tasks=tasks, clock=clock),
        exchanged=ExchangedTokens(providers=providers, tasks=tasks, clock=clock),
        routes=routes,
        policies={route.prefix: route_policy(route.config) for route in routes.routes},
        forwarder=Forwarder(routes.routes, pools=process.pools, public_scheme=site.scheme, public_host=site.host),
        files={
            route.prefix: AppFiles(route.config.files, https=site.https, changes=route.config.response_headers.changes)
            for route in routes.routes
            if route.config.files is not None
        },
        endpoints_below=config.base_path.encode("ascii") + b"/",
        trusts=lru_cache(maxsize=4096)(lambda peer: is_trusted(peer, networks=config.trusted_proxies)),
    )


@asynccontextmanager
async def running(gateway: Callable[[], Gateway], process: Process) -> AsyncIterator[None]:
    """Open what needs a running loop, and close everything again; the store may come later (R-190)."""
    await process.store.open(ChangeFanout([process.copies, process.streams, process.renewing.waits]))
    looking = asyncio.create_task(process.streams.look())
    for key in insecure_keys(gateway().config):
        telemetry.insecure_switch(key=key)
    telemetry.gateway_started(public_url=gateway().config.public_url.text)
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        await _finish_renewals(gateway(), process)
        await process.pools.aclose()
        for provider in gateway().providers.values():
            await provider.close()
        await process.store.close()
        telemetry.gateway_stopped()


async def _finish_renewals(gateway: Gateway, process: Process) -> None:
    """Hear out what was sent and write what it brings; give up what only queues (R-344)."""
    process.tasks.stopping = True
    for provider in gateway.providers.values():
        await provider.give_up_queueing()
    limits = [provider.call_limit_seconds for provider in gateway.providers.values()]
    await process.tasks.close(grace_seconds=max(limits, default=0.0) + WRITE_GRACE_SECONDS)
    await process.renewing.holder.close()
