"""URLs over http and https. Each function takes the text of the file and returns the value, or says what is wrong with it.

- Userinfo is refused: `http://orders:8000@evil` is a URL of evil (CVE-2021-41945).
- A URL that secrets are sent to is https; http is for loopback, and for upstreams (the inner network). For the URLs of a
  provider `provider_checks.py` judges this, because its `insecure_http` has a say.
- Nothing is normalised in an issuer, endpoint or resource: an issuer is compared code point by code point (RFC 8414
  section 4). These stay texts.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from bff.config.spelling import SpellingError
from bff.config.values.hosts import bare_host, parse_authority
from bff.issuers import TENANT
from bff.loopback import is_loopback

_CHARACTERS = re.compile(r"[!#-;=?-\[\]_a-z~]*")  # RFC 3986 section 2, without the ones that need encoding
_HTTP_URL = re.compile(
    r"(?P<scheme>https?)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)(?P<query>\?[^#]*)?(?P<fragment>#.*)?"
)
_PLAIN_PATH = re.compile(r"(?:/[A-Za-z0-9._~!$&'()+,=:@-]+)*/?")  # a request's path is appended to it
_ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_UNIX_SCHEME = "http+unix"
_SOCKET_PATH = re.compile(r"(?:/[A-Za-z0-9._~+,=@:-]+)+")
_LONGEST_SOCKET_PATH = 107  # bytes of `sun_path` without its NUL (unix(7))


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """`scheme://host[:port]` as a browser writes it into `Origin` (RFC 6454 section 6.2); no default port."""

    scheme: str
    host: str  # without brackets
    port: int
    text: str

    @property
    def raw(self) -> bytes:
        """The bytes of an `Origin` field."""
        return self.text.encode("ascii")

    @property
    def authority(self) -> bytes:
        """The bytes of a `Host` field: `host[:port]`."""
        return self.raw.partition(b"://")[2]

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamUrl:
    """Where a route's requests are forwarded to."""

    scheme: str
    host: str  # in lower case, without brackets
    port: int
    authority: bytes  # the `Host` field of a forwarded request: no default port
    base_path: bytes  # a request's path is appended to it; no trailing slash
    socket: str | None = None  # the file of a Unix socket, instead of host and port

    @property
    def tls(self) -> bool:
        """Whether connections are made over TLS."""
        return self.scheme == "https"

    @property
    def origin(self) -> str:
        """For logs and errors: `https://host[:port]`, or `http+unix:///run/api.sock`."""
        return f"{self.scheme}://{self.socket or self.authority.decode('ascii')}"

    def __str__(self) -> str:
        return self.origin + self.base_path.decode("ascii")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Url:
    scheme: str
    host: str  # as written
    port: int | None
    path: str
    has_query: bool
    has_fragment: bool


def parse_origin(text: str) -> Origin:
    """An origin, written exactly as browsers write it.

    Raises:
        SpellingError: browsers write it otherwise, or it is plain http outside loopback.
    """
    url = _secure(text)
    if url.path or url.has_query or url.has_fragment:
        raise SpellingError("is more than an origin: write scheme://host[:port] without a path or a slash at the end")
    if url.host != url.host.lower():
        raise SpellingError("has upper-case letters in its host: browsers send it in lower case")
    if url.port == _DEFAULT_PORTS[url.scheme]:
        raise SpellingError("names the default port: leave it out, as browsers do")
    port = url.port or _DEFAULT_PORTS[url.scheme]
    return Origin(scheme=url.scheme, host=bare_host(url.host), port=port, text=text)


def parse_upstream(text: str) -> UpstreamUrl:
    """An upstream: one host, and the path that a request's path is appended to; or the file of a Unix socket.

    Raises:
        SpellingError: it has more than these, or its path is not made of plain segments.
    """
    if text.startswith(f"{_UNIX_SCHEME}:"):
        return _unix_upstream(text)
    url = _http(text)
    if url.has_query or url.has_fragment:
        raise SpellingError("has a query or fragment: write scheme://host[:port] and the path to append to")
    if any(unquote(segment) in {".", ".."} for segment in url.path.split("/")):
        raise SpellingError("has a dot segment in its path")
    if not _PLAIN_PATH.fullmatch(url.path):
        raise SpellingError("has a path that is not made of plain segments: %, ; and // are refused in it")
    standard = _DEFAULT_PORTS[url.scheme]
    port = url.port or standard
    named = url.host.lower()
    return UpstreamUrl(
        scheme=url.scheme,
        host=bare_host(url.host),
        port=port,
        authority=(named if port == standard else f"{named}:{port}").encode("ascii"),
        base_path=url.path.removesuffix("/").encode("ascii"),
    )


