"""All pools of a process: they outlive the configuration that first asked for them. One that no configuration in use names lives until
its exchanges have ended and its idle connections are closed.

Routes that lead to one origin under the same settings share a pool; the key names everything that distinguishes (invariant 8).
All pools that connect and check in the same way share what is known of the upstream's standing.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple, Protocol
from weakref import WeakValueDictionary

from bff.config.model import HealthConfig, RouteConfig
from bff.config.values.urls import UpstreamUrl
from bff.proxy.dialing import Dialer, TlsSettings, UpstreamTls
from bff.proxy.health import Checked, HealthChecks
from bff.proxy.pool import UpstreamPool
from bff.proxy.standing import Standing


class Watch(Protocol):
    """Who is told of upstreams, by their origin (`telemetry/upstreams.py`)."""

    def known(self, origin: str, *, is_out: bool) -> None:
        """The configuration names it from now on; `is_out`: it has been left out before."""
        ...

    def gone(self, origin: str) -> None:
        """The configuration names it no more."""
        ...

    def left_out(self, origin: str, *, reason: str) -> None:
        """It failed: while others of its list answer, it gets no requests."""
        ...

    def back(self, origin: str) -> None:
        """It answers again."""
        ...

    def file_unusable(self, file: str, reason: str) -> None:
        """A client certificate or a CA file has changed and cannot be used."""
        ...


class Server(NamedTuple):
    """What makes two upstreams one: where they are, how they prove themselves, and how they are checked."""

    url: UpstreamUrl  # without a base path: base paths share connections
    tls: TlsSettings
    health: HealthConfig | None


class PoolKey(NamedTuple):
    """What makes two routes' pools one."""

    server: Server
    timeouts: tuple[float, float, float, float | None]
    max_connections: int
    max_waiting: int
    max_age: float


def server_of(upstream: UpstreamUrl, config: RouteConfig) -> Server:
    """One upstream of a route."""
    shown = config.client_certificate
    tls = TlsSettings(config.ca_file, config.server_name, None if shown is None else (shown.certificate, shown.key))
    return Server(replace(upstream, base_path=b""), tls, config.health)


def pool_key(upstream: UpstreamUrl, config: RouteConfig) -> PoolKey:
    """The key of an upstream's pool under a route's settings."""
    timeouts = config.timeouts
    return PoolKey(
        server_of(upstream, config),
        (timeouts.connect, timeouts.first_byte, timeouts.idle, timeouts.total),
        config.max_connections,
        config.max_waiting,
        config.max_connection_age,
    )


class UpstreamPools:
    """The pools, each made when it is first asked for. `shown` is told the text of each client certificate that is shown."""

    def __init__(self, watch: Watch, *, shown: Callable[[str], None] = lambda _: None) -> None:
        self._by_key: WeakValueDictionary[PoolKey, UpstreamPool] = WeakValueDictionary()
        self._tls: WeakValueDictionary[TlsSettings, UpstreamTls] = WeakValueDictionary()
        self._dialers: WeakValueDictionary[Server, Dialer] = WeakValueDictionary()
        self._standings: WeakValueDictionary[Server, Standing] = WeakValueDictionary()
        self._checks = HealthChecks()
        self._named: frozenset[str] | None = None  # the origins of the configuration in force, once there is one
        self._watch = watch
        self._shown = shown

    def __iter__(self) -> Iterator[UpstreamPool]:
        return iter(tuple(self._by_key.values()))

    def pool(self, upstream: UpstreamUrl, config: RouteConfig) -> UpstreamPool:
        """The pool of this upstream under the settings of a route.

        Raises:
            OSError: a file of certificates or keys cannot be used (ssl.SSLError is one).
        """
        key = pool_key(upstream, config)
        pool = self._by_key.get(key)
        if pool is None:
            pool = self._by_key[key] = UpstreamPool(
                self._dialer_of(key.server),
                timeouts=config.timeouts,
                max_connections=config.max_connections,
                max_waiting=config.max_waiting,
                max_age=config.max_connection_age,
                standing=self._standing_of(key.server),
            )
        return pool

    def follow(self, routes: Iterable[RouteConfig]) -> None:
        """From now on these routes are in force: watch their upstreams, and no others, and ask those that have a `health` section."""
        servers = {server_of(upstream, route) for route in routes for upstream in route.upstream or ()}
        checked: dict[object, Checked] = {
            server: Checked(self._dialer_of(server), server.health, self._standing_of(server))
            for server in servers
            if server.health is not None
        }
        self._checks.follow(checked)
        former, self._named = self._named or frozenset(), frozenset(server.url.origin for server in servers)
        for origin in former - self._named:
            self._watch.gone(origin)
        for origin in self._named - former:
            self._watch.known(origin, is_out=self._is_out(origin))

    def _is_out(self, origin: str) -> bool:
        return any(standing.is_out for server, standing in self._standings.items() if server.url.origin == origin)

    def _dialer_of(self, server: Server) -> Dialer:
        dialer = self._dialers.get(server)
        if dialer is None:
            tls = self._tls_of(server.tls) if server.url.tls else None
            dialer = self._dialers[server] = Dialer(server.url, tls=tls)
        return dialer

    def _standing_of(self, server: Server) -> Standing:
        standing = self._standings.get(server)
        if standing is None:
            origin = server.url.origin
            standing = self._standings[server] = Standing(on_change=lambda reason: self._changed(origin, reason))
        return standing

    def _changed(self, origin: str, reason: str | None) -> None:
        """Of an upstream that the configuration in force does not name, nothing is said: calls of the former one end there."""
        if self._named is not None and origin not in self._named:
            return
        if reason is None:
            self._watch.back(origin)
        else:
            self._watch.left_out(origin, reason=reason)

    def _tls_of(self, settings: TlsSettings) -> UpstreamTls:
        tls = self._tls.get(settings)
        if tls is None:
            tls = self._tls[settings] = UpstreamTls(settings, unusable=self._watch.file_unusable, shown=self._shown)
        return tls

    async def aclose(self) -> None:
        """Close every connection; what is under way breaks."""
        await self._checks.aclose()
        for pool in self:
            await pool.aclose()
