"""Checks of `allowed_origins`: whose pages may call with credentials, besides our own."""

import ipaddress

from bff.config.model import Config, TokenKind
from bff.config.problems import Findings
from bff.config.values.urls import Origin

_CORS = "access-control-"


def check_origins(config: Config, findings: Findings) -> None:
    """Report origins that are no further ones, and routes that would speak CORS as well; warn of other sites."""
    at = ("allowed_origins",)
    if not config.allowed_origins or not findings.sound(at, ("public_url",)):
        return
    seen: set[str] = set()
    for index, origin in enumerate(config.allowed_origins):
        if origin.text == config.public_url.text:
            findings.report((*at, index), "is the origin of public_url, whose pages may call anyway")
        elif origin.text in seen:
            findings.report((*at, index), "is there twice")
        elif not _may_be_same_site(origin, config.public_url):
            findings.warn(
                (*at, index), "is another site than public_url: browsers send no Strict cookie from its pages"
            )
        seen.add(origin.text)
    _check_routes(config, findings)


def _check_routes(config: Config, findings: Findings) -> None:
    for index, route in enumerate(config.routes):
        path = ("routes", index, "response_headers")
        if route.token is TokenKind.NONE or not findings.sound(path):
            continue
        for name in route.response_headers.set:
            if name.lower().startswith(_CORS):
                findings.report((*path, "set", name), "is said by the gateway, where there are `allowed_origins`")


def _may_be_same_site(one: Origin, other: Origin) -> bool:
    """By scheme and the last two labels: which suffixes are public is not known here, so this may be too kind, never too strict."""
    if one.scheme != other.scheme:
        return False
    return one.host == other.host or (_site(one.host) == _site(other.host) != "")


def _site(host: str) -> str:
    """The last two labels of a name; empty: an address, or a name of one label."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return ".".join(host.split(".")[-2:]) if "." in host else ""
    return ""
