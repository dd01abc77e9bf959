"""Hosts and ports: the part of the grammar that URLs, stores and addresses share (RFC 3986 section 3.2)."""

import ipaddress
import re

from bff.config.spelling import SpellingError

_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:\[\]]*)(?::(?P<port>[0-9]{1,5}))?")
_HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


def parse_authority(text: str, *, hint: str = "") -> tuple[str, int | None]:
    """`host[:port]`: the host as written (an IPv6 address in brackets), and the port if there is one.

    Raises:
        SpellingError: one of them is missing or impossible; `hint` says what may have gone wrong.
    """
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        raise SpellingError(f"has no proper host[:port]{hint}")
    check_host(match["host"])
    return match["host"], _port(match["port"])


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


def server_name(text: str) -> str:
    """The name that a TLS certificate must hold: a host name or an address, without a port.

    Raises:
        SpellingError: it is none.
    """
    check_host(f"[{text}]" if ":" in text else text)
    return text.lower()


def bare_host(host: str) -> str:
    """The host as sockets take it: in lower case, an IPv6 address without brackets."""
    return host.lower().strip("[]")


def _port(digits: str | None) -> int | None:
    if digits is None:
        return None
    if not 1 <= int(digits) <= 65535:
        raise SpellingError("has a port outside 1-65535")
    return int(digits)
