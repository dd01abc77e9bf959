"""The certificate that we show to a provider in TLS (RFC 8705), read again when its files change.

The connections that show the old one get no further call (`http.py`).
"""

import ssl

from bff.config.model import CertificateConfig
from bff.config.values.certificates import KeptKeyPair
from bff.errors import SecretUnavailable
from bff.regular_files import flaw_of
from bff.secret_uses import digest
from bff.telemetry import running as telemetry


class ClientCertificate:
    """Keeps one TLS context up to date."""

    def __init__(self, pair: CertificateConfig, context: ssl.SSLContext) -> None:
        self._file = str(pair.certificate)
        self._kept = KeptKeyPair(pair, context)

    @property
    def digest(self) -> str:
        """By what the certificate that is shown is known (`secret_uses.py`)."""
        return digest(self._kept.certificate)

    def refresh(self) -> bool:
        """Load the files if they have changed; whether new connections show another certificate than before.

        Raises:
            SecretUnavailable: they cannot be used, and never could be.
        """
        former = self._kept.certificate
        try:
            self._kept.refresh()
        except OSError as error:
            if not self._kept.is_loaded:
                raise SecretUnavailable(f"file {self._file}", reason=flaw_of(error)) from None
            telemetry.file_unusable(self._file, flaw_of(error))
        return former not in {"", self._kept.certificate}
