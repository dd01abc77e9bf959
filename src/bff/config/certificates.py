"""Files of certificates and keys: loaded once while the configuration is read, because what cannot be loaded cannot be started.

`ssl` is used as a parser of PEM here; it opens no socket.
"""

import os.path
import ssl
from pathlib import Path

from bff.config.spelling import SpellingError
from bff.config.urls import STORE_FILES, store_options


def authorities(path: Path) -> None:
    """Refuse a file that nothing can be verified with."""
    if not os.path.isfile(path):
        raise SpellingError("there is no such file (a relative path starts at this configuration file's folder)")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except OSError:  # ssl.SSLError is one
        raise SpellingError("the file holds no certificates that can be read (PEM)") from None


def store_files(url: str) -> None:
    """Refuse a store's URL whose files for TLS are not there, or not what they should be."""
    options = store_options(url)
    files = [options[name] for name in STORE_FILES if name in options]
    if not all(os.path.isabs(file) for file in files):
        raise SpellingError("names a file by a relative path: write an absolute one")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if "ssl_ca_certs" in options or "ssl_ca_path" in options:
            context.load_verify_locations(options.get("ssl_ca_certs"), options.get("ssl_ca_path"))
        if "ssl_certfile" in options or "ssl_keyfile" in options:
            certificate, key = options.get("ssl_certfile", ""), options.get("ssl_keyfile")
            context.load_cert_chain(
                certificate, key, password=options.get("ssl_password", "")
            )  # without one it would ask
    except OSError as error:  # ssl.SSLError is one
        raise SpellingError(f"its files for TLS cannot be loaded: {error.strerror or 'no PEM'}") from None
