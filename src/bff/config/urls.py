"""URLs that an operator writes. Each function returns its text as written, or says what is wrong with it.

- Userinfo is refused everywhere but in the store's URL: `http://orders:8000@evil` is a URL of evil (CVE-2021-41945).
- What carries secrets over the open network is https; http is for loopback, and for upstreams (the inner network).
- Nothing is normalised: an issuer is compared code point by code point (RFC 8414 section 4).
"""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from bff.config.spelling import SpellingError
from bff.loopback import is_loopback

_CHARACTERS = re.compile(r"[!#-;=?-\[\]_a-z~]*")  # RFC 3986 section 2, without the ones that need encoding
_HTTP_URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()+,=:@-]+)*/?")  # what an API's path is appended to
_ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_STORE_URL = re.compile(
    r"(?P<scheme>[a-z+]+)://(?:(?P<userinfo>[^/?@]*)@)?(?P<hosts>[^/?@]*)(?P<path>/[^?]*)?(?:\?(?P<query>.*))?"
)
_STORE_CHARACTERS = re.compile(r"[!\"$-~]*")  # visible ASCII without #
_DATABASE = re.compile(r"(/[0-9]{0,4})?")
_SENTINEL_NAME = re.compile(r"/[A-Za-z0-9._-]+(/[0-9]{1,4})?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
STORE_SCHEMES = ("memory", "redis", "rediss", "redis+sentinel", "redis+cluster", "rediss+sentinel", "rediss+cluster")
# Query parameters of a store's URL. None of them turns the checks of TLS off.
STORE_TLS_OPTIONS = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_ciphers")
STORE_FILES = ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
STORE_SENTINEL_OPTIONS = ("sentinel_username", "sentinel_password")
STORE_OPTIONS_NOT_OF_CLUSTERS = ("ssl_ca_path", "ssl_password")  # redis-py's RedisCluster has no such arguments
STORE_OPTIONS = ("client_name", *STORE_TLS_OPTIONS, *STORE_SENTINEL_OPTIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Url:
    scheme: str
    host: str
    port: int | None
    path: str
    has_query: bool
    has_fragment: bool


def origin(text: str) -> str:
    """`scheme://host[:port]` exactly as a browser writes it into `Origin` (RFC 6454 section 6.2)."""
    url = _secure(text)
    if url.path or url.has_query or url.has_fragment:
        raise SpellingError("is more than an origin: write scheme://host[:port] without a path or a slash at the end")
    if url.host != url.host.lower():
        raise SpellingError("has upper-case letters in its host: browsers send it in lower case")
    if url.port == _DEFAULT_PORTS[url.scheme]:
        raise SpellingError("names the default port: leave it out, as browsers do")
    return text


def issuer(text: str) -> str:
    """An issuer identifier (RFC 8414 section 2)."""
    url = _secure(text)
    if url.has_query or url.has_fragment:
        raise SpellingError("has a query or fragment, which an issuer cannot have (RFC 8414 section 2)")
    return text


def endpoint(text: str) -> str:
    """A provider's endpoint (RFC 6749 sections 3.1 and 3.2: a query is allowed, a fragment is not)."""
    if _secure(text).has_fragment:
        raise SpellingError("has a fragment, which an endpoint cannot have (RFC 6749 section 3.1)")
    return text


def upstream(text: str) -> str:
    """What a route's requests are forwarded to: one declared host, and the path that theirs is appended to."""
    url = _http(text)
    if url.has_query or url.has_fragment:
        raise SpellingError("has a query or fragment: write scheme://host[:port] and the path to append to")
    if any(unquote(segment) in {".", ".."} for segment in url.path.split("/")):
        raise SpellingError("has a dot segment in its path")
    if not _PLAIN_PATH.fullmatch(url.path):
        raise SpellingError("has a path that is not made of plain segments: %, ; and // are refused in it")
    return text


def resource(text: str) -> str:
    """A resource indicator (RFC 8707 section 2: an absolute URI without a fragment)."""
    _check_characters(text)
    if not _ABSOLUTE_URI.fullmatch(text) or "#" in text:
        raise SpellingError("is no absolute URI without a fragment (RFC 8707 section 2)")
    if text.startswith(("http://", "https://")):
        _http(text)
    return text


def store(text: str) -> str:
    """Where sessions are kept. The one URL that may carry a password, so it is never shown."""
    if text == "memory://":
        return text
    match = _STORE_URL.fullmatch(text)
    if match is None or match["scheme"] not in STORE_SCHEMES:
        raise SpellingError(f"is no store: write memory://, or HOST[:PORT] behind {', '.join(STORE_SCHEMES[1:])}://")
    if match["scheme"] == "memory":
        raise SpellingError("memory:// takes nothing behind it")
    if not _STORE_CHARACTERS.fullmatch(text) or re.search(r"[\[\]]", match["userinfo"] or ""):
        raise SpellingError("has characters that a URL cannot have; encode those of a password with %XX")
    _check_store_hosts(match["hosts"].split(","), several=match["scheme"] not in {"redis", "rediss"})
    _check_store_path(match["path"] or "", scheme=match["scheme"])
    _check_store_options(match["query"] or "", scheme=match["scheme"])
    return text


def store_options(text: str) -> dict[str, str]:
    """What stands in the query of a store's URL; passwords among it."""
    return dict(parse_qsl(text.partition("?")[2], keep_blank_values=True))


def without_userinfo(text: str) -> str:
    """The same URL for people to see; without its query too, where a store may have further passwords."""
    scheme, separator, rest = text.partition("?")[0].partition("://")
    return scheme + separator + rest.rpartition("@")[2]


def check_host(host: str) -> None:
    """Refuse what is neither a name nor an address; an IPv6 address has brackets."""
    if host.startswith("["):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError:
            raise SpellingError("has no IPv6 address between its brackets") from None
    elif not host:
        raise SpellingError("has no host")
    elif not _HOST_NAME.fullmatch(host):
        raise SpellingError("has a host that is neither a name nor an address (wildcards are refused)")


def _http(text: str) -> _Url:
    _check_characters(text)
    match = _HTTP_URL.fullmatch(text)
    if match is None:
        raise SpellingError("is no URL: it must begin with https:// or http://")
    if "@" in match["authority"]:
        raise SpellingError("has a user name in front of its host, which is refused in URLs")
    authority = _AUTHORITY.fullmatch(match["authority"])
    if authority is None:
        raise SpellingError("has no proper host[:port]")
    check_host(authority["host"])
    return _Url(
        scheme=match["scheme"],
        host=authority["host"],
        port=_port(authority["port"]),
        path=match["path"],
        has_query=match["query"] is not None,
        has_fragment=match["fragment"] is not None,
    )


def _secure(text: str) -> _Url:
    url = _http(text)
    if url.scheme == "http" and not is_loopback(url.host):
        raise SpellingError("is plain http outside loopback: use https")
    return url


def _check_characters(text: str) -> None:
    if "*" in text:
        raise SpellingError("has a wildcard: write each URL out")
    if not _CHARACTERS.fullmatch(text) or _BAD_ESCAPE.search(text):
        raise SpellingError("has characters that a URL cannot have; encode them with %XX (a host: as xn--...)")


def _port(digits: str | None) -> int | None:
    if digits is None:
        return None
    if not 1 <= int(digits) <= 65535:
        raise SpellingError("has a port outside 1-65535")
    return int(digits)


def _check_store_hosts(hosts: list[str], *, several: bool) -> None:
    if len(hosts) > 1 and not several:
        raise SpellingError("has several hosts: that is redis+sentinel:// or redis+cluster://")
    for host_and_port in hosts:
        match = _AUTHORITY.fullmatch(host_and_port)
        if match is None:
            raise SpellingError("has no proper host[:port]; encode / @ ? # in a password with %XX")
        check_host(match["host"])
        _port(match["port"])


def _check_store_path(path: str, *, scheme: str) -> None:
    if scheme.endswith("sentinel") and not _SENTINEL_NAME.fullmatch(path):
        raise SpellingError("needs the name that the sentinels know: redis+sentinel://host1,host2/NAME")
    if scheme.endswith("cluster") and path not in {"", "/"}:
        raise SpellingError("names a database, which a cluster does not have")
    if scheme in {"redis", "rediss"} and not _DATABASE.fullmatch(path):
        raise SpellingError("has more than a database number behind its host")


def _check_store_options(query: str, *, scheme: str) -> None:
    names = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    if not names <= set(STORE_OPTIONS):
        raise SpellingError(f"has an option that no store takes: there are {', '.join(STORE_OPTIONS)}")
    if not scheme.startswith("rediss") and names & set(STORE_TLS_OPTIONS):
        raise SpellingError("has options for TLS (ssl_...), which only rediss:// has")
    if not scheme.endswith("sentinel") and names & set(STORE_SENTINEL_OPTIONS):
        raise SpellingError("has options for Sentinels, which only redis+sentinel:// has")
    if scheme.endswith("cluster") and names & set(STORE_OPTIONS_NOT_OF_CLUSTERS):
        raise SpellingError(f"has options that clusters do not have: {', '.join(STORE_OPTIONS_NOT_OF_CLUSTERS)}")
