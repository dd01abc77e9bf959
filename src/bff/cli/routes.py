"""`bff routes`: the table of routes, the longest path first, as they are matched."""

from collections.abc import Iterator, Sequence

from bff.cli.columns import aligned
from bff.config.model import Config, RouteConfig, TokenKind

HEAD = ("PATH", "TO", "TOKEN", "PROVIDER", "CSRF", "METHODS", "MORE")


def table(config: Config) -> list[str]:
    """The lines of the table."""
    routes = sorted(config.routes, key=lambda route: len(route.path.raw), reverse=True)
    return aligned([HEAD, *map(_row, routes)])


def _row(route: RouteConfig) -> Sequence[str]:
    asks = route.token is not TokenKind.NONE
    methods = "default" if route.methods is None else ",".join(route.allowed_methods)
    to = route.files or ",".join(map(str, route.upstream or ())) or "(asked about)"
    return (
        route.path.text,
        str(to),
        str(route.token),
        (route.provider or "-") if asks else "-",
        route.csrf if asks else "-",
        methods,
        " ".join(_more(route)) or "-",
    )


def _more(route: RouteConfig) -> Iterator[str]:
    """What else sets it apart, in the words of the file."""
    if route.websocket:
        yield "websocket"
    if route.balance != "least_busy":
        yield f"balance:{route.balance}"
    if route.health is not None:
        yield f"health:{route.health.path}"
    if route.require is not None:
        yield "require"
    if route.exchange is not None:
        yield "exchange"
    if route.bearer == "pass":
        yield "bearer:pass"
    if route.session == "none":
        yield "session:none"
    if not route.touch:
        yield "touch:false"
