"""TLS towards providers and upstreams: which authorities are trusted, and which versions are spoken.

Reading the system's 140 authorities takes 19 ms, and the context that holds them 0.7 MB (measured). So all providers and upstreams
without settings of their own share one context. It is read anew when the system's files have changed: a reload of the configuration
finds them.
"""

import ssl
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from bff import regular_files

Stamp = tuple[str, regular_files.Stamp]


def client_context(*, ca_file: Path | None, shared: bool) -> ssl.SSLContext:
    """Verifies certificate and host name by the system's authorities, or only those of `ca_file`; TLS 1.2 or newer; HTTP/1.1.

    `shared`: the caller changes nothing of it, so that it may be another caller's too.

    Raises:
        OSError: the file cannot be used (ssl.SSLError is one).
    """
    if shared and ca_file is None:
        return _systems(_stamps())
    return _context(ca_file)


@lru_cache(maxsize=1)
def _systems(_: tuple[Stamp, ...]) -> ssl.SSLContext:
    return _context(None)


def _context(ca_file: Path | None) -> ssl.SSLContext:
    if ca_file is not None:
        regular_files.require(ca_file)  # OpenSSL would wait for a pipe's writer
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    return context


def _stamps() -> tuple[Stamp, ...]:
    """What changes with the system's authorities: a file with all of them, and a folder with a file for each."""
    paths = ssl.get_default_verify_paths()
    return tuple(_stamped(path for path in (paths.cafile, paths.capath) if path is not None))


def _stamped(paths: Iterable[str]) -> Iterable[Stamp]:
    for path in paths:
        yield path, regular_files.stamp(path)
