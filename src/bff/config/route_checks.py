"""Checks across the keys of one route, of all routes, and of the providers that they name."""

from bff.config.model import Config, ExchangeConfig, RequireConfig, RouteConfig, TokenKind
from bff.config.problems import Findings, KeyPath, suggestion
from bff.config.values.paths import PathPrefix
from bff.config.values.words import FILE_METHODS, MAX_ACR_BYTES

_NEEDS_TOKEN = ("resource", "audience", "scope")
_NEEDS_UPSTREAM = (
    "balance",
    "ca_file",
    "client_certificate",
    "health",
    "max_connection_age",
    "server_name",
    "map_location",
    "max_body",
    "max_connections",
    "max_waiting",
    "pass_host",
    "response_headers",
    "timeouts",
)
_OF_TLS = ("ca_file", "server_name", "client_certificate")


def check_routes(config: Config, findings: Findings) -> None:
    """Report routes that contradict themselves, each other, or the rest of the file."""
    for index, route in enumerate(config.routes):
        path: KeyPath = ("routes", index)
        _check_destination(route, config, path, findings)
        _check_upstreams(route, path, findings)
        _check_own_endpoints(route, config.base_path, path, findings)
        _check_token(route, path, findings)
        _check_provider(route, config, path, findings)
        _check_pages(route, path, findings)
        _check_require(route, path, findings)
        _check_exchange(route, path, findings)
        _check_request_headers(route, path, findings)
        _check_response_headers(route, path, findings)
        if route.files is not None:
            _check_files(route, path, findings)
    _check_overlaps(config.routes, findings)


def _check_destination(route: RouteConfig, config: Config, path: KeyPath, findings: Findings) -> None:
    if not findings.sound((*path, "upstream"), (*path, "files")):
        return
    if route.upstream is None and route.files is None:
        _check_only_asked(route, config, path, findings)
    if route.upstream is not None and route.files is not None:
        findings.report_key((*path, "files"), "stands beside `upstream`: a route leads to one of them")
    if route.upstream is not None and not route.upstream[0].tls:
        for key in _OF_TLS:
            if getattr(route, key) is not None:
                findings.report_key((*path, key), "is of no use: the upstream is plain http")


def _check_upstreams(route: RouteConfig, path: KeyPath, findings: Findings) -> None:
    """Any of a list may answer any request: they differ in where they are, and in nothing else."""
    at = (*path, "upstream")
    if route.upstream is None or not findings.sound(at):
        return
    first = route.upstream[0]
    for index, upstream in enumerate(route.upstream[1:], 1):
        if upstream in route.upstream[:index]:
            findings.report((*at, index), "stands in this list already")
        elif upstream.tls != first.tls:
            findings.report((*at, index), "is over TLS or not, unlike the first: all of a list have the same scheme")
        elif upstream.base_path != first.base_path:
            findings.report((*at, index), "has another path than the first: all of a list have the same")
    if len(route.upstream) == 1 and route.balance != "least_busy":
        findings.report_key((*path, "balance"), "is of no use: there is one upstream")


def _check_only_asked(route: RouteConfig, config: Config, path: KeyPath, findings: Findings) -> None:
    """A route that a proxy asks about, and forwards itself: what concerns the connection and the answer is the proxy's."""
    if config.forward_auth is None:
        if findings.sound(("forward_auth",)):
            findings.report_key(path, "leads nowhere: it needs `upstream` or `files`")
        return
    for key in _NEEDS_UPSTREAM:
        if key in route.model_fields_set:
            findings.report_key((*path, key), "is of no use without `upstream`: the proxy that asks forwards itself")
    provider = config.providers.get(route.provider or "")
    if route.token is not TokenKind.NONE and provider is not None and provider.dpop == "on":
        findings.report_key(path, "needs `upstream`: a token with `dpop: on` can be used by the gateway alone")


def _check_own_endpoints(route: RouteConfig, base_path: str, path: KeyPath, findings: Findings) -> None:
    if not findings.sound((*path, "path"), ("base_path",)):
        return
    if route.path.text == base_path or route.path.text.startswith(f"{base_path}/"):
        findings.report((*path, "path"), "is below base_path, where the gateway answers itself: it would never match")


def _check_token(route: RouteConfig, path: KeyPath, findings: Findings) -> None:
    if not findings.sound((*path, "token")):
        return
    if route.session == "none" and route.token is not TokenKind.CLIENT and findings.sound((*path, "session")):
        findings.report((*path, "session"), "`none` is for `token: client` only")
    if route.token is TokenKind.NONE and route.files is None:
        for key in _NEEDS_TOKEN:
            if getattr(route, key) is not None:
                findings.report_key((*path, key), "is of no use with `token: none`")


