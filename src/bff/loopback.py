"""Which hosts are this machine. One rule for the configuration, provider metadata and the demo: http is allowed there.

RFC 6761 section 6.3: "The domain "localhost." and any names falling within ".localhost." are special", and resolve to a
loopback address. RFC 1122 section 3.2.1.3 reserves 127.0.0.0/8, RFC 4291 section 2.5.3 reserves ::1.
"""

import ipaddress
import re

_LOCALHOST = re.compile(r"(?:[a-z0-9_-]+\.)*localhost\.?", re.IGNORECASE)
_LOOPBACK_6 = ipaddress.IPv6Address("::1")


def is_loopback(host: str) -> bool:
    """Whether a host name or an address can only mean this machine. An IPv6 address may have brackets."""
    if _LOCALHOST.fullmatch(host):
        return True
    try:
        address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_loopback
    return address == _LOOPBACK_6  # no IPv4-mapped address: Python versions differ in `is_loopback` of those