def _unix_upstream(text: str) -> UpstreamUrl:
    """`http+unix:///run/api.sock`: all of the path is the socket's: there is no base path. `Host` is `localhost`, as of curl."""
    _check_characters(text)
    path = text.removeprefix(f"{_UNIX_SCHEME}://")
    if not _SOCKET_PATH.fullmatch(path) or any(segment in {".", ".."} for segment in path.split("/")):
        raise SpellingError("names no Unix socket: write http+unix:// and its absolute path, in plain segments")
    if len(path) > _LONGEST_SOCKET_PATH:
        raise SpellingError(
            f"names a Unix socket by more than {_LONGEST_SOCKET_PATH} bytes: the system takes no longer path"
        )
    return UpstreamUrl(
        scheme=_UNIX_SCHEME, host="localhost", port=0, authority=b"localhost", base_path=b"", socket=path
    )


def issuer(text: str) -> str:
    """An issuer identifier (RFC 8414 section 2), or a template for many: `{tenantid}` as one segment of its path."""
    before, tenant, after = text.partition(TENANT)
    if tenant and (before.count("/") < 3 or not before.endswith("/") or not after.startswith(("/", "?", "#"))):
        raise SpellingError("has {tenantid} elsewhere than as one whole segment of its path, with another behind it")
    if "{" in before + after:
        raise SpellingError("has braces: only {tenantid}, once, stands for something in an issuer")
    url = _http(f"{before}tenant{after}" if tenant else text)
    if url.has_query or url.has_fragment:
        raise SpellingError("has a query or fragment, which an issuer cannot have (RFC 8414 section 2)")
    if "/.well-known/" in url.path:
        raise SpellingError(
            "is the address of the metadata: write the issuer that stands in them, without /.well-known/..."
        )
    return text


def endpoint(text: str) -> str:
    """A provider's endpoint (RFC 6749 sections 3.1 and 3.2: a query is allowed, a fragment is not)."""
    if _http(text).has_fragment:
        raise SpellingError("has a fragment, which an endpoint cannot have (RFC 6749 section 3.1)")
    return text


def proxy(text: str) -> str:
    """An outbound HTTP proxy: `http://host:port` and nothing more."""
    if "@" in text:
        raise SpellingError(
            "has a user name in it: write user and password as `proxy_credentials`, a secret of its own"
        )
    url = _http(text)
    if url.scheme != "http" or url.port is None or url.path.strip("/") or url.has_query or url.has_fragment:
        raise SpellingError("is no outbound proxy: write http://host:port")
    return text


def is_plain_http_abroad(url: str) -> bool:
    """Whether this URL, one that `issuer` or `endpoint` took, is http to another machine."""
    return url.startswith("http://") and not is_loopback(_http(url.replace(TENANT, "tenant")).host)


def support(text: str) -> str:
    """Where people get help: a page, or an address for mail."""
    if text.startswith("mailto:"):
        _check_characters(text)
        if "@" not in text:
            raise SpellingError("is no address for mail: write mailto:NAME@HOST")
        return text
    _secure(text)
    return text


def resource(text: str) -> str:
    """A resource indicator (RFC 8707 section 2: an absolute URI without a fragment)."""
    _check_characters(text)
    if not _ABSOLUTE_URI.fullmatch(text) or "#" in text:
        raise SpellingError("is no absolute URI without a fragment (RFC 8707 section 2)")
    if text.startswith(("http://", "https://")):
        _http(text)
    return text


def _http(text: str) -> _Url:
    _check_characters(text)
    match = _HTTP_URL.fullmatch(text)
    if match is None:
        raise SpellingError("is no URL: it must begin with https:// or http://")
    if "@" in match["authority"]:
        raise SpellingError("has a user name in front of its host, which is refused in URLs")
    host, port = parse_authority(match["authority"])
    return _Url(
        scheme=match["scheme"],
        host=host,
        port=port,
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
