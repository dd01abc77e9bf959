"""The keys of the top level and of `session`: addresses, the store, how long sessions last."""

import re
from fractions import Fraction
from urllib.parse import urlsplit

from bff.cli.init_files import quoted
from bff.cli.oauth2_proxy.durations import seconds, spelled
from bff.cli.oauth2_proxy.section import Section, listed
from bff.cli.oauth2_proxy.settings import Settings, variable
from bff.config.spelling import SpellingError
from bff.config.values.stores import parse_store
from bff.config.values.urls import parse_origin

_EXAMPLE = "https://app.example.com"
_ADDRESS = re.compile(r"(?:https?://)?(?P<host>\[[0-9a-fA-F:]+\]|[^:/\[\]]*):(?P<port>\d+)/?")
_IDLE_SECONDS = Fraction(1800)
_LONGEST_LOGIN_SECONDS = Fraction(3600)
_STORE_PASSWORD = "${REDIS_PASSWORD:-replace-me}"  # noqa: S105 - a variable, filled in when the file is read


def top(settings: Settings) -> Section:
    """public_url, listen, management, trusted_proxies, log."""
    found = Section()
    found.add("public_url", _public_url(settings, found))
    for flag, key in (("http-address", "listen"), ("metrics-address", "management")):
        address = settings.one(flag)
        if address is not None and address != "-":
            _address(found, key, address, flag=flag)
    _tls(settings, found)
    if not found.has("listen"):
        found.add("listen", "127.0.0.1:4180", "oauth2-proxy's own default")
    proxies = settings.many("trusted-proxy-ip")
    if proxies:
        found.add("trusted_proxies", listed(proxies))
    elif settings.on("reverse-proxy", default=False):
        found.remarks.append("reverse-proxy: write the addresses of the proxy in front into `trusted_proxies`")
    if settings.has("request-logging"):
        found.add("log", f"{{access: {str(settings.on('request-logging', default=True)).lower()}}}")
    return found


def _tls(settings: Settings, found: Section) -> None:
    """One listener: with a certificate it is the https one."""
    certificate, key = settings.one("tls-cert-file"), settings.one("tls-key-file")
    if certificate is None or key is None:
        return
    found.add("tls", f"{{certificate: {quoted(certificate)}, key: {quoted(key)}}}")
    if found.has("listen"):
        found.remarks.append("http-address: there is one listener, which is the https one")
    _address(found, "listen", settings.one("https-address") or ":443", flag="https-address")


def _public_url(settings: Settings, found: Section) -> str:
    said = settings.one("redirect-url") or ""
    url = urlsplit(said)
    origin = f"{url.scheme or 'https'}://{url.netloc}".lower()
    try:
        return parse_origin(origin.removesuffix(":443") if origin.startswith("https:") else origin).text
    except SpellingError as error:
        if url.netloc and url.scheme == "http":
            found.remarks.append(f"redirect-url: {error}")
            return f"https://{url.hostname}"
        found.remarks.append("public_url is an example: redirect-url does not say the origin that browsers use")
        return _EXAMPLE


def _address(found: Section, key: str, written: str, *, flag: str) -> None:
    match = _ADDRESS.fullmatch(written)
    if match is None:
        found.remarks.append(f"{flag}: is no HOST:PORT")
    else:
        found.add(key, quoted(f"{match['host'] or '0.0.0.0'}:{match['port']}"))  # noqa: S104 - as the file says it


def session(settings: Settings) -> Section:
    """Store, keys and times."""
    found = Section()
    _store(settings, found)
    found.files["secrets/session-key"] = "a new key (bff secrets new session-key): cookie-secret seals something else"
    found.add("keys", "[{file: secrets/session-key}]")
    length = seconds(settings.one("cookie-expire"))
    if length is not None:
        found.add("absolute_timeout", spelled(length))
        found.add("idle_timeout", spelled(min(length, _IDLE_SECONDS)))
        found.add("persistent", "true", "The cookie outlives the browser, as before")
    login = seconds(settings.one("cookie-csrf-expire"))
    if login is not None:
        found.add("login_timeout", spelled(min(login, _LONGEST_LOGIN_SECONDS)))
    return found


def _store(settings: Settings, found: Section) -> None:
    if settings.one("session-store-type") != "redis":
        found.add("store", "'memory://'", "Of one process, and gone with it. For more than one: redis://HOST:6379/0")
        return
    store = _store_url(settings)
    try:
        if "${" not in store:
            parse_store(store)
    except SpellingError as error:
        found.remarks.append(f"session.store is an example: the URL of the file {error}")
        store = "redis://localhost:6379/0"
    if _STORE_PASSWORD in store:
        found.remarks.append("the store's password: in the variable REDIS_PASSWORD, percent-encoded")
    found.add("store", quoted(store))


def _store_url(settings: Settings) -> str:
    if settings.on("redis-use-sentinel", default=False):
        nodes, kind = settings.many("redis-sentinel-connection-urls"), "+sentinel"
    elif settings.on("redis-use-cluster", default=False):
        nodes, kind = settings.many("redis-cluster-connection-urls"), "+cluster"
    else:
        nodes, kind = settings.many("redis-connection-url") or ("redis://localhost:6379",), ""
    whole = [node for node in nodes if variable(node)]
    if whole:
        return f"${{{variable(whole[0])}}}"
    parts = [urlsplit(node if "//" in node else f"redis://{node}") for node in nodes]
    scheme = "rediss" if any(part.scheme == "rediss" for part in parts) else "redis"
    hosts = ",".join(part.netloc.rpartition("@")[2] for part in parts)
    path = f"/{settings.one('redis-sentinel-master-name')}" if kind == "+sentinel" else (parts[0].path if parts else "")
    has_password = settings.has("redis-password") or any(part.password for part in parts)
    user = settings.one("redis-username") or next((part.username for part in parts if part.username), "")
    login = f"{user}:{_STORE_PASSWORD}@" if has_password else ""
    options = (
        "?sentinel_password=${REDIS_SENTINEL_PASSWORD:-replace-me}" if settings.has("redis-sentinel-password") else ""
    )
    return f"{scheme}{kind}://{login}{hosts}{path if kind != '+cluster' else ''}{options}"
