"""What is made of one configuration, for the recipes (`Gateway`), and what lives as long as the process does (`Process`).

A `Gateway` holds nothing of a request and opens nothing: it can be replaced whole by one of another configuration. Sessions, open
streams, connections, refreshes under way, and what is known of providers that did not change are in the `Process`, and go on.
The gateway that judged a request serves it to its end.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache

from bff.clock import Clock, wall
from bff.config.insecure import insecure_keys
from bff.config.model import Config
from bff.errors import MalformedRequest
from bff.provider.client import Provider
from bff.provider.http import Transport
from bff.provider.providers import Providers
from bff.proxy.forward import Forwarder, is_trusted
from bff.proxy.pools import UpstreamPools
from bff.proxy.response_head import forget_heads
from bff.proxy.routes import RouteTable
from bff.request_head import forget_sections
from bff.secret_uses import SecretUses
from bff.sessions.local_copies import ChangeFanout, LocalCopies
from bff.sessions.model import Grant
from bff.sessions.opening import open_store
from bff.sessions.sealing import Sealer
from bff.sessions.secret_notes import SecretNotes
from bff.sessions.store import SessionStore
from bff.telemetry import running as telemetry
from bff.telemetry import traces, upstreams
from bff.tokens.background import BackgroundTasks
from bff.tokens.grants import is_of
from bff.tokens.keeping import TokenKeeping, TokenKeepings
from bff.tokens.proofs import Proofs
from bff.tokens.revoking import revoke
from bff.web.answers import OwnAnswer
from bff.web.cookies import Cookies, CookieSigner
from bff.web.files import AppFiles
from bff.web.route_policy import RoutePolicy, route_policy
from bff.web.secret_places import secret_places, watch_files
from bff.web.streams import OpenStreams

DEFAULT_BASE_PATH = "/bff"
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
    sign_ins: "dict[str, asyncio.Task[OwnAnswer]]"  # callbacks that are being answered, by their transaction's name
    proofs: Proofs
    providers: Providers
    tokens: TokenKeepings
    secret_uses: SecretUses

    async def shared_now(self) -> float:
        """Now by the clock that all processes share: for an instant that another one may compare."""
        return await self.store.shared_instant(self.clock())


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What is made of one configuration."""

    config: Config
    process: Process
    site: "Site"
    cookies: Cookies
    signer: CookieSigner
    login_sealer: Sealer  # of sign-ins under way
    providers: Mapping[str, Provider]
    tokens: Mapping[str, TokenKeeping]  # by the provider's name
    routes: RouteTable
    policies: Mapping[bytes, RoutePolicy]  # by the route's prefix
    forwarder: Forwarder
    files: Mapping[bytes, AppFiles]  # by the route's prefix
    endpoints_below: bytes  # `base_path` and a slash
    logs_access: bool
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
        """Whether a provider of this configuration gave it, to this client: sessions outlive changes of names and issuers (R-143),
        and another gateway may use the same store (R-307)."""
        provider = self.providers.get(grant.provider)
        return provider is not None and is_of(grant, provider.config)

    def revoke(self, grants: Iterable[Grant]) -> None:
        """Tell our providers, in the background, that no session holds these any more (RFC 7009)."""
        ours = [grant for grant in grants if self.gave(grant)]
        if ours:
            self.process.tasks.start(revoke(ours, providers=self.providers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Who we are to browsers: from `public_url`, never from a request (RFC 9700 section 4.1.3)."""

    origin: str  # scheme://host[:port], as in the Origin field
    origin_bytes: bytes
    allowed_origins: frozenset[bytes]  # of other pages that may call with credentials
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
        allowed_origins=frozenset(origin.raw for origin in config.allowed_origins),
        scheme=url.scheme.encode("ascii"),
        host=url.authority,
        base_path=config.base_path,
    )


def build_process(config: Config, *, clock: Clock = wall, provider_transport: Transport | None = None) -> Process:
    """The parts that live for the process; nothing is opened yet. `provider_transport`: instead of the network, in tests."""
    uses, tasks = SecretUses(clock=clock), BackgroundTasks()
    store = open_store(config.session, uses=uses, clock=clock)
    return Process(
        clock=clock,
        store=store,
        copies=LocalCopies(max_age_seconds=config.session.local_copy),
        streams=OpenStreams(store=store, clock=clock),
        tasks=tasks,
        pools=UpstreamPools(upstreams, shown=uses.note_shown),
        sign_ins={},
        proofs=Proofs(clock=clock),
        providers=Providers(clock=clock, transport=provider_transport, uses=uses),
        tokens=TokenKeepings(store=store, tasks=tasks, clock=clock),
        secret_uses=uses,
    )


def build_gateway(config: Config, process: Process) -> Gateway:
    """What the configuration makes.

    Raises:
        OSError: a CA file cannot be used.
    """
    watch_files(config, telemetry.file_unusable)
    site = site_of(config)
    cookies = Cookies(suffix=config.session.cookie_suffix)
    routes = RouteTable(
        config.routes,
        max_body=config.limits.max_body,
        public_origin=site.origin_bytes,
        speaks_cors=bool(site.allowed_origins),
    )
    providers = {
        name: process.providers.provider(
            name=name, config=settings, redirect_uri=site.url(f"{config.base_path}/callback/{name}")
        )
        for name, settings in config.providers.items()
    }
    return Gateway(
        config=config,
        process=process,
        site=site,
        cookies=cookies,
        signer=CookieSigner(config.session.keys, uses=process.secret_uses),
        login_sealer=Sealer(config.session.keys, purpose=b"login "),
        providers=providers,
        tokens=process.tokens.of(providers),
        routes=routes,
        policies={route.prefix: route_policy(route.config) for route in routes.routes},
        forwarder=Forwarder(routes.routes, pools=process.pools, public_scheme=site.scheme, public_host=site.host),
        files={
            route.prefix: AppFiles(route.config.files, https=site.https, changes=route.config.response_headers.changes)
            for route in routes.routes
            if route.config.files is not None
        },
        endpoints_below=config.base_path.encode("ascii") + b"/",
        logs_access=config.log.access,
        trusts=lru_cache(maxsize=4096)(lambda peer: is_trusted(peer, networks=config.trusted_proxies)),
    )


def settle(process: Process, config: Config) -> None:
    """Have the parts of the process go by this configuration from now on."""
    session = config.session
    process.pools.follow(config.routes)
    process.store.change_settings(idle_timeout_seconds=session.idle_timeout, sealing_keys=session.keys)
    process.copies.max_age_seconds = session.local_copy
    in_use = secret_places(config)
    process.secret_uses.keep(in_use)
    telemetry.in_force(providers=config.providers, secrets=in_use, tls=config.tls is not None)
    process.copies.forget()  # what was found by cookies that the former gateway accepted, and made by its settings
    forget_sections()  # and heads: in their memos is what was judged and written by its rules
    forget_heads()


def announce(config: Config) -> None:
    """Log what weakens security in this configuration, and what is probably not what is wanted."""
    for key in insecure_keys(config):
        telemetry.insecure_switch(key=key)
    if config.base_path != DEFAULT_BASE_PATH and config.session.cookie_suffix is None:
        telemetry.cookies_shared(base_path=config.base_path)


@asynccontextmanager
async def running(gateway: Callable[[], Gateway], process: Process) -> AsyncIterator[None]:
    """Open what needs a running loop, and close everything again; the store may come later (R-190)."""
    renewing = process.tokens.renewing
    process.providers.open()
    await process.store.open(
        ChangeFanout([process.copies, process.streams, renewing.waits, renewing.circuits, renewing.kept]),
        on_message=renewing.circuits.receive,
    )
    notes = SecretNotes(uses=process.secret_uses, store=process.store, clock=process.clock)
    always = (process.streams.look(), notes.keep(), telemetry.pouring())
    going_on = [asyncio.create_task(one) for one in always]
    process.pools.follow(gateway().config.routes)
    announce(gateway().config)
    telemetry.gateway_started(public_url=gateway().config.public_url.text)
    try:
        yield
    finally:
        for task in going_on:
            task.cancel()
        await asyncio.wait(going_on)
        await _finish_renewals(process)
        await notes.write()
        await process.pools.aclose()
        await process.providers.close()
        await process.store.close()
        await asyncio.to_thread(traces.stop)  # it waits for the collector
        telemetry.gateway_stopped()


async def _finish_renewals(process: Process) -> None:
    """Hear out what was sent and write what it brings; give up what only queues (R-344)."""
    process.tasks.stopping = True
    await process.providers.give_up_queueing()
    await process.tasks.close(grace_seconds=process.providers.longest_call_seconds + WRITE_GRACE_SECONDS)
    await process.tokens.renewing.holder.close()
