"""`bff init`: what it writes can be run as it is, is the documented recipe, and touches nothing that is there."""

import json
import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from bff.cli.recipes.advice import ONE_FOR_ALL, examples, meaning
from bff.cli.recipes.recipe import kinds, recipe, text
from bff.config.load import load_with_warnings
from bff.config.values.secrets import FileSecret
from support.bff_command import run_bff
from support.documented import codes, fenced, page, rows, section
from support.free_ports import free_port
from support.http_client import http_get
from support.serving_command import serving

PAGE = page("how-to/providers.md")
HEADINGS = re.findall(r"^## (.+)\n\n```yaml\nissuer:", PAGE, flags=re.MULTILINE)


def init(folder: Path, *options: str, answers: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run it in this folder; without `answers` it asks nothing."""
    arguments = options if answers is not None else (*options, "--yes")
    return run_bff("init", *arguments, answers=answers or "", folder=folder)


def provider_in(folder: Path, kind: str) -> dict[str, Any]:
    """The provider's section as any YAML reader reads it."""
    values = yaml.safe_load((folder / "bff.yaml").read_text(encoding="utf-8"))
    return dict(values["providers"][kind])


def test_every_documented_recipe_has_a_kind() -> None:
    """The page's recipes and the package's are the same ones, in the same words."""
    assert sorted(HEADINGS) == sorted(recipe(kind).title for kind in kinds())
    for kind in kinds():
        (block, *_) = fenced(section(PAGE, recipe(kind).title), "yaml")
        assert text(kind) == f"# {recipe(kind).title}\n{block}"


def test_the_reference_lists_every_kind() -> None:
    """The table of kinds names each with its provider."""
    table = [row for row in rows(section(page("reference/cli.md"), "bff init")) if len(row) == 2 and codes(row[0])]
    assert {codes(row[0])[0]: row[1] for row in table} == {kind: recipe(kind).title for kind in kinds()}


@pytest.mark.parametrize("kind", kinds())
def test_a_recipe_is_written_as_documented_and_can_be_run(kind: str, tmp_path: Path) -> None:
    """For every kind the file holds the page's keys and values, each below a comment, and loads without a change."""
    done = init(tmp_path, "--provider", kind)
    assert (done.returncode, done.stderr) == (0, "")
    documented = yaml.safe_load(fenced(section(PAGE, recipe(kind).title), "yaml")[0])
    assert provider_in(tmp_path, kind) == {**documented, "client_secret": {"file": f"secrets/{kind}"}}
    assert load_with_warnings(tmp_path / "bff.yaml", env={}).config.routes[0].provider == kind
    lines = (tmp_path / "bff.yaml").read_text().splitlines()
    for line in recipe(kind).lines:
        at = next(index for index, written in enumerate(lines) if written.startswith(f"    {line.key}: "))
        assert lines[at - 1].strip().startswith(f"# {meaning(kind, line.key)}")


@pytest.mark.parametrize("kind", kinds())
def test_every_example_is_named(kind: str, tmp_path: Path) -> None:
    """The output names each value that is the operator's own, with the line where it stands, and the secret's placeholder."""
    done = init(tmp_path, "--provider", kind)
    named = re.findall(r"^  bff\.yaml:(\d+): (\S+): .* is an example$", done.stdout, flags=re.MULTILINE)
    keys = {f"providers.{kind}.{key}" for key in examples(kind)}
    assert {key for _, key in named} == {*keys, "routes[0].upstream", "routes[1].upstream"}
    lines = (tmp_path / "bff.yaml").read_text().splitlines()
    assert all(lines[int(number) - 1].strip().startswith(key.rpartition(".")[2]) for number, key in named)
    assert f"secrets/{kind}: holds a placeholder for the client secret" in done.stdout


def test_an_example_of_a_host_is_never_taken_for_the_real_one() -> None:
    """A recipe's value with a made-up host, id or tenant is one that the operator is asked to replace."""
    made_up = re.compile(r"example|TENANT|DOMAIN|POOL|ENVIRONMENT|//shop|0000|1111|orders")
    for kind in kinds():
        for line in recipe(kind).lines:
            if line.key != "client_secret" and made_up.search(line.value):
                assert line.key in examples(kind), (kind, line)
        assert ("issuer" in examples(kind)) is (kind not in ONE_FOR_ALL)


def test_all_options_stand_in_the_file(tmp_path: Path) -> None:
    """What the options say is what the gateway runs with, and nothing is left to fill in."""
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/index.html").write_text("<!doctype html>")
    (tmp_path / "secret").write_text("the secret of the shop")
    done = init(
        tmp_path,
        *("--provider", "keycloak", "--issuer", "https://id.acme.io/realms/x", "--client-id", "12345"),
        *("--client-secret-file", "secret", "--public-url", "https://app.acme.io", "--store", "redis://redis:6379/0"),
        *("--api", "/api=http://orders:8000/v2", "--api", "/rates=https://rates.acme.io", "--app", "dist"),
        *("--dir", "conf"),
    )
    assert (done.returncode, done.stderr) == (0, "")
    config = load_with_warnings(tmp_path / "conf/bff.yaml", env={}).config
    keycloak = config.providers["keycloak"]
    assert (keycloak.issuer, keycloak.client_id) == ("https://id.acme.io/realms/x", "12345")
    assert keycloak.client_secrets[0].read() == "the secret of the shop"
    assert (config.public_url.text, str(config.session.store)) == ("https://app.acme.io", "redis://redis:6379/0")
    assert [(route.path.text, list(map(str, route.upstream or ()))) for route in config.routes] == [
        ("/api", ["http://orders:8000/v2"]),
        ("/rates", ["https://rates.acme.io"]),
        ("/", []),
    ]
    assert config.routes[2].files == tmp_path / "dist"
    assert "Still to fill in" not in done.stdout
    assert sorted(path.name for path in (tmp_path / "conf").rglob("*")) == [
        ".gitignore",
        "bff.yaml",
        "secrets",
        "session-key",
    ]


def test_files_below_the_folder_are_named_relative_to_it(tmp_path: Path) -> None:
    """The folder may be moved as a whole: what lies in it is named by relative paths."""
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist/index.html").write_text("<!doctype html>")
    (tmp_path / "corp secret").write_text("the secret of the shop")
    assert init(tmp_path, "--provider", "okta", "--client-secret-file", "corp secret", "--app", "dist").returncode == 0
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    config = load_with_warnings(moved / "bff.yaml", env={}).config
    assert config.providers["okta"].client_secrets[0] == FileSecret(path=moved / "corp secret")
    assert config.routes[1].files == moved / "dist"


def test_the_session_key_is_for_its_owner_alone(tmp_path: Path) -> None:
    """The key is new each time, has mode 0600, and is not to be committed."""
    for name in ("one", "two"):
        assert init(tmp_path, "--provider", "dex", "--dir", name).returncode == 0
    keys = [tmp_path / name / "secrets/session-key" for name in ("one", "two")]
    assert [stat.S_IMODE(key.stat().st_mode) for key in keys] == [0o600, 0o600]
    assert keys[0].read_text() != keys[1].read_text()
    assert (tmp_path / "one/.gitignore").read_text() == "/secrets/\n"


def test_it_says_what_to_register(tmp_path: Path) -> None:
    """Every address that the provider has to know is printed, and what else its console asks for."""
    done = init(tmp_path, "--provider", "okta", "--public-url", "https://app.acme.io")
    for address in ("bff/callback/okta", "\n", "bff/backchannel-logout/okta", "bff/jwks/okta"):
        assert f" https://app.acme.io/{address}" in done.stdout
    assert "grant type: Refresh Token" in done.stdout


def test_endpoints_move_with_the_issuer(tmp_path: Path) -> None:
    """An endpoint on the origin of the example's issuer is written for the issuer that was said."""
    init(tmp_path, "--provider", "auth0", "--issuer", "https://acme.us.auth0.com/")
    assert provider_in(tmp_path, "auth0")["end_session_endpoint"] == "https://acme.us.auth0.com/oidc/logout"


@pytest.mark.parametrize("name", ["bff.yaml", "secrets/session-key", ".gitignore", "secrets/keycloak"])
def test_what_is_there_is_never_touched(name: str, tmp_path: Path) -> None:
    """One file that is there already ends it with 1 and its name, before anything is written."""
    there = tmp_path / name
    there.parent.mkdir(exist_ok=True)
    there.write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    done = init(tmp_path, "--provider", "keycloak")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{name} is there already; nothing was written" in done.stderr
    assert there.read_text() == "mine"
    assert sorted(tmp_path.rglob("*")) == before


def test_a_link_that_leads_nowhere_is_there_too(tmp_path: Path) -> None:
    """A dangling link is not followed and not replaced."""
    (tmp_path / "bff.yaml").symlink_to(tmp_path / "elsewhere.yaml")
    done = init(tmp_path, "--provider", "keycloak")
    assert done.returncode == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bff.yaml"]


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--provider", "kycloak"], 2, "did you mean `keycloak`"),
        (["--provider", "nothing"], 2, "known are: adfs, apple,"),
        ([], 2, "--provider KIND is needed: adfs, apple,"),
        (["--provider", "dex", "--public-url", "http://app.acme.io"], 2, "plain http outside loopback"),
        (["--provider", "dex", "--issuer", "acme"], 2, "--issuer: is no URL"),
        (["--provider", "dex", "--issuer", "http://acme.io"], 1, "issuer: is plain http outside loopback"),
        (["--provider", "dex", "--client-secret-file", "nowhere"], 2, "nowhere: No such file"),
        (["--provider", "dex", "--client-id", ""], 2, "--client-id: is empty"),
        (["--provider", "dex", "--api", "/api"], 2, "--api: is no PATH=URL"),
        (["--provider", "dex", "--api", "api=http://x"], 2, "--api: must begin with /"),
        (["--provider", "dex", "--api", "/bff/x=http://x"], 1, "is below base_path"),
        (["--provider", "dex", "--api", "/a=http://x", "--api", "/a=http://y"], 1, "is the path of routes[0]"),
        (["--provider", "dex", "--app", "nowhere"], 2, "--app: there is no such folder: build the app first"),
        (["--provider", "dex", "--store", "mysql://x"], 2, "--store: is no store"),
    ],
)
def test_what_cannot_be_run_is_not_written(options: list[str], status: int, said: str, tmp_path: Path) -> None:
    """A mistake in an option, or a file that the gateway would refuse, is said; the folder stays as it was."""
    done = init(tmp_path, *options)
    assert done.returncode == status
    assert said in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_what_no_option_says_is_asked_for(tmp_path: Path) -> None:
    """Questions come in order, a mistake is asked about again, and an empty answer leaves the default."""
    typed = "kycloak\nkeycloak\nhttps://id.acme.io/realms/x\nshop-web\n\n\n/v1=http://localhost:3001\n\n\n"
    done = init(tmp_path, answers=typed)
    assert done.returncode == 0, done.stderr
    assert "did you mean `keycloak`" in done.stderr
    written = provider_in(tmp_path, "keycloak")
    assert (written["issuer"], written["client_id"]) == ("https://id.acme.io/realms/x", "shop-web")
    assert "is an example" not in done.stdout
    assert load_with_warnings(tmp_path / "bff.yaml", env={}).config.routes[0].path.text == "/v1"


def test_questions_that_are_not_answered_write_nothing(tmp_path: Path) -> None:
    """The end of the input is no answer: exit 1, and nothing is there."""
    assert init(tmp_path, answers="keycloak\n").returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_serve_starts_with_what_was_written(tmp_path: Path) -> None:
    """The gateway runs with the file as it is, and leads to a sign-in at the provider once that answers."""
    url = f"http://localhost:{free_port()}"
    assert init(tmp_path, "--provider", "openid", "--public-url", url).returncode == 0
    file = tmp_path / "bff.yaml"
    management = f"127.0.0.1:{free_port()}"
    file.write_text(file.read_text().replace("127.0.0.1:9090", management))
    with serving(file, management=management):
        answer = http_get(f"{url}/bff/user", headers={"x-csrf": "1"})
        assert json.loads(answer.text)["authenticated"] is False
