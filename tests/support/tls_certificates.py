"""Certificates for loopback upstreams: an authority of its own for each test, and what it signs."""

import datetime
import ipaddress
import ssl
import warnings
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority; `file` is its certificate as PEM, for a route's `ca_file`."""

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"test {name}")])
        certificate = (
            _builder(self.name, self.key.public_key(), issuer=self.name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server_file(self, *names: str, expired: bool = False, days: int = 1) -> Path:
        """A server's certificate for these host names or addresses, and its key, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "upstream")])
        certificate = (
            _builder(subject, key.public_key(), issuer=self.name, expired=expired, days=days)
            .add_extension(x509.SubjectAlternativeName([_alternative(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        file = self._directory / f"{certificate.serial_number:x}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        file.chmod(0o600)  # it holds a key
        return file

    def server(self, *names: str, expired: bool = False, newest_tls: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        """A server's context with a certificate for these host names or addresses."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_file(*names, expired=expired))
        if newest_tls is not None:
            context.set_ciphers("DEFAULT@SECLEVEL=0")  # else OpenSSL itself refuses what the client is to refuse
            with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
                context.minimum_version = context.maximum_version = newest_tls
        return context

    def asking_server(self, name: str, *, asks: ssl.VerifyMode = ssl.CERT_REQUIRED) -> ssl.SSLContext:
        """A server's context that wants a certificate of ours from each client."""
        context = self.server(name)
        context.verify_mode = asks
        context.load_verify_locations(self.file)
        return context


def client_files(directory: Path, *, name: str = "shop", authority: Authority | None = None) -> tuple[Path, Path]:
    """A client's certificate and key as PEM files, signed by this authority or by itself; what stands there is replaced."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _builder(subject, key.public_key(), issuer=authority.name if authority else subject)
    certificate = builder.add_extension(
        x509.SubjectAlternativeName([x509.DNSName(f"{name}.example.com")]), critical=False
    ).sign(authority.key if authority else key, hashes.SHA256())
    files = directory / f"{name}-certificate.pem", directory / f"{name}-key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, *, issuer: x509.Name, expired: bool = False, days: int = 1
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 10 * _DAY)
        .not_valid_after(now - _DAY if expired else now + days * _DAY)
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
