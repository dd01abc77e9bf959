"""What has to fit to a certificate of our own: the public URL, and the clock."""

from bff.config.model import Config
from bff.config.problems import Findings
from bff.config.values.certificates import shown

_SOON_DAYS = 14
_DAY_SECONDS = 24 * 3600.0


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
