"""The word for why there is no connection (R-363)."""

import errno
import socket
import ssl

import pytest

from bff.proxy.failures import reason_of


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connect call failed"), "refused"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1'), [Errno 111] Connect call failed"),
            "refused",
        ),
        (
            OSError("Multiple exceptions: [Errno 101] Network is unreachable, [Errno 111] Connect call failed"),
            "unreachable",
        ),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "unreachable"),
        (OSError("no words at all"), "unreachable"),
        (ssl.SSLCertVerificationError("certificate has expired"), "certificate"),
        (ssl.SSLError("wrong version number"), "tls"),
    ],
)
@pytest.mark.requirement("R-363")
def test_each_kind_of_failure_has_its_word(error: OSError, reason: str) -> None:
    """What failed is told apart, also where several addresses were tried."""
    assert reason_of(error) == reason
