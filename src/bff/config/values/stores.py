"""The URL of the session store.

    memory://                                                   the memory of one process
    redis://[user:password@]host[:6379][/db]                    one server
    redis+sentinel://[user:password@]h1[:26379],h2/name[/db]    what the Sentinels h1, h2 call the primary of `name`
    redis+cluster://[user:password@]h1[:6379],h2                a Cluster
    rediss://, rediss+sentinel://, rediss+cluster://            the same over TLS

Query parameters: `OPTIONS`. `sentinel_username` and `sentinel_password` are for Sentinels with credentials of their own.
No option turns the checks of TLS off. This is the one URL that may hold a password, so no message repeats it and
nothing shows it.
"""

import re
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qsl, unquote

from bff.config.spelling import SpellingError
from bff.config.values.hosts import bare_host, parse_authority

Topology = Literal["memory", "redis", "sentinel", "cluster"]

SCHEMES = ("memory", "redis", "rediss", "redis+sentinel", "redis+cluster", "rediss+sentinel", "rediss+cluster")
TLS_OPTIONS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_ciphers")
REGULAR_FILE_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
FILE_OPTIONS = (*REGULAR_FILE_OPTIONS, "ssl_ca_path")  # the last names a folder
SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
OPTIONS_NOT_OF_CLUSTERS = ("ssl_ca_path", "ssl_password")  # redis-py's RedisCluster has no such arguments
OPTIONS = ("client_name", *TLS_OPTIONS, *SENTINEL_OPTIONS)

_URL = re.compile(
    r"(?P<scheme>[a-z+]+)://(?:(?P<userinfo>[^/?@]*)@)?(?P<hosts>[^/?@]*)(?P<path>/[^?]*)?(?:\?(?P<query>.*))?"
)
_CHARACTERS = re.compile(r"[!\"$-~]*")  # visible ASCII without #
_DATABASE = re.compile(r"/?(?P<database>[0-9]{0,4})")
_SENTINEL_NAME = re.compile(r"/(?P<service>[A-Za-z0-9._-]+)(?:/(?P<database>[0-9]{1,4}))?")
_TOPOLOGIES: dict[str, Topology] = {"": "redis", "sentinel": "sentinel", "cluster": "cluster"}
_DEFAULT_PORTS: dict[Topology, int] = {"redis": 6379, "sentinel": 26379, "cluster": 6379}


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreLocation:
    """Where sessions are kept. `options` and `sentinel_options` have redis-py's names, and hold passwords."""

    topology: Topology
    shown: str  # the URL without user, password and query
    hosts: tuple[tuple[str, int], ...] = ()
    service: str | None = None  # the name of the primary, with Sentinel
    database: int = 0
    tls: bool = False
    options: dict[str, str] = field(default_factory=dict, repr=False)
    sentinel_options: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def in_memory(self) -> bool:
        """Whether sessions end with the process."""
        return self.topology == "memory"

    def __str__(self) -> str:
        return self.shown


MEMORY = StoreLocation(topology="memory", shown="memory://")


def parse_store(text: str) -> StoreLocation:
    """The location that a store's URL means.

    Raises:
        SpellingError: it means none. The message does not repeat the URL.
    """
    if text == MEMORY.shown:
        return MEMORY
    match = _URL.fullmatch(text)
    if match is None and text.partition("://")[0] in SCHEMES:
        raise SpellingError("has more than one @, or a line break; encode @ / ? # in a password with %XX")
    if match is None or match["scheme"] not in SCHEMES:
        raise SpellingError(
            f"is no store: write memory:// or redis://HOST:6379/0; other schemes: {', '.join(SCHEMES[2:])}"
        )
    scheme, userinfo, path = match["scheme"], match["userinfo"] or "", match["path"] or ""
    if scheme == "memory":
        raise SpellingError("memory:// takes nothing behind it")
    if not _CHARACTERS.fullmatch(text) or re.search(r"[\[\]]", userinfo):
        raise SpellingError("has characters that a URL cannot have; encode those of a password with %XX")
    topology, tls = _TOPOLOGIES[scheme.partition("+")[2]], scheme.startswith("rediss")
    hosts = _hosts(match["hosts"].split(","), topology=topology)
    service, database = _service_and_database(path, topology=topology)
    query = _options(match["query"] or "", tls=tls, topology=topology)
    return StoreLocation(
        topology=topology,
        shown=f"{scheme}://{match['hosts']}{path}",
        hosts=hosts,
        service=service,
        database=database,
        tls=tls,
        options=_credentials(userinfo) | {k: v for k, v in query.items() if k not in SENTINEL_OPTIONS},
        sentinel_options={k.removeprefix("sentinel_"): v for k, v in query.items() if k in SENTINEL_OPTIONS},
    )


def _hosts(texts: list[str], *, topology: Topology) -> tuple[tuple[str, int], ...]:
    if len(texts) > 1 and topology == "redis":
        raise SpellingError("has several hosts: that is redis+sentinel:// or redis+cluster://")
    hosts = [parse_authority(text, hint="; encode / @ ? # in a password with %XX") for text in texts]
    return tuple((bare_host(host), port or _DEFAULT_PORTS[topology]) for host, port in hosts)


def _service_and_database(path: str, *, topology: Topology) -> tuple[str | None, int]:
    if topology == "cluster":
        if path not in {"", "/"}:
            raise SpellingError("names a database, which a cluster does not have")
        return None, 0
    if topology == "sentinel":
        match = _SENTINEL_NAME.fullmatch(path)
        if match is None:
            raise SpellingError("needs the name that the sentinels know: redis+sentinel://host1,host2/NAME")
        return match["service"], int(match["database"] or 0)
    match = _DATABASE.fullmatch(path)
    if match is None:
        raise SpellingError("has more than a database number behind its host")
    return None, int(match["database"] or 0)


def _options(query: str, *, tls: bool, topology: Topology) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    if not options.keys() <= set(OPTIONS):
        raise SpellingError(f"has an option that no store takes: there are {', '.join(OPTIONS)}")
    if not tls and options.keys() & set(TLS_OPTIONS):
        raise SpellingError("has options for TLS (ssl_...), which only rediss:// has")
    if topology != "sentinel" and options.keys() & set(SENTINEL_OPTIONS):
        raise SpellingError("has options for Sentinels, which only redis+sentinel:// has")
    if topology == "cluster" and options.keys() & set(OPTIONS_NOT_OF_CLUSTERS):
        raise SpellingError(f"has options that clusters do not have: {', '.join(OPTIONS_NOT_OF_CLUSTERS)}")
    return options


def _credentials(userinfo: str) -> dict[str, str]:
    user, _, password = userinfo.partition(":")
    named = {"username": unquote(user), "password": unquote(password)}
    return {name: value for name, value in named.items() if value}
