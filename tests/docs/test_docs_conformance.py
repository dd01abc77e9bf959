"""`docs/how-to/conformance.md`: its configuration passes `bff check`; `tests/journeys/test_conformance.py` plays the plans with it."""

import contextlib
import json
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from bff.config.load import Loaded, load_with_warnings
from bff.signing_key import generate
from bff.trusted_roots import client_context
from support import suite_conditions as conditions
from support.documented import codes, marked, page, rows, section
from support.gateway_world import SESSION_KEY
from support.suite_module import SIG_NONE
from support.suite_world import SECRET, with_certificate

PAGE = page("how-to/conformance.md")


def test_the_configuration_is_sound(tmp_path: Path) -> None:
    """No error, and no warning but of the store and of `offline_access`, which the page explains."""
    loaded = _loaded(tmp_path, marked(PAGE, "bff.yaml"))
    assert {warning.key.rpartition(".")[2] for warning in loaded.warnings} == {"store", "scope"}
    assert list(loaded.config.providers) == ["basic", "form-post", "config", "fapi"]


@pytest.mark.parametrize("name", ["basic", "fapi"])
def test_the_suite_takes_what_is_registered(name: str) -> None:
    """What it looks at before a test can start."""
    client = json.loads(marked(PAGE, f"{name}.json"))["client"]
    more = json.loads(marked(PAGE, "front-channel.json")) if name == "basic" else {}
    assert [*conditions.registration({**client, **more})] == []


def test_the_recipe_for_the_suites_key(tmp_path: Path) -> None:
    """It prints a JWKS of one private key, named by its algorithm, and its first members are those of the JSON."""
    (tmp_path / "key.py").write_text(marked(PAGE, "server-key.py"))
    printed = subprocess.run([sys.executable, "key.py"], cwd=tmp_path, check=True, capture_output=True, text=True)
    (key,) = json.loads(printed.stdout)["keys"]
    (shown,) = json.loads(marked(PAGE, "fapi.json"))["server"]["jwks"]["keys"]
    assert {name: key[name] for name in shown if name != "..."} == {"kty": "RSA", "use": "sig", "alg": "PS256"}
    assert {"d", "kid"} <= key.keys()


def test_the_certificate_for_containers_of_your_own(tmp_path: Path) -> None:
    """`ca_file` alone makes the gateway trust it, for the name that the page says, by TLS 1.3."""
    subprocess.run(["sh", "-ec", marked(PAGE, "certificate.sh")], cwd=tmp_path, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "suite.crt", tmp_path / "suite.key")
    client = client_context(ca_file=tmp_path / "suite.crt", shared=False)
    client.verify_flags |= ssl.VERIFY_X509_STRICT  # the default since Python 3.13
    assert _spoken(client, server, name="localhost.emobix.co.uk") == "TLSv1.3"
    with pytest.raises(ssl.SSLCertVerificationError):
        _spoken(client, server, name="localhost")


def test_the_configuration_with_a_certificate_is_sound(tmp_path: Path) -> None:
    """The page's two recipes make the files that its fragment names, and these fit together."""
    (tmp_path / "secrets").mkdir(mode=0o700)
    for recipe in ("certificate.sh", "client-certificate.sh"):
        subprocess.run(["sh", "-ec", marked(PAGE, recipe)], cwd=tmp_path, check=True, capture_output=True)
    text = with_certificate(marked(PAGE, "bff.yaml"), ("fapi", "/suite/accounts"), mtls="https://mtls.example.com")
    assert {warning.key.rpartition(".")[2] for warning in _loaded(tmp_path, text).warnings} == {"store", "scope"}


def _loaded(folder: Path, text: str) -> Loaded:
    (folder / "bff.yaml").write_text(text)
    (folder / "app").mkdir()
    (folder / "app" / "index.html").write_text(marked(PAGE, "index.html"))
    (folder / "secrets").mkdir(mode=0o700, exist_ok=True)
    for name, secret in {"session-key": SESSION_KEY, "client-secret": SECRET, "signing-key": generate().pem()}.items():
        (folder / "secrets" / name).write_text(secret)
        (folder / "secrets" / name).chmod(0o600)
    return load_with_warnings(folder / "bff.yaml")


def _spoken(client: ssl.SSLContext, server: ssl.SSLContext, *, name: str) -> str | None:
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=name)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (ours, theirs, ours, theirs, ours):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    return ours.version()


def test_what_is_skipped_is_said() -> None:
    """The one module that the suite skips has a row with its reason."""
    skipped = {name for row in rows(section(PAGE, "What is skipped, and why")) for name in codes(row[0])}
    assert SIG_NONE.name in skipped
