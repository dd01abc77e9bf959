"""How we authenticate at a provider: each method with its credential, and every contradiction with line and column."""

from pathlib import Path

import pytest
from joserfc.jwk import RSAKey

from bff import signing_key
from bff.config.insecure import insecure_keys
from bff.config.load import load_with_warnings
from support.config_texts import ENV, changed, loaded, problem, problems, write
from support.keys import private_jwk, small_rsa
from support.tls_certificates import client_files

SECRET_LINE = "    client_secret: {env: CORP_SECRET}\n"
LONG = {**ENV, "CORP_SECRET": "a secret of thirty-two characters"}


def with_lines(*lines: str) -> str:
    """The twelve lines with these in place of the secret."""
    return changed(SECRET_LINE, "".join(f"    {line}\n" for line in lines))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a key, a certificate and an assertion."""
    (tmp_path / "key.pem").write_text(signing_key.generate().pem())
    (tmp_path / "key.jwk").write_text(private_jwk())
    (tmp_path / "assertion").write_text("a.b.c\n")
    client_files(tmp_path)
    for file in tmp_path.iterdir():
        file.chmod(0o600)
    return tmp_path


KEYS = "client_keys: [{file: key.pem}, {file: key.jwk}]"
CERTIFICATE = "client_certificate: {certificate: shop-certificate.pem, key: shop-key.pem}"
AUDIENCE = "assertion_audience: https://p/token"
ASSERTION = "client_assertion: {file: assertion}"
SECRET = SECRET_LINE.strip()


@pytest.mark.parametrize(
    ("lines", "method"),
    [
        ((SECRET,), None),
        ((KEYS,), "private_key_jwt"),
        ((ASSERTION,), "client_assertion"),
        ((CERTIFICATE,), "tls_client_auth"),
        ((SECRET, KEYS), None),
        ((KEYS, CERTIFICATE), "private_key_jwt"),
        ((SECRET, "client_auth: client_secret_jwt"), "client_secret_jwt"),
        ((KEYS, "client_auth: private_key_jwt"), "private_key_jwt"),
        ((CERTIFICATE, "client_auth: self_signed_tls_client_auth"), "self_signed_tls_client_auth"),
        (("client_auth: none", "insecure_public_client: true"), "none"),
    ],
    ids=lambda value: " + ".join(value) if isinstance(value, tuple) else str(value),
)
def test_method_follows_from_the_credential(folder: Path, lines: tuple[str, ...], method: str | None) -> None:
    """The only credential decides; with a secret the metadata does, and what is written always wins."""
    assert loaded(with_lines(*lines), folder, env=LONG).providers["corp"].client_auth == method


@pytest.mark.requirement("R-001")
@pytest.mark.parametrize(
    ("lines", "key"),
    [
        (("scope: openid",), "client_secret"),
        (("client_auth: client_secret_basic", KEYS), "client_secret"),
        (("client_auth: client_secret_post", CERTIFICATE), "client_secret"),
        (("client_auth: client_secret_jwt", KEYS), "client_secret"),
        (("client_auth: private_key_jwt", SECRET), "client_keys"),
        (("client_auth: client_assertion", KEYS), "client_assertion"),
        (("client_auth: tls_client_auth", KEYS), "client_certificate"),
        (("client_auth: self_signed_tls_client_auth", SECRET), "client_certificate"),
        (("client_auth: none",), "client_auth"),
        (("client_auth: none", "insecure_public_client: true", SECRET), "client_secret"),
        ((SECRET, "insecure_public_client: true"), "insecure_public_client"),
        ((SECRET, "client_auth: client_secret_jwt"), "client_secret"),
        ((SECRET, "request_object: signed"), "client_keys"),
        (
            (
                SECRET,
                "par: required",
                "token_endpoint: https://x",
                "authorization_endpoint: https://x",
                "jwks_uri: https://x",
            ),
            "pushed_authorization_request_endpoint",
        ),
        ((KEYS, "issuer: http://localhost:1", CERTIFICATE, "client_auth: tls_client_auth"), "issuer"),
    ],
    ids=lambda value: " + ".join(value) if isinstance(value, tuple) else str(value),
)
def test_contradictions(folder: Path, lines: tuple[str, ...], key: str) -> None:
    """A method without its credential, and a credential that cannot be used, are told once, at the key to change."""
    text = with_lines(*lines)
    if "issuer:" in " ".join(lines):
        text = text.replace("    issuer: https://login.example.com\n", "")
    found = problem(text, folder=folder)
    assert found.key == f"providers.corp.{key}"
    written = [number for number, line in enumerate(text.split("\n"), 1) if line.strip().startswith(f"{key}:")]
    assert found.line == (written[0] if written else 6)


@pytest.mark.parametrize(
    ("name", "content", "part"),
    [
        ("no key", "nothing here", "no private key"),
        ("public", RSAKey.generate_key(2048).as_pem(private=False).decode(), "no private key"),
        ("small", small_rsa().as_pem(private=True).decode(), "fewer than 2048 bits"),
        ("encrypted", RSAKey.generate_key(2048).as_pem(private=True, password="x").decode(), "encrypted"),
        ("symmetric", '{"kty": "oct", "k": "c2VjcmV0"}', "no key"),
        ("empty", "", "cannot be read"),
    ],
)
def test_key_that_cannot_sign(tmp_path: Path, name: str, content: str, part: str) -> None:
    """A file without a key for us is a problem of that entry."""
    (tmp_path / "key.pem").write_text(content)
    found = problem(with_lines("client_keys: [{file: key.pem}]"), folder=tmp_path)
    assert (found.key, found.line, found.column) == ("providers.corp.client_keys[0]", 9, 19)
    assert part in found.message or name == "symmetric"


def test_at_most_two_keys(folder: Path) -> None:
    """A rotation needs two."""
    found = problem(with_lines("client_keys: [{file: key.pem}, {file: key.jwk}, {file: key.pem}]"), folder=folder)
    assert found.key == "providers.corp.client_keys"


@pytest.mark.parametrize("file", ["shop-certificate.pem", "shop-key.pem"])
@pytest.mark.parametrize("change", ["missing", "garbage", "another"])
def test_certificate_and_key_belong_together(folder: Path, file: str, change: str) -> None:
    """A file that is missing, holds nothing, or belongs to another pair is a problem of `client_certificate`."""
    if change == "missing":
        (folder / file).unlink()
    elif change == "garbage":
        (folder / file).write_text("garbage")
    else:
        other = client_files(folder, name="other")
        (folder / file).write_bytes(other[file == "shop-key.pem"].read_bytes())
    found = problem(with_lines(CERTIFICATE), folder=folder)
    assert found.key == "providers.corp.client_certificate"


def test_public_client_has_no_token_of_its_own(folder: Path) -> None:
    """RFC 6749 section 4.4: client credentials are for confidential clients; the route is where it shows."""
    text = with_lines("client_auth: none", "insecure_public_client: true")
    text += "  - {path: /rates, upstream: 'http://api:8000', token: client}\n"
    assert problem(text, folder=folder).key == "routes[1].token"


def test_every_method_of_the_configuration_is_known_to_the_protocol() -> None:
    """The two lists of methods are one."""
    from typing import get_args

    from bff.config.model import ClientAuth
    from bff.oauth.client_auth import AuthMethod

    assert get_args(ClientAuth) == get_args(AuthMethod)


def test_what_weakens_security_is_found_by_its_name(folder: Path) -> None:
    """Each `insecure_...` key that is on is listed with its place, for the log at start."""
    text = with_lines("client_auth: none", "insecure_public_client: true")
    assert insecure_keys(loaded(text, folder)) == ("providers.corp.insecure_public_client",)
    assert insecure_keys(loaded(with_lines(SECRET), folder)) == ()


def test_a_misspelt_method_is_told_once(folder: Path) -> None:
    """One mistake is one problem."""
    (found,) = problems(with_lines("client_auth: private_key", KEYS), folder=folder)
    assert (found.key, "private_key_jwt" in found.message) == ("providers.corp.client_auth", True)


@pytest.mark.parametrize("content", ["", "no jwt", "a.b", "a.b.c.d", "a.b.", "a b.c.d", "<saml/>"])
def test_assertion_that_is_none(folder: Path, content: str) -> None:
    """A file that holds no signed JWT is a problem of `client_assertion`, and nothing of it is repeated."""
    (folder / "assertion").write_text(content)
    found = problem(with_lines(ASSERTION), folder=folder)
    assert found.key == "providers.corp.client_assertion"
    assert not content or content not in found.message


@pytest.mark.parametrize(
    ("lines", "keys"),
    [
        ((SECRET,), []),
        ((KEYS,), []),
        ((SECRET, KEYS), []),
        ((SECRET, KEYS, "client_auth: private_key_jwt"), ["client_secret"]),
        ((SECRET, ASSERTION), ["client_assertion"]),
        ((KEYS, AUDIENCE), []),
        ((SECRET, AUDIENCE), []),  # the metadata may choose `client_secret_jwt`
        ((SECRET, "client_auth: client_secret_post", AUDIENCE), ["assertion_audience"]),
        ((ASSERTION, AUDIENCE), ["assertion_audience"]),
        ((SECRET, CERTIFICATE, "client_auth: tls_client_auth"), ["client_secret"]),
        (("client_auth: none", "insecure_public_client: true"), ["insecure_public_client"]),
    ],
    ids=" + ".join,
)
def test_what_is_not_used_is_a_warning(folder: Path, lines: tuple[str, ...], keys: list[str]) -> None:
    """A credential that its method never sends can be run, and is told; keys may wait to be used."""
    warned = load_with_warnings(write(with_lines(*lines), folder), env=ENV).warnings
    credentials = {"client_secret", "client_keys", "client_assertion", "client_certificate"}
    ours = {*credentials, "assertion_audience", "insecure_public_client"}
    found = [warning.key.rpartition(".")[2] for warning in warned]
    assert [key for key in found if key in ours] == keys
