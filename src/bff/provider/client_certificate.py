"""The certificate that we show to a provider in TLS (RFC 8705), read again when its files change.

New connections show the new certificate. A connection that is open keeps the one that it began with; idle ones are closed within
seconds (`http.py`). Files that do not fit together (one of two is replaced) leave the old certificate in use.
"""

import ssl

from bff.config.model import CertificateConfig
from bff.config.values.certificates import FilesSeen, files_seen, load_key_pair
from bff.errors import SecretUnavailable
from bff.telemetry import tokens as telemetry


class ClientCertificate:
    """Keeps one TLS context up to date."""

    def __init__(self, pair: CertificateConfig, context: ssl.SSLContext, *, provider: str) -> None:
        self._pair = pair
        self._context = context
        self._provider = provider
        self._seen: FilesSeen | None = None
        self._shown = False

    def refresh(self) -> None:
        """Load the files if they have changed: two `stat` calls where they have not.

        Raises:
            SecretUnavailable: they cannot be used, and never could be.
        """
        seen = files_seen(self._pair)
        if seen == self._seen:
            return
        self._seen = (
            seen  # also of files that cannot be used: they are tried again, and reported again, once they change
        )
        try:
            # Tried in a context that is thrown away: one that fails half way keeps the half that it loaded.
            load_key_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), self._pair)
            load_key_pair(self._context, self._pair)
        except OSError as error:
            if not self._shown:
                self._seen = None
                raise SecretUnavailable(f"file {self._pair.certificate}", reason=type(error).__name__) from None
            telemetry.credential_unusable(provider=self._provider, reason=f"file {self._pair.certificate}")
            return
        self._shown = True
