"""Why there is no connection to an upstream, as one stable word for logs and answers (R-363). Pure.

name           its name cannot be resolved
refused        it refuses connections: nothing listens there
certificate    its certificate cannot be trusted
tls            another failure of TLS
unreachable    the network does not lead there
"""

import errno
import re
import socket
import ssl

from bff.errors import UpstreamUnreachable

_ERRNO = re.compile(r"\[Errno (\d+)\]")


def unreachable(error: OSError, *, origin: str) -> UpstreamUnreachable:
    """The error that says why `error` happened."""
    return UpstreamUnreachable(type(error).__name__, origin=origin, reason=reason_of(error))


def reason_of(error: OSError) -> str:
    """The word for it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, socket.gaierror):
        return "name"
    return "refused" if _numbers(error) == {errno.ECONNREFUSED} else "unreachable"


def _numbers(error: OSError) -> set[int | None]:
    """The error numbers of all addresses that were tried: asyncio joins several failures into one text without a number."""
    if error.errno is not None:
        return {error.errno}
    return {int(number) for number in _ERRNO.findall(str(error))}
