"""Whom we trust in TLS: one context for all that trust the system's authorities, and one for each that does not."""

import os
import ssl
from pathlib import Path

import pytest

from bff.trusted_roots import client_context
from support.tls_certificates import Authority


def authority(folder: Path) -> Authority:
    """An authority whose file is in this folder."""
    folder.mkdir()
    return Authority(folder)


def names(context: ssl.SSLContext) -> list[object]:
    """The serial numbers of what is trusted."""
    return [found["serialNumber"] for found in context.get_ca_certs()]


def test_who_changes_nothing_shares_one_context() -> None:
    """It verifies certificate and host name, and speaks TLS 1.2 or newer."""
    context = client_context(ca_file=None, shared=True)
    assert client_context(ca_file=None, shared=True) is context
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_who_changes_it_has_a_context_of_its_own() -> None:
    """A client certificate that one provider is shown is not shown to another one."""
    assert client_context(ca_file=None, shared=False) is not client_context(ca_file=None, shared=True)


def test_a_file_of_authorities_takes_the_place_of_the_systems(tmp_path: Path) -> None:
    """And is read each time: a reload finds its new content."""
    ours = authority(tmp_path / "ours")
    first = client_context(ca_file=ours.file, shared=True)
    assert len(names(first)) == 1
    ours.file.write_bytes(authority(tmp_path / "next").file.read_bytes())
    assert names(client_context(ca_file=ours.file, shared=True)) != names(first)


def test_changed_authorities_of_the_system_are_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a new package of the distribution puts them there."""
    ours = authority(tmp_path / "ours")
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.file))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))
    before = client_context(ca_file=None, shared=True)
    ours.file.write_bytes(ours.file.read_bytes() + authority(tmp_path / "next").file.read_bytes())
    after = client_context(ca_file=None, shared=True)
    assert (len(names(before)), len(names(after))) == (1, 2)


def test_a_file_without_certificates_is_an_error(tmp_path: Path) -> None:
    """The operator is told when the configuration is read, or at the reload."""
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    with pytest.raises(OSError, match="no certificate or crl"):
        client_context(ca_file=empty, shared=True)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """A named pipe in the place of the file is an error at once: it is opened in the thread of the event loop."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="no regular file"):
        client_context(ca_file=tmp_path / "pipe", shared=True)
