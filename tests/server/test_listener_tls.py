"""Which certificate browsers are shown, and what happens when its files change."""

import os
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bff.config.model import CertificateConfig
from bff.server.listener_tls import LOOK_SECONDS, ListenerTls, server_context
from support.tls_certificates import Authority, client_files


@dataclass(slots=True)
class Clock:
    """Seconds that a test moves."""

    now: float = 0.0

    def __call__(self) -> float:
        """Now."""
        return self.now


@dataclass(slots=True)
class Listener:
    """A listener's TLS, and the files that it shows."""

    folder: Path
    clock: Clock = field(default_factory=Clock)
    pair: CertificateConfig | None = None
    tls: ListenerTls = field(init=False)

    def __post_init__(self) -> None:
        certificate, key = client_files(self.folder)
        self.pair = CertificateConfig(certificate=certificate, key=key)
        self.tls = ListenerTls(lambda: self.pair, clock=self.clock)

    def replace(self, *, with_key: bool = True) -> None:
        """Another certificate under the same names, as `mv` puts it there; without its key the two do not fit."""
        assert self.pair is not None
        fresh = self.folder / "fresh"
        fresh.mkdir(exist_ok=True)
        certificate, key = client_files(fresh)
        os.replace(certificate, self.pair.certificate)
        if with_key:
            os.replace(key, self.pair.key)

    def looks(self) -> list[dict[str, Any]]:
        """A connection comes after the time of a look; the events of it."""
        self.clock.now += LOOK_SECONDS
        with capture_logs() as logs:
            self.tls.context()
        return [dict(entry) for entry in logs]


async def test_a_changed_certificate_is_shown_within_ten_seconds(tmp_path: Path) -> None:
    """To connections that come after the next look, which is at most five seconds away; the log says which it is."""
    listener = Listener(tmp_path)
    first = listener.tls.context()
    assert first is not None
    listener.replace()
    assert listener.tls.context() is first
    (loaded,) = listener.looks()
    assert (loaded["event"], loaded["file"]) == ("tls.certificate_loaded", str(tmp_path / "shop-certificate.pem"))
    assert loaded["expires_at"].endswith("Z")
    second = listener.tls.context()
    assert second is not first
    assert listener.looks() == []
    assert listener.tls.context() is second
    assert LOOK_SECONDS < 10


async def test_what_cannot_be_used_leaves_the_old_one(tmp_path: Path) -> None:
    """Said once for each state of the files, without a path of OpenSSL's sources; as soon as they fit the new one is shown."""
    listener = Listener(tmp_path)
    first = listener.tls.context()
    listener.replace(with_key=False)
    (unusable,) = listener.looks()
    assert (unusable["event"], unusable["log_level"]) == ("config.file_unusable", "warning")
    assert "KEY_VALUES_MISMATCH" in unusable["reason"].upper().replace(" ", "_")
    assert "_ssl.c" not in unusable["reason"]
    assert listener.looks() == []
    assert listener.pair is not None
    listener.pair.key.unlink()
    assert [entry["event"] for entry in listener.looks()] == ["config.file_unusable"]
    assert listener.tls.context() is first
    listener.replace()
    assert [entry["event"] for entry in listener.looks()] == ["tls.certificate_loaded"]
    assert listener.tls.context() is not first


async def test_a_reload_that_names_other_files_is_taken_on_at_once(tmp_path: Path) -> None:
    """Also one that turns TLS off, or on again."""
    listener = Listener(tmp_path)
    first, pair = listener.tls.context(), listener.pair
    other = tmp_path / "other"
    other.mkdir()
    certificate, key = client_files(other)
    listener.pair = CertificateConfig(certificate=certificate, key=key)
    assert listener.tls.context() is not first
    listener.pair = None
    listener.tls.settle()
    assert not listener.tls.is_on
    assert listener.tls.context() is None
    listener.pair = pair
    listener.tls.settle()
    assert listener.tls.is_on
    assert listener.tls.context() is not None


async def test_the_certificate_of_tls_that_is_turned_on_again_is_told_again(tmp_path: Path) -> None:
    """Also where no connection came while it was off; a reload that leaves it on tells nothing."""
    listener = Listener(tmp_path)
    assert [entry["event"] for entry in listener.looks()] == ["tls.certificate_loaded"]
    listener.tls.settle()
    assert listener.looks() == []
    pair, listener.pair = listener.pair, None
    listener.tls.settle()
    listener.pair = pair
    listener.tls.settle()
    with capture_logs() as logs:
        listener.tls.context()
    assert [entry["event"] for entry in logs] == ["tls.certificate_loaded"]


async def test_without_a_usable_certificate_there_is_no_connection(tmp_path: Path) -> None:
    """Never plain HTTP instead; it is tried again at every look."""
    listener = Listener(tmp_path)
    assert listener.pair is not None
    listener.pair.key.rename(tmp_path / "kept")
    assert listener.tls.is_on
    assert listener.tls.context() is None
    (tmp_path / "kept").rename(listener.pair.key)
    assert [entry["event"] for entry in listener.looks()] == ["tls.certificate_loaded"]
    assert listener.tls.context() is not None


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
def test_the_protocol_is_modern(tmp_path: Path, newest: ssl.TLSVersion) -> None:
    """TLS 1.2 or 1.3, forward secret and authenticated ciphers, ALPN `http/1.1` also where a browser offers h2 first."""
    authority = Authority(tmp_path)
    file = authority.server_file("localhost")
    client = ssl.create_default_context(cafile=authority.file)
    client.set_alpn_protocols(["h2", "http/1.1"])
    client.maximum_version = newest
    session = shaken(client, server_context(CertificateConfig(certificate=file, key=file)))
    cipher = session.cipher()
    assert session.selected_alpn_protocol() == "http/1.1"
    assert cipher is not None
    assert "GCM" in cipher[0] or "POLY1305" in cipher[0]


@pytest.mark.parametrize("ciphers", ["ECDHE-ECDSA-AES128-SHA256", "AES128-SHA"])
def test_old_ciphers_are_refused(tmp_path: Path, ciphers: str) -> None:
    """Of TLS 1.2: without authenticated encryption, or without forward secrecy."""
    authority = Authority(tmp_path)
    file = authority.server_file("localhost")
    client = ssl.create_default_context(cafile=authority.file)
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    client.set_ciphers(ciphers)
    with pytest.raises(ssl.SSLError):
        shaken(client, server_context(CertificateConfig(certificate=file, key=file)))


def shaken(client: ssl.SSLContext, server: ssl.SSLContext) -> ssl.SSLObject:
    """The browser's side after a handshake in memory."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = server.wrap_bio(to_server, to_client, server_side=True)
    theirs = client.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(4):
        for side in (theirs, ours):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return theirs
