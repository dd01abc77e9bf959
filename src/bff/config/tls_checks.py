"""What has to fit to the certificates of our own: the public URL, and the clock."""

from collections.abc import Iterator

from bff.config.model import CertificateConfig, Config
from bff.config.problems import Findings, KeyPath
from bff.config.values.certificates import shown

_SOON_DAYS = 14
_DAY_SECONDS = 24 * 3600.0


def check_client_certificates(config: Config, findings: Findings, *, now: float) -> None:
    """Warn of a certificate that a provider or an upstream refuses by now. One that is short-lived is no warning: it is renewed."""
    for path, pair in _client_certificates(config):
        certificate = shown(pair.certificate) if findings.sound(path) else None
        if certificate is None:
            continue
        if now < certificate.begins_at:
            findings.warn(path, "is not valid yet: the other side refuses it (or this machine's clock is wrong)")
        elif now >= certificate.ends_at:
            findings.warn(path, "has expired: the other side refuses it")


def _client_certificates(config: Config) -> Iterator[tuple[KeyPath, CertificateConfig]]:
    sections: dict[KeyPath, CertificateConfig | None] = {
        **{("providers", name): provider.client_certificate for name, provider in config.providers.items()},
        **{("routes", index): route.client_certificate for index, route in enumerate(config.routes)},
    }
    for path, pair in sections.items():
        if pair is not None:
            yield (*path, "client_certificate"), pair


def check_tls(config: Config, findings: Findings, *, now: float) -> None:
    """Report what does not fit together; warn of a certificate that browsers refuse, now or soon. `now`: Unix seconds."""
    if config.tls is None or not findings.sound(("tls",), ("public_url",)):
        return
    if config.public_url.scheme != "https":
        findings.report(("tls",), "is for an https public_url: browsers that are sent to http cannot use it")
        return
    certificate = shown(config.tls.certificate)
    if certificate is None:
        return
    at = ("tls", "certificate")
    until = (certificate.ends_at - now) / _DAY_SECONDS
    if now < certificate.begins_at:
        findings.warn(at, "is not valid yet: browsers refuse it (or this machine's clock is wrong)")
    elif until <= 0:
        findings.warn(at, "has expired: browsers refuse it")
    elif until < _SOON_DAYS:
        findings.warn(at, f"expires in {until:.0f} day(s)")
    if not config.trusted_proxies and not certificate.covers(config.public_url.host):
        findings.warn(at, "is not for the host of public_url: browsers refuse it")