def _check_provider(route: RouteConfig, config: Config, path: KeyPath, findings: Findings) -> None:
    at = (*path, "provider")
    if route.token is TokenKind.NONE or not config.providers or not findings.sound((*path, "token"), at):
        return
    if route.provider is None:
        findings.report(at, f"is missing: say which of {', '.join(config.providers)}")
    elif route.provider not in config.providers:
        known = f"; known: {', '.join(config.providers)}"
        findings.report(at, f"is no provider of this file{suggestion(route.provider, config.providers) or known}")


def _check_pages(route: RouteConfig, path: KeyPath, findings: Findings) -> None:
    if not route.cross_site_pages or not findings.sound((*path, "csrf"), (*path, "token"), (*path, "files")):
        return
    if route.token is TokenKind.NONE:
        findings.report_key((*path, "cross_site_pages"), "is of no use here: nothing on this route rests on the cookie")
    elif route.csrf != "origin":
        findings.report_key((*path, "cross_site_pages"), "needs `csrf: origin`: other routes serve no pages")


def _check_require(route: RouteConfig, path: KeyPath, findings: Findings) -> None:
    """A requirement is of a user: a route that also forwards without one would let everyone else through."""
    at = (*path, "require")
    if route.require is None or route.files is not None or not findings.sound((*path, "token"), at):
        return
    has_user = route.token is TokenKind.USER or (route.token is TokenKind.CLIENT and route.session == "required")
    if not has_user:
        findings.report_key(at, "needs a signed-in user: `token: user`, or `token: client` with a session")
    elif route.require == RequireConfig():
        findings.report(at, "requires nothing: it needs `claims`, `acr_values` or `max_age`")
    elif len(" ".join(route.require.acr_values)) > MAX_ACR_BYTES:
        findings.report(
            (*at, "acr_values"), f"are more than {MAX_ACR_BYTES} bytes together: more do not fit into `state`"
        )
    if route.bearer == "pass":
        findings.warn(at, "does not judge a request that brings its own bearer token (`bearer: pass`): the API has to")


def _check_exchange(route: RouteConfig, path: KeyPath, findings: Findings) -> None:
    at = (*path, "exchange")
    if route.exchange is None or route.files is not None or not findings.sound((*path, "token"), at):
        return
    if route.token in {TokenKind.NONE, TokenKind.CLIENT}:
        findings.report_key(at, f"exchanges the user's token, which `token: {route.token}` does not attach")
    elif route.exchange == ExchangeConfig():
        findings.report(at, "asks for nothing: it needs `audience`, `resource`, `scope` or `requested_token_type`")


def _check_files(route: RouteConfig, path: KeyPath, findings: Findings) -> None:
    if route.token is not TokenKind.NONE and findings.sound((*path, "token")):
        findings.report((*path, "token"), "files receive no token: leave it out")
    if route.websocket:
        findings.report((*path, "websocket"), "files speak no WebSocket: this needs `upstream`")
    if not set(route.methods or ()) <= set(FILE_METHODS):
        findings.report_key((*path, "methods"), "files are read with GET and HEAD only: leave it out")
    if route.bearer == "pass":
        findings.report((*path, "bearer"), "is of no use with `files`: no token is passed to them")
    for key in ("request_headers", "pass_host", "map_location", "touch", "max_connection_age", "balance", "health"):
        if key in route.model_fields_set:
            findings.report_key((*path, key), "is of no use with `files`")
    for key in (*_NEEDS_TOKEN, *_OF_TLS, "require", "exchange"):
        if getattr(route, key) is not None:
            findings.report_key((*path, key), "is of no use with `files`")


def _check_response_headers(route: RouteConfig, path: KeyPath, findings: Findings) -> None:
    at = (*path, "response_headers")
    if not findings.sound(at):
        return
    both = route.response_headers.changes.remove.intersection(name for name, _ in route.response_headers.changes.set)
    for name in sorted(both):
        findings.report((*at, "remove"), f"names {name.decode('ascii')}, which `set` sets: keep one of them")


def _check_request_headers(route: RouteConfig, path: KeyPath, findings: Findings) -> None:
    at = (*path, "request_headers")
    headers = route.request_headers
    if not findings.sound(at, (*path, "token")):
        return
    for name, template in headers.set.items():
        if template.names_user and (route.token is TokenKind.NONE or route.session == "none"):
            findings.report((*at, "set", name), "names the user, and this route reads no session")
    for key, names in (("remove", headers.remove), ("pass", headers.passes)):
        for name in sorted({*names} & {name.lower() for name in headers.set}):
            findings.report((*at, key), f"names {name}, which `set` sets: keep one of them")


def _check_overlaps(routes: tuple[RouteConfig, ...], findings: Findings) -> None:
    """One path is routed once: the longest prefix decides nothing between two routes that share it."""
    earlier: dict[PathPrefix, int] = {}
    for index, route in enumerate(routes):
        path: KeyPath = ("routes", index, "path")
        if not findings.sound(path):
            continue
        first = earlier.setdefault(route.path, index)
        if first != index:
            line = findings.line(("routes", first))
            findings.report(path, f"is the path of routes[{first}] (line {line}) already: a path is routed once")
