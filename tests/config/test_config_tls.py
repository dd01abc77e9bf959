"""The section `tls`: what is refused, and what is warned of."""

import os
import ssl
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from joserfc.jwk import RSAKey

from bff.config.load import load_with_warnings
from bff.config.model import CertificateConfig
from bff.config.values.certificates import KeptKeyPair
from support.config_texts import ENV, TWELVE_LINES, changed, problem, write
from support.tls_certificates import Authority, client_files

DAY = 24 * 3600.0


def with_tls(certificate: Path, key: Path, *, more: str = "") -> str:
    """The twelve lines with these files."""
    return f"{more}tls: {{certificate: {certificate}, key: {key}}}\n{TWELVE_LINES}"


def warned(text: str, folder: Path, *, later_seconds: float = 0.0) -> list[str]:
    """The warnings of a file that is read so much later than now."""
    loaded = load_with_warnings(write(text, folder), env=ENV, clock=lambda: time.time() + later_seconds)
    return [f"{warning.key}: {warning.message}" for warning in loaded.warnings if warning.key.startswith("tls")]


def test_a_certificate_that_fits_is_silent(tmp_path: Path) -> None:
    """For the host of `public_url`, by its name or a `*` for its first label, and valid for weeks."""
    authority = Authority(tmp_path)
    for names in (["app.example.com"], ["other.example", "*.example.com"]):
        file = authority.server_file(*names, days=90)
        assert warned(with_tls(file, file), tmp_path) == []


@pytest.mark.parametrize("names", [["example.com"], ["*.com"], ["*.app.example.com"], ["127.0.0.1"]])
def test_a_certificate_for_other_names_is_warned_of(tmp_path: Path, names: list[str]) -> None:
    """Unless proxies are trusted, which may know it by another name."""
    file = Authority(tmp_path).server_file(*names, days=90)
    said = ["tls.certificate: is not for the host of public_url: browsers refuse it"]
    assert warned(with_tls(file, file), tmp_path) == said
    assert warned(with_tls(file, file, more="trusted_proxies: [10.0.0.1]\n"), tmp_path) == []


@pytest.mark.parametrize(
    ("days", "warning"),
    [
        (0, []),
        (77, ["tls.certificate: expires in 13 day(s)"]),
        (91, ["tls.certificate: has expired: browsers refuse it"]),
        (-11, ["tls.certificate: is not valid yet: browsers refuse it (or this machine's clock is wrong)"]),
    ],
)
def test_the_clock_is_compared(tmp_path: Path, days: int, warning: list[str]) -> None:
    """Two weeks before the end it is said, and after it, and before the beginning."""
    file = Authority(tmp_path).server_file("app.example.com", days=90)
    assert warned(with_tls(file, file), tmp_path, later_seconds=days * DAY + 60) == warning


@pytest.mark.parametrize("provider", [True, False], ids=["provider", "upstream"])
@pytest.mark.parametrize(
    ("days", "warning"),
    [
        (0, []),
        (79, []),
        (91, ["has expired: the other side refuses it"]),
        (-11, ["is not valid yet: the other side refuses it (or this machine's clock is wrong)"]),
    ],
)
def test_a_client_certificate_that_is_over_is_warned_of(
    tmp_path: Path, days: int, warning: list[str], provider: bool
) -> None:
    """The other side would only end TLS. One that ends soon is no warning: many are made for a day."""
    file = Authority(tmp_path).server_file("client.example.com", days=90)
    pair = f"client_certificate: {{certificate: {file}, key: {file}}}"
    if provider:
        text = changed("    client_secret: {env: CORP_SECRET}", f"    {pair}\n    client_auth: tls_client_auth")
    else:
        text = changed("http://api:8000", f"https://api:8000\n    {pair}")
    loaded = load_with_warnings(write(text, tmp_path), env=ENV, clock=lambda: time.time() + days * DAY + 60)
    said = [found.message for found in loaded.warnings if found.key.endswith(".client_certificate")]
    assert said == warning


def locked(key: Path) -> bytes:
    """The same key with a password."""
    loaded = serialization.load_pem_private_key(key.read_bytes(), password=None)
    by_password = serialization.BestAvailableEncryption(b"a password")
    return loaded.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, by_password)


def der(certificate: Path) -> bytes:
    """The same certificate without PEM."""
    return x509.load_pem_x509_certificate(certificate.read_bytes()).public_bytes(serialization.Encoding.DER)


def test_a_pair_that_cannot_be_used_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Keys of another certificate, swapped files, no PEM, a password: OpenSSL says "PEM lib" of all but the first."""
    certificate, key = client_files(tmp_path)
    _, other = client_files(tmp_path, name="other")
    (tmp_path / "locked").write_bytes(locked(key))
    (tmp_path / "der").write_bytes(der(certificate))
    (tmp_path / "empty").touch()
    (tmp_path / "rsa").write_bytes(RSAKey.generate_key(2048).as_pem(private=True))
    (tmp_path / "damaged").write_bytes(certificate.read_bytes().replace(b"M", b"-"))
    for pair, reason in {
        (certificate, other): "the key is not that of the certificate",
        (certificate, tmp_path / "rsa"): "the key is not that of the certificate",
        (key, certificate): "`certificate` names a file without a certificate",
        (tmp_path / "der", key): "`certificate` names a file without a certificate",
        (tmp_path / "empty", key): "`certificate` names a file without a certificate",
        (certificate, certificate): "`key` names a file without a private key",
        (certificate, tmp_path / "empty"): "`key` names a file without a private key",
        (certificate, tmp_path / "locked"): "the key has a password",
        (tmp_path / "damaged", key): "",
    }.items():
        found = problem(with_tls(*pair), folder=tmp_path)
        assert found.key == "tls"
        assert found.message.startswith(f"cannot be used: {reason}")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """As everywhere in the file."""
    certificate, _ = client_files(tmp_path)
    assert problem(with_tls(certificate, tmp_path / "gone"), folder=tmp_path).key == "tls"


def test_a_pipe_in_the_place_of_a_certificate_is_not_opened(tmp_path: Path) -> None:
    """Opening it would wait for a writer, in the thread that serves: the certificate that was shown stays."""
    certificate, key = client_files(tmp_path)
    kept = KeptKeyPair(CertificateConfig(certificate=certificate, key=key), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    kept.refresh()
    shown = kept.certificate
    key.unlink()
    os.mkfifo(key)
    with pytest.raises(OSError, match="regular file"):
        kept.refresh()
    assert kept.certificate == shown


def test_tls_needs_an_https_public_url(tmp_path: Path) -> None:
    """What browsers are sent to must be what they can connect to."""
    certificate, key = client_files(tmp_path)
    text = with_tls(certificate, key).replace("https://app.example.com", "http://localhost:8080")
    assert problem(text, folder=tmp_path).key == "tls"
