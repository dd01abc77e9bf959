"""Values of oauth2-proxy's Helm chart that are no flags: the sections that it makes flags of."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bff.cli.oauth2_proxy.command_line import Pair

_CONFIG = {"clientID": "client-id", "clientSecret": "client-secret", "cookieSecret": "cookie-secret"}
_REDIS = {
    ("standalone", "connectionUrl"): "redis-connection-url",
    ("sentinel", "masterName"): "redis-sentinel-master-name",
    ("sentinel", "connectionUrls"): "redis-sentinel-connection-urls",
    ("cluster", "connectionUrls"): "redis-cluster-connection-urls",
}


def _config(values: Mapping[str, Any]) -> Iterator[Pair]:
    for key, name in _CONFIG.items():
        if values.get(key):
            yield name, str(values[key])
    yield from _listed("email-domain", values.get("emailDomains"))
    yield from _listed("google-group", _section(values, "google").get("groups"))


def _emails(values: Mapping[str, Any]) -> Iterator[Pair]:
    if values.get("enabled"):
        yield "authenticated-emails-file", "authenticatedEmailsFile"


def _storage(values: Mapping[str, Any]) -> Iterator[Pair]:
    if values.get("type") != "redis":
        return
    yield "session-store-type", "redis"
    redis = _section(values, "redis")
    kind = str(redis.get("clientType", "standalone"))
    if kind != "standalone":
        yield f"redis-use-{kind}", "true"
    for (section, key), name in _REDIS.items():
        if section == kind:
            yield from _listed(name, _section(redis, section).get(key))


SECTIONS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Pair]]] = {
    "config": _config,
    "authenticatedEmailsFile": _emails,
    "sessionStorage": _storage,
}


def _section(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = values.get(key)
    return inner if isinstance(inner, dict) else {}


def _listed(name: str, value: object) -> Iterator[Pair]:
    for each in value if isinstance(value, list) else [value]:
        if each:
            yield name, str(each)
