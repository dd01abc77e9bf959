"""What we publish of our keys, so that a provider finds a new one by itself (RFC 7517, RFC 8705 section 2.2.2)."""

from collections.abc import Awaitable, Callable

from bff import signing_key
from bff.config.model import CertificateConfig, ProviderConfig
from bff.config.values.certificates import certificate_text
from bff.errors import ProviderError, SecretUnavailable
from bff.oauth.metadata import ProviderMetadata
from bff.provider.credentials import Credentials

Metadata = Callable[[], Awaitable[ProviderMetadata]]


async def public_keys(
    config: ProviderConfig, credentials: Credentials, *, metadata: Metadata
) -> list[dict[str, object]]:
    """The public halves of `client_keys`, newest first, and the certificate of `self_signed_tls_client_auth`.

    Raises:
        SecretUnavailable: one of them cannot be read.
    """
    keys: list[dict[str, object]] = []
    if config.client_keys:
        listed = await _listed(config, metadata)
        published = [key.published(listed=listed) for key in credentials.signing_keys()]
        keys += [
            key for index, key in enumerate(published) if key not in published[:index]
        ]  # in quiet times both are one
    if config.client_certificate is not None and config.client_auth == "self_signed_tls_client_auth":
        keys.append(_certificate(config.client_certificate))
    return keys


async def _listed(config: ProviderConfig, metadata: Metadata) -> tuple[str, ...] | None:
    """What the provider lists for our signatures; None while it cannot be asked, or lists different ones for requests."""
    try:
        known = await metadata()
    except ProviderError:
        return None
    for_requests = known.request_object_signing_algorithms
    differ = config.request_object == "signed" and for_requests != known.token_endpoint_signing_algorithms
    return None if differ else known.token_endpoint_signing_algorithms


def _certificate(shown: CertificateConfig) -> dict[str, object]:
    try:
        return signing_key.of_certificate(certificate_text(shown.certificate))
    except (OSError, ValueError) as error:
        raise SecretUnavailable(f"file {shown.certificate}", reason=type(error).__name__) from None
