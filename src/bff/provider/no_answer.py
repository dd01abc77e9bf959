"""Why a call to a provider got no answer, in one word for the log, and whether what it carried may be spent. Pure.

proxy_STATUS          the outbound proxy opened no tunnel, and answered with this status
client_certificate    the provider does not take the certificate that we show
not_connected         no connection stood in time, or none at all
timeout, cut_off      the request was sent, or may have been: what it carried may be spent
"""

import ssl
from collections.abc import Iterator

import httpx2

from bff.errors import ProviderUnavailable
from bff.provider.connecting import Connecting

FAILURES = (OSError, httpx2.HTTPError, httpx2.InvalidURL)  # a TimeoutError is an OSError, and so is an ssl.SSLError

_NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.InvalidURL,
    httpx2.UnsupportedProtocol,
)
# What a server says of a client's certificate (RFC 8446 section 6.2), by OpenSSL's names. In TLS 1.3 it says so when our side of the
# handshake is over and the request is written, and httpcore does not translate the error of such a read. The handshake has failed all
# the same, so the request was not read.
_OF_OUR_CERTIFICATE = frozenset(
    {
        *("SSLV3_ALERT_BAD_CERTIFICATE", "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE", "SSLV3_ALERT_CERTIFICATE_REVOKED"),
        *("SSLV3_ALERT_CERTIFICATE_EXPIRED", "SSLV3_ALERT_CERTIFICATE_UNKNOWN", "TLSV1_ALERT_UNKNOWN_CA"),
        *("TLSV1_ALERT_ACCESS_DENIED", "TLSV13_ALERT_CERTIFICATE_REQUIRED"),
    }
)
_MAY_BE_SPENT = frozenset({"timeout", "cut_off"})


def no_answer(error: Exception, *, provider: str, connecting: Connecting) -> ProviderUnavailable:
    """The error to raise for one of `FAILURES`."""
    reason = _reason(error, connecting)
    late = reason == "not_connected" and isinstance(error, TimeoutError)
    return ProviderUnavailable(
        "no connection in time" if late else type(error).__name__,
        provider=provider,
        reason=reason,
        unanswered=reason in _MAY_BE_SPENT,
    )


def _reason(error: Exception, connecting: Connecting) -> str:
    if connecting.refused_by_proxy is not None:
        return f"proxy_{connecting.refused_by_proxy}"
    if any(isinstance(cause, ssl.SSLError) and cause.reason in _OF_OUR_CERTIFICATE for cause in _causes(error)):
        return "client_certificate"
    if connecting.under_way or isinstance(error, _NOT_SENT):
        return "not_connected"
    if isinstance(error, TimeoutError | httpx2.TimeoutException):
        return "timeout"
    return "cut_off"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
