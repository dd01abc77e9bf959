"""The certificate that browsers are shown, read again when its files change.

New connections are shown the new certificate; a connection that is open keeps its own. Files that do not fit together (one of two has
been replaced) leave the old certificate in use, and are tried again. They are looked at when a connection comes, and
at most every `LOOK_SECONDS`: two `stat` calls.
"""

import ssl
from collections.abc import Callable

from bff.clock import Clock, steady
from bff.config.model import CertificateConfig
from bff.config.values.certificates import FilesSeen, files_seen, load_key_pair, shown
from bff.regular_files import flaw_of
from bff.telemetry import running as telemetry

LOOK_SECONDS = 5.0
# Of TLS 1.2: forward secret and authenticated ciphers (RFC 9325 section 4.2). TLS 1.3 has no others.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class ListenerTls:
    """The TLS context of one listener. `pair` is what the configuration in force says; None: the listener speaks plain HTTP."""

    def __init__(self, pair: Callable[[], CertificateConfig | None], *, clock: Clock = steady) -> None:
        self._pair = pair
        self._clock = clock
        self._looked_at: CertificateConfig | None = None
        self._loaded: CertificateConfig | None = None
        self._context: ssl.SSLContext | None = None
        self._seen: FilesSeen = ()
        self._unusable: tuple[FilesSeen, str, str] | None = None  # what was logged last
        self._looks_at = 0.0

    @property
    def is_on(self) -> bool:
        """Whether the listener speaks TLS."""
        return self._pair() is not None

    def settle(self) -> None:
        """The configuration was replaced: look at its files at the next connection."""
        self._looked_at = None
        if self._pair() is None:
            self._loaded = None  # nothing is shown: if it is turned on again, that is an event and a sample again

    def context(self) -> ssl.SSLContext | None:
        """What a connection that comes now is served with; None: there is no certificate that can be used."""
        pair = self._pair()
        if pair is None:
            return None
        now = self._clock()
        if pair != self._looked_at or now >= self._looks_at:
            self._looked_at = pair
            self._looks_at = now + LOOK_SECONDS
            self._look(pair)
        return self._context

    def _look(self, pair: CertificateConfig) -> None:
        seen = files_seen(pair)
        if pair == self._loaded and seen == self._seen:
            return
        file = str(pair.certificate)
        try:
            self._context = server_context(pair)
        except OSError as error:  # ssl.SSLError is one
            self._say_unusable(seen, file=file, reason=flaw_of(error))
            return
        self._loaded, self._seen, self._unusable = pair, seen, None
        said = shown(pair.certificate)
        telemetry.certificate_loaded(file=file, expires_at=None if said is None else said.ends_at)

    def _say_unusable(self, seen: FilesSeen, *, file: str, reason: str) -> None:
        """Once for each state of the files; they are tried again at every look."""
        if (seen, file, reason) != self._unusable:
            self._unusable = (seen, file, reason)
            telemetry.file_unusable(file, reason)


def server_context(pair: CertificateConfig) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with this certificate, for HTTP/1.1 (RFC 7301).

    Raises:
        OSError: it cannot be used (ssl.SSLError is one).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION  # of TLS 1.2: a client could have us compute handshakes without end
    context.set_alpn_protocols(["http/1.1"])
    load_key_pair(context, pair)
    return context
