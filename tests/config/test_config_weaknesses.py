"""What can be run and gives something away, or lacks something: a warning at its line, and none where it is mended."""

import os
from pathlib import Path

import pytest

from bff.config.load import load_with_warnings
from support.config_texts import ENV, SESSION_KEY, TWELVE_LINES, changed, problem, write
from support.tls_certificates import Authority

RIGHT = TWELVE_LINES.replace("http://api:8000", "https://api:8443").replace(
    "    client_id", "    scope: openid offline_access\n    client_id"
)
SECRET = "corp-secret-0123456789-abcdefghijklmn"


def warned(text: str, folder: Path) -> list[tuple[int, str, str]]:
    """Line, key and message of each warning."""
    found = load_with_warnings(write(text, folder), env=ENV).warnings
    return [(warning.line, warning.key, warning.message) for warning in found]


def right(old: str, new: str) -> str:
    """The right text with one piece replaced, which must be there once."""
    assert RIGHT.count(old) == 1
    return RIGHT.replace(old, new)


def secret_file(folder: Path, mode: int) -> None:
    """`secret` in this folder, readable to those."""
    file = folder / "secret"
    file.write_text(SECRET)
    file.chmod(mode)


@pytest.mark.parametrize("key", ["timeouts: {idle: 5m}", "max_body: 1MiB", "max_connections: 9", "max_waiting: 9"])
def test_what_changes_nothing_for_files_is_said(tmp_path: Path, key: str) -> None:
    """A key about upstreams does nothing on a `files` route, and a warning says so."""
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "index.html").touch()
    text = f"{RIGHT}  - path: /app\n    files: dist\n    {key}\n"
    ((_, named, message),) = warned(text, tmp_path)
    assert named == f"routes[1].{key.partition(':')[0]}"
    assert message.startswith("changes nothing here")


def test_a_careful_file_has_no_warning(tmp_path: Path) -> None:
    """https to the API, a refresh token, secrets elsewhere: nothing is said."""
    assert warned(RIGHT, tmp_path) == []


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("{env: CORP_SECRET}", "{file: secret}", "providers.corp.client_secret"),
        ("[{env: SESSION_KEY}]", "[{env: SESSION_KEY}, {file: secret}]", "session.keys[1]"),
        (
            "client_secret: {env: CORP_SECRET}",
            "client_secrets: [{env: CORP_SECRET}, {file: secret}]",
            "providers.corp.client_secrets[1]",
        ),
    ],
)
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_secret_that_every_user_can_read(old: str, new: str, key: str, mode: int, tmp_path: Path) -> None:
    """A secret's file whose mode lets every user of the machine in is named by its key, with the mode."""
    secret_file(tmp_path, mode)
    ((_, found, message),) = warned(right(old, new), tmp_path)
    assert found == key
    assert f"mode {mode:04o}" in message
    assert SECRET not in message


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o400, 0o440])
def test_a_secret_of_its_owner_and_group_is_no_warning(mode: int, tmp_path: Path) -> None:
    """A group may read it: secrets are mounted like that."""
    secret_file(tmp_path, mode)
    assert warned(right("{env: CORP_SECRET}", "{file: secret}"), tmp_path) == []


def test_keys_and_certificates_are_secrets_too(tmp_path: Path) -> None:
    """The file of a token that authenticates us is judged like a secret's."""
    (tmp_path / "assertion").write_text("a.b.c")
    (tmp_path / "assertion").chmod(0o644)
    ((_, key, message),) = warned(
        right("client_secret: {env: CORP_SECRET}", "client_assertion: {file: assertion}"), tmp_path
    )
    assert key == "providers.corp.client_assertion"
    assert "mode 0644" in message


@pytest.mark.parametrize(("mode", "found"), [(0o644, ["tls.key"]), (0o600, [])])
def test_the_key_of_a_certificate_is_a_secret(mode: int, found: list[str], tmp_path: Path) -> None:
    """The file of the listener's key is judged like a secret's."""
    pair = Authority(tmp_path).server_file("localhost")
    pair.chmod(mode)
    text = right("providers:", f"tls: {{certificate: {pair}, key: {pair}}}\nproviders:")
    assert [key for _, key, _ in warned(text, tmp_path) if key == "tls.key"] == found


@pytest.mark.parametrize(("mode", "several"), [(0o644, 1), (0o640, 0)])
def test_a_literal_secret_is_as_safe_as_its_file(mode: int, several: int, tmp_path: Path) -> None:
    """A secret that stands in the configuration is read by those who may read that file."""
    file = write(right("{env: SESSION_KEY}", SESSION_KEY), tmp_path)
    file.chmod(mode)
    found = load_with_warnings(file, env=ENV).warnings
    assert [(warning.line, warning.key) for warning in found] == [(4, "session.keys[0]")] * several
    assert all(SESSION_KEY not in warning.message for warning in found)


@pytest.mark.parametrize("scope", ["openid", "openid profile email", "openid api://orders/access"])
def test_no_refresh_token_is_asked_for(scope: str, tmp_path: Path) -> None:
    """Without `offline_access` a session's calls may end with the first access token."""
    ((line, key, message),) = warned(right("openid offline_access", scope), tmp_path)
    assert (line, key) == (8, "providers.corp.scope")
    assert "lacks `offline_access`" in message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("scope: openid offline_access", "scope: openid refresh_token"),
        ("scope: openid offline_access", "scope: openid\n    authorization_params: {access_type: offline}"),
        ("scope: openid offline_access", "scope: orders\n    discovery: oauth\n    userinfo: true"),
        (
            "https://login.example.com\n    scope: openid offline_access",
            "https://id.example.com/realms/shop\n    scope: openid",
        ),
        ("upstream: https://api:8443", "upstream: https://api:8443\n    token: none"),
    ],
)
def test_a_refresh_token_that_comes_otherwise(old: str, new: str, tmp_path: Path) -> None:
    """Other words for it, providers that need none, plain OAuth 2.0, and routes without a user's token: nothing is said."""
    text = right(old, new)
    if "token: none" in new:
        text = text.replace("openid offline_access", "openid")
    assert warned(text, tmp_path) == []


