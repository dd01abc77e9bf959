"""Files of certificates and keys, loaded once while the configuration is read: a file that cannot be loaded fails there.

`ssl` is used as a parser of PEM here; it opens no socket.
"""

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography import x509

from bff import regular_files
from bff.config.spelling import SpellingError
from bff.config.values import paths
from bff.config.values.stores import FILE_OPTIONS, StoreLocation

MOST_READ = 1024 * 1024  # bytes of a certificate's or key's file that are looked at


def authorities(path: Path) -> None:
    """Refuse a file without usable certificates."""
    if not paths.is_file(path):
        raise SpellingError("there is no such file (a relative path starts at this configuration file's folder)")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except PermissionError:
        raise SpellingError(paths.NOT_ALLOWED) from None
    except OSError:  # ssl.SSLError is one
        raise SpellingError("the file holds no certificates that can be read (PEM)") from None


class KeyPair(Protocol):
    """A certificate and its private key."""

    @property
    def certificate(self) -> Path:
        """The certificate, followed by its chain (PEM)."""
        ...

    @property
    def key(self) -> Path:
        """The private key of the certificate (PEM)."""
        ...


def key_pair(pair: KeyPair) -> None:
    """Refuse a certificate and key that are not there, cannot be read, or do not belong together."""
    for file in (pair.certificate, pair.key):
        if not paths.is_file(file):
            raise SpellingError(f"names a file that is not there: {file}")
    try:
        load_key_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), pair)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise SpellingError(f"cannot be used: {_flaw(pair, error)}") from None


def _flaw(pair: KeyPair, error: Exception) -> str:
    """Why a pair cannot be loaded. OpenSSL says "PEM lib" of nearly everything, and not of which file."""
    if not isinstance(error, ssl.SSLError):  # a file cannot be read
        return _openssl(error)
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key is not that of the certificate"
    certificate, key = _start_of(pair.certificate), _start_of(pair.key)
    if b"CERTIFICATE-----" not in certificate:
        return "`certificate` names a file without a certificate in PEM"
    if b"ENCRYPTED" in key:
        return "the key has a password: write it without one, readable for the gateway alone"
    if b"PRIVATE KEY-----" not in key:
        return "`key` names a file without a private key in PEM"
    if error.reason == "NO_CERTIFICATE_ASSIGNED":  # OpenSSL's word where one is RSA and the other is not
        return "the key is not that of the certificate"
    return _openssl(error)


def _start_of(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(MOST_READ)
    except OSError:  # the error that was raised says so
        return b""


def load_key_pair(context: ssl.SSLContext, pair: KeyPair) -> None:
    """Make a TLS context show this certificate.

    Raises:
        OSError: it cannot be used (ssl.SSLError is one).
    """
    for file in (pair.certificate, pair.key):
        regular_files.require(file)  # OpenSSL would wait for a pipe's writer
    # without a password OpenSSL would ask at the terminal
    context.load_cert_chain(pair.certificate, pair.key, password="")


FilesSeen = tuple[regular_files.Stamp | None, ...]


def files_seen(pair: KeyPair) -> FilesSeen:
    """What differs when one of the files has changed; None for one that is not there."""
    return tuple(_file_seen(file) for file in (pair.certificate, pair.key))


def _file_seen(file: Path) -> regular_files.Stamp | None:
    try:
        return regular_files.stamp(file)
    except OSError:
        return None


class WatchedFile:
    """Notices that a file has changed; None: there is none, which never changes."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._seen = None if file is None else _file_seen(file)

    def has_changed(self) -> bool:
        """Whether it has, since the last time that this was asked: one `stat` call."""
        former, self._seen = self._seen, None if self._file is None else _file_seen(self._file)
        return self._seen != former


class KeptKeyPair:
    """Keeps the certificate that one TLS context shows up to date with its files.

    New connections show the new certificate; one that is open keeps the one that it began with. Files that do not fit together (one of
    two is replaced) leave the old certificate in use.
    """

    def __init__(self, pair: KeyPair, context: ssl.SSLContext) -> None:
        self._pair = pair
        self._context = context
        self._seen: FilesSeen | None = None
        self.is_loaded = False  # once they could be used
        self.certificate = ""  # the text of the one that is shown

    def refresh(self) -> None:
        """Load the files if they have changed: two `stat` calls where they have not.

        Raises:
            OSError: they have changed, and cannot be used. They are tried again once they change, or if they never could be used.
        """
        seen = files_seen(self._pair)
        if seen == self._seen:
            return
        self._seen = seen if self.is_loaded else None
        # Tried in a context that is thrown away: one that fails half way keeps the half that it loaded.
        load_key_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), self._pair)
        load_key_pair(self._context, self._pair)
        self._seen, self.is_loaded = seen, True
        self.certificate = certificate_text(self._pair.certificate)


def certificate_text(file: Path) -> str:
    """What is in a certificate's file, which is ASCII.

    Raises:
        OSError: it cannot be read.
    """
    return regular_files.read(file, limit=MOST_READ).decode("ascii", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a certificate says: for which host names and addresses, and between which instants (Unix seconds)."""

    names: tuple[str, ...]
    begins_at: float
    ends_at: float

    def covers(self, host: str) -> bool:
        """Whether it is for this host; a `*` stands for one whole first label (RFC 9525 section 6.3)."""
        _, _, parent = host.partition(".")
        return host in self.names or (bool(parent) and f"*.{parent}" in self.names)


def shown(file: Path) -> Shown | None:
    """What the first certificate in a PEM file says; None if only OpenSSL can read it."""
    try:
        return _shown(file)
    except (OSError, ValueError):
        return None


def _shown(file: Path) -> Shown:
    certificate = x509.load_pem_x509_certificates(regular_files.read(file, limit=MOST_READ))[0]
    try:
        named = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        named = x509.SubjectAlternativeName([])
    names = [name.lower() for name in named.get_values_for_type(x509.DNSName)]
    addresses = [str(address) for address in named.get_values_for_type(x509.IPAddress)]
    return Shown(
        names=(*names, *addresses),
        begins_at=certificate.not_valid_before_utc.timestamp(),
        ends_at=certificate.not_valid_after_utc.timestamp(),
    )


def _openssl(error: Exception) -> str:
    return str(error).partition(" (_ssl.c")[0]  # OpenSSL's message; it has no file name and no password


def store_files(location: StoreLocation) -> None:
    """Refuse a store whose files for TLS are not there, or cannot be loaded."""
    options = location.options
    files = {name: options[name] for name in FILE_OPTIONS if name in options}
    if not all(map(os.path.isabs, files.values())):
        raise SpellingError("names a file by a relative path: write an absolute one")
    if not all(paths.is_folder(file) if name == "ssl_ca_path" else paths.is_file(file) for name, file in files.items()):
        raise SpellingError("names a file that is not there")
    try:
        _load(options)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError; ValueError: a password of more than 1024 bytes
        raise SpellingError(f"has options for TLS that cannot be used: {_openssl(error)}") from None


def _load(options: Mapping[str, str]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if "ssl_ca_certs" in options:
        context.load_verify_locations(options["ssl_ca_certs"])
    if "ssl_certfile" in options or "ssl_keyfile" in options:
        password = options.get("ssl_password", "")  # without any, OpenSSL would ask at the terminal
        context.load_cert_chain(options.get("ssl_certfile", ""), options.get("ssl_keyfile"), password)
    if "ssl_ciphers" in options:
        context.set_ciphers(options["ssl_ciphers"])
