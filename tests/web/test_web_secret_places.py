"""The secrets and keys of a configuration whose uses are noted: each is listed once, under the name that its uses have."""

from pathlib import Path

from bff import signing_key
from bff.config.model import Config
from bff.secret_uses import ROUTES, SESSION
from bff.web.secret_places import SecretPlace, secret_places, secrets_of, watch_files
from support.config_texts import ENV, SESSION_KEY, changed, loaded
from support.tls_certificates import client_files

PROVIDER = """\
  {name}:
    issuer: https://{name}.example.com
    client_id: shop
    {secrets}
"""
SHOWN = "client_certificate: {certificate: shop-certificate.pem, key: shop-key.pem}"
PROVIDERS = {
    "keyed": "client_keys: [{file: key.pem}]",
    "workload": "client_assertion: {file: assertion}",
    "mutual": SHOWN,
    "behind": "client_secret: {env: CORP_SECRET}\n    proxy: http://proxy:3128\n    proxy_credentials: {file: proxy}",
}
ROUTE = f"    provider: corp\n  - path: /mutual\n    upstream: https://api\n    token: none\n    {SHOWN}\n"


def configured(folder: Path) -> Config:
    """A configuration with each kind of secret."""
    client_files(folder)
    (folder / "key.pem").write_text(signing_key.generate().pem())
    (folder / "assertion").write_text("an.assertion.x")
    (folder / "proxy").write_text("user:secret")
    for file in folder.iterdir():
        file.chmod(0o600)
    providers = "".join(PROVIDER.format(name=name, secrets=secrets) for name, secrets in PROVIDERS.items())
    keys = changed("[{env: SESSION_KEY}]", "[{env: SESSION_KEY}, {env: OLD_KEY}]")
    return loaded(
        keys.replace("routes:\n", f"{providers}routes:\n") + ROUTE, folder, env=ENV | {"OLD_KEY": SESSION_KEY[::-1]}
    )


def listed(folder: Path) -> dict[tuple[str, str], SecretPlace]:
    """The places of such a configuration."""
    config = configured(folder)
    places = list(secrets_of(config))
    assert secret_places(config) == {(place.owner, place.position) for place in places}
    return {(place.owner, place.position): place for place in places}


def test_each_kind_of_secret_is_listed_under_the_name_of_its_uses(tmp_path: Path) -> None:
    """Session keys first, then each provider's, then the certificates that routes show."""
    assert list(listed(tmp_path)) == [
        (SESSION, "keys[0]"),
        (SESSION, "keys[1]"),
        ("corp", "client_secrets[0]"),
        ("keyed", "client_keys[0]"),
        ("workload", "client_assertion"),
        ("mutual", "client_certificate"),
        ("behind", "client_secrets[0]"),
        ("behind", "proxy_credentials"),
        (ROUTES, "client_certificate"),
    ]


def test_a_secret_is_read_when_it_is_asked_for(tmp_path: Path) -> None:
    """A file that was changed since gives its new text; a route's certificate names its route."""
    places = listed(tmp_path)
    (tmp_path / "assertion").write_text("the.next.one")
    certificate = (tmp_path / "shop-certificate.pem").read_text()
    assert places["workload", "client_assertion"].read() == "the.next.one"
    assert places["mutual", "client_certificate"].read() == places[ROUTES, "client_certificate"].read() == certificate
    assert places["keyed", "client_keys[0]"].read() == (tmp_path / "key.pem").read_text().strip()
    assert [place.route for place in places.values() if place.route is not None] == ["/mutual"]


def test_each_file_of_a_secret_is_watched(tmp_path: Path) -> None:
    """One that turns to what cannot be used is told of when it is next read, with its path."""
    config, told = configured(tmp_path), []
    watch_files(config, lambda file, reason: told.append((Path(file).name, reason)))
    for name in ("key.pem", "assertion", "proxy"):
        (tmp_path / name).write_text("")
    for place in secrets_of(config):
        place.read()
    assert told == [("key.pem", "empty"), ("assertion", "empty"), ("proxy", "empty")]
