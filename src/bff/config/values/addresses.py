"""Addresses to listen on, and networks to trust."""

import ipaddress
import re

from bff.config.spelling import SpellingError
from bff.config.values.hosts import check_host
from bff.loopback import is_loopback

_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*):(?P<port>[0-9]{1,5})")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def host_and_port(text: str) -> tuple[str, int]:
    """`HOST:PORT`; an IPv6 address stands in brackets, which are dropped. Port 0 lets the system choose.

    Raises:
        SpellingError: one of them is missing or impossible.
    """
    match = _HOST_AND_PORT.fullmatch(text)
    if match is None or not match["host"]:
        raise SpellingError("is not HOST:PORT: write 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080")
    check_host(match["host"])
    if int(match["port"]) > 65535:
        raise SpellingError("has a port above 65535")
    return match["host"].strip("[]"), int(match["port"])


def trusted_network(text: str) -> Network:
    """One address or CIDR network of proxies whose `Forwarded` fields are believed.

    Raises:
        SpellingError: it is not a network, has bits behind its prefix, or is the whole internet.
    """
    try:
        network = ipaddress.ip_network(text)
    except ValueError:  # its message repeats the text
        raise SpellingError("is no network whose prefix fits its address: write 10.0.0.0/8 or fd00::/8") from None
    if network.prefixlen == 0:
        raise SpellingError("trusts everybody to say who they are: name the networks of your proxies")
    return network


def is_private(host: str) -> bool:
    """Whether this address to listen on cannot be reached from outside of the machine or its inner network."""
    if is_loopback(host):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:  # a name
        return False
    return address.is_private and not address.is_unspecified