@pytest.mark.parametrize(
    ("upstream", "words"),
    [
        ("http://api:8000", "access tokens and content"),
        ("http://10.0.0.7", "access tokens and content"),
        ("http://api:8000\n    token: none", "requests and answers"),
        ("http://api:8000\n    token: client", "access tokens and content"),
    ],
)
def test_plain_http_to_an_upstream(upstream: str, words: str, tmp_path: Path) -> None:
    """What crosses the network unencrypted is said where the upstream stands."""
    ((line, key, message),) = warned(right("https://api:8443", upstream), tmp_path)
    assert (line, key) == (13, "routes[0].upstream")
    assert words in message


@pytest.mark.parametrize(
    "upstream",
    ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:80", "http://a.localhost", "http+unix:///run/api.sock"],
)
def test_plain_http_on_this_machine_is_no_warning(upstream: str, tmp_path: Path) -> None:
    """Loopback is no network."""
    assert warned(right("https://api:8443", upstream), tmp_path) == []


@pytest.mark.requirement("R-301", "R-302")
@pytest.mark.parametrize("key", ["logo", "sign_in_error"])
@pytest.mark.parametrize(
    ("page", "routes", "words"),
    [
        ("/sorry", "", "is on no route: /sorry"),
        ("/api/sorry?x=1", "", "the route /api, which"),
        ("/apis", "", "is on no route: /apis"),
        ("/own/sorry", "  - {path: /own, upstream: 'https://own:1', csrf: origin}", "the route /own, which"),
        ("/own/sorry", "  - {path: /own, upstream: 'https://own:1', token: user_or_none}", "the route /own, which"),
        ("/own/sorry", "  - {path: /own, upstream: 'https://own:1', token: user_or_none, csrf: origin}", None),
        ("/own/sorry", "  - {path: /own, upstream: 'https://own:1', token: none}", None),
        ("/sorry", "  - {path: /, upstream: 'https://own:1', token: none}", None),
    ],
)
def test_a_page_that_people_without_a_session_cannot_see(
    key: str, page: str, routes: str, words: str | None, tmp_path: Path
) -> None:
    """The logo and the page for failed sign-ins must load without a session."""
    found = warned(f"{RIGHT.rstrip()}\n{routes}\npages: {{{key}: '{page}'}}\n", tmp_path)
    assert [(where, words in message) for _, where, message in found if words] == (
        [(f"pages.{key}", True)] if words else []
    )
    assert words is not None or found == []


def test_sessions_in_memory_are_for_a_laptop(tmp_path: Path) -> None:
    """A public site whose sessions end with the process is told; one on loopback is not."""
    text = right("redis://redis:6379/0", "memory://")
    ((line, key, _),) = warned(text, tmp_path)
    assert (line, key) == (3, "session.store")
    assert warned(text.replace("https://app.example.com", "http://localhost:8080"), tmp_path) == []


def test_a_key_that_is_made_at_start_is_no_literal(tmp_path: Path) -> None:
    """Without session keys in the file there is nothing in it to be read."""
    text = right("  store: redis://redis:6379/0\n  keys: [{env: SESSION_KEY}]", "  store: memory://")
    assert [key for _, key, _ in warned(text, tmp_path)] == ["session.store"]


@pytest.mark.requirement("R-278")
@pytest.mark.parametrize(
    ("reference", "named"),
    [
        ("{env: NOWHERE}", "$NOWHERE: not set or empty"),
        ("{env: OIDC_CLIENT_SECRET_2}", "$OIDC_CLIENT_SECRET_2: not set"),
        ("{file: /run/secrets/nowhere}", "/run/secrets/nowhere: No such file"),
        ("{file: secrets/client-secret}", "/secrets/client-secret: No such file"),
        ("{file: secrets/corp_2}", "/secrets/corp_2: No such file"),
    ],
)
def test_a_missing_secret_is_named(reference: str, named: str) -> None:
    """The variable, or the file with its whole path, stands in the message."""
    assert named in problem(changed("{env: CORP_SECRET}", reference)).message


@pytest.mark.requirement("R-172")
@pytest.mark.parametrize(
    "written",
    ["hunter2", "Hunter-2", "p@ssword", "AKIAQ7EXAMPLE33", "s3cr3t-0123456789-abcdefghijklmnop", "dGhpcyBpcyA1"],
)
@pytest.mark.parametrize("kind", ["env", "file"])
def test_a_secret_in_the_place_of_its_name_is_not_shown(written: str, kind: str) -> None:
    """Passwords and random texts that stand where a name belongs are not repeated."""
    message = problem(changed("{env: CORP_SECRET}", f"{{{kind}: {written}}}")).message
    assert written not in message
    assert "may be the secret itself" in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_a_secret_that_we_may_not_read_is_named(tmp_path: Path) -> None:
    """A file that is there and closed to us is named with that reason."""
    secret_file(tmp_path, 0)
    message = problem(changed("{env: CORP_SECRET}", "{file: secret}"), folder=tmp_path).message
    assert f"{tmp_path}/secret: Permission denied" in message
