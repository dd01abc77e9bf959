"""Why there is no connection to an upstream, as one stable word for logs and answers (R-363). Pure.

name           its name cannot be resolved
refused        it refuses connections: nothing listens there, or its Unix socket is not there
certificate    its certificate cannot be trusted; `what` says whether it is expired, another host's, or of an unknown authority
tls            another failure of TLS
unreachable    the network does not lead there
"""

import errno
import re
import socket
import ssl

from bff.errors import UpstreamUnreachable

_NOTHING_THERE = {errno.ECONNREFUSED, errno.ENOENT}
_ERRNO = re.compile(r"\[Errno (\d+)\]")


def unreachable(error: OSError, *, origin: str) -> UpstreamUnreachable:
    """The error that says why `error` happened."""
    return UpstreamUnreachable(_what(error), origin=origin, reason=reason_of(error))


def _what(error: OSError) -> str:
    """What the system or OpenSSL says of it, for the log."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    return error.strerror or type(error).__name__


def reason_of(error: OSError) -> str:
    """The word for it."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return "certificate"
    if isinstance(error, ssl.SSLError):
        return "tls"
    if isinstance(error, socket.gaierror):
        return "name"
    return "refused" if _numbers(error) <= _NOTHING_THERE else "unreachable"


def _numbers(error: OSError) -> set[int | None]:
    """The error numbers of all addresses that were tried: asyncio joins several failures into one text without a number."""
    if error.errno is not None:
        return {error.errno}
    return {int(number) for number in _ERRNO.findall(str(error))} or {None}
