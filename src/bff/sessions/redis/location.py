"""The URL of a Redis store, taken apart. Pure.

    redis://[user:password@]host[:6379][/db]                    one server
    redis+sentinel://[user:password@]h1[:26379],h2/name[/db]    what the Sentinels h1, h2 call the primary of `name`
    redis+cluster://[user:password@]h1[:6379],h2                a Cluster
    rediss://, rediss+sentinel://, rediss+cluster://            the same over TLS

Query parameters: the STORE_OPTIONS of `config/urls.py`, `sentinel_username` and `sentinel_password` for Sentinels that
ask for their own. None turns the checks of TLS off. No message repeats the URL, which may hold a password.
"""

from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from bff.config.urls import (
    STORE_OPTIONS,
    STORE_OPTIONS_NOT_OF_CLUSTERS,
    STORE_SENTINEL_OPTIONS,
    STORE_TLS_OPTIONS,
)

TOPOLOGIES = ("redis", "sentinel", "cluster")
SCHEMES = ("redis", "rediss", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster")


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """Where Redis is. `options` are redis-py's names and hold passwords, like `sentinel_options`."""

    topology: str  # of TOPOLOGIES
    hosts: tuple[tuple[str, int], ...]
    service: str | None  # with Sentinel
    database: int
    tls: bool
    options: dict[str, str] = field(repr=False)
    sentinel_options: dict[str, str] = field(repr=False)


def parse_location(url: str) -> Location:
    """The meaning of a store's URL.

    Raises:
        ValueError: it has none.
    """
    parts = _split(url)
    if parts.scheme not in SCHEMES:
        raise ValueError(f"the scheme of a store is memory or one of {', '.join(SCHEMES)}")
    tls, topology = parts.scheme.startswith("rediss"), parts.scheme.partition("+")[2] or "redis"
    credentials, _, hosts = parts.netloc.rpartition("@")
    service, database = _path(parts.path, topology=topology)
    query = _query(parts.query, tls=tls, topology=topology)
    default_port = 26379 if topology == "sentinel" else 6379
    if topology == "redis" and "," in hosts:
        raise ValueError("several hosts need redis+sentinel:// or redis+cluster://")
    return Location(
        topology=topology,
        hosts=tuple(_host_and_port(host, default=default_port) for host in hosts.split(",")),
        service=service,
        database=database,
        tls=tls,
        options=_credentials(credentials) | {k: v for k, v in query.items() if k not in STORE_SENTINEL_OPTIONS},
        sentinel_options={k.removeprefix("sentinel_"): v for k, v in query.items() if k in STORE_SENTINEL_OPTIONS},
    )


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("not a URL") from None  # urlsplit's message may repeat the password


def _credentials(text: str) -> dict[str, str]:
    user, _, password = text.partition(":")
    named = {"username": unquote(user), "password": unquote(password)}
    return {name: value for name, value in named.items() if value}


def _path(path: str, *, topology: str) -> tuple[str | None, int]:
    segments = [unquote(segment) for segment in path.split("/") if segment]
    service = segments.pop(0) if topology == "sentinel" and segments else None
    if topology == "sentinel" and service is None:
        raise ValueError("a Sentinel URL names the service: redis+sentinel://host:26379/name")
    if topology == "cluster" and segments:
        raise ValueError("a Cluster has no numbered databases")
    if len(segments) > 1 or not all(s.isascii() and s.isdigit() and len(s) < 6 for s in segments):
        raise ValueError("a Redis database is a number")
    return service, int(segments[0]) if segments else 0


def _query(query: str, *, tls: bool, topology: str) -> dict[str, str]:
    given = dict(parse_qsl(query, keep_blank_values=True))
    unknown = sorted(given.keys() - set(STORE_OPTIONS))
    if unknown:
        raise ValueError(f"a Redis URL takes {', '.join(STORE_OPTIONS)}, not {', '.join(unknown)}")
    if not tls and any(name in STORE_TLS_OPTIONS for name in given):
        raise ValueError("TLS options need rediss://")
    if topology != "sentinel" and any(name in STORE_SENTINEL_OPTIONS for name in given):
        raise ValueError("Sentinel options need redis+sentinel://")
    if topology == "cluster" and any(name in STORE_OPTIONS_NOT_OF_CLUSTERS for name in given):
        raise ValueError(f"a Cluster has no {', '.join(STORE_OPTIONS_NOT_OF_CLUSTERS)}")
    return given


def _host_and_port(host: str, *, default: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{host}")
        name, port = parts.hostname, parts.port
    except ValueError:
        name, port = None, None
    if not name:
        raise ValueError("a Redis URL names hosts as name[:port]")
    return name, default if port is None else port
