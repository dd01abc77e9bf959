"""Whether an upstream can be reached, in the words of `failures.py`, for `bff check --online`. Its health page alone is asked."""

from bff.config.model import RouteConfig
from bff.config.values.urls import UpstreamUrl
from bff.errors import UpstreamBroke, UpstreamUnreachable
from bff.proxy.dialing import Dialer, UpstreamTls
from bff.proxy.health import Probe, flaw_of
from bff.proxy.pools import server_of


async def probe(upstream: UpstreamUrl, route: RouteConfig) -> None:
    """Connect as a call on this route would, TLS included, and close; then ask the health page, if the route has one.

    Raises:
        UpstreamUnreachable: `name`, `refused`, `certificate`, `tls` or `unreachable`.
        UpstreamTimeout: `connect`.
        UpstreamBroke: `what` says what the health page answered.
    """
    try:
        tls = UpstreamTls(server_of(upstream, route).tls, unusable=lambda *_: None) if upstream.tls else None
    except OSError as error:  # ssl.SSLError is one
        raise UpstreamUnreachable(type(error).__name__, origin=upstream.origin, reason="tls") from error
    dialer = Dialer(upstream, tls=tls)
    connection = await dialer.dial(Probe, seconds=route.timeouts.connect)
    connection.close()
    flaw = None if route.health is None else await flaw_of(dialer, route.health)
    if flaw is not None:
        raise UpstreamBroke(f"its health page is not well: {flaw}", origin=upstream.origin)
