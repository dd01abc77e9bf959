"""What `bff demo --eject` writes: a configuration that loads, programs that run, secrets that only their owner reads."""

import ast
import os
import re
import runpy
import stat
from pathlib import Path

import pytest

from bff.config.load import load
from bff.config.model import TokenKind
from bff.demo.configuration import Addresses, Behind
from bff.demo.eject import demo_client, eject, gateway_files, write_files


def test_everything_is_written(tmp_path: Path) -> None:
    """All files are there and named, in a folder that is made for them."""
    written = eject(tmp_path / "new" / "demo")
    names = {str(path.relative_to(tmp_path / "new" / "demo")) for path in written}
    assert names == {
        "bff.yaml",
        "page/index.html",
        "page/app.js",
        "page/style.css",
        "api.py",
        "provider.py",
        "README.md",
        "secrets/session-key",
        "secrets/client-secret",
        "secrets/.gitignore",
    }
    assert all(path.stat().st_size for path in written)


@pytest.mark.parametrize("name", ["api.py", "provider.py"])
def test_what_a_program_imports_it_uses(tmp_path: Path, name: str) -> None:
    """The files are read to learn from them: no import stands there for nothing."""
    eject(tmp_path)
    tree = ast.parse((tmp_path / name).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {(alias.asname or alias.name).partition(".")[0] for node in imports for alias in node.names}
    assert imported <= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} | {"annotations"}


def test_the_configuration_can_be_run(tmp_path: Path) -> None:
    """The ejected file loads without a problem and says what the demo needs."""
    eject(tmp_path)
    config = load(tmp_path / "bff.yaml")
    assert config.public_url.text == "http://localhost:8080"
    assert {route.path.text: route.token for route in config.routes if route.files is None} == {
        "/api/events": TokenKind.USER,
        "/api": TokenKind.USER,
        "/rates": TokenKind.CLIENT,
    }
    assert config.providers["demo"].client_secrets[0].read() == (tmp_path / "secrets/client-secret").read_text().strip()
    assert len(config.session.keys[0].read()) >= 32


def test_servers_of_the_users_own_take_the_places_of_page_and_api(tmp_path: Path) -> None:
    """With `--app` and `--api` the configuration leads there, WebSockets too, and the token is for that API."""
    behind = Behind(app="http://localhost:5173", api="http://localhost:3001/v1")
    write_files(tmp_path, gateway_files(Addresses(), store="memory://", behind=behind))
    api, app = load(tmp_path / "bff.yaml").routes
    assert ([*map(str, api.upstream)], api.resource, api.token, api.websocket) == (
        [behind.api],
        behind.api,
        TokenKind.USER,
        True,
    )
    assert ([*map(str, app.upstream)], app.path.text, app.token, app.websocket) == (
        [behind.app],
        "/",
        TokenKind.NONE,
        True,
    )
    assert not (tmp_path / "page").exists()


def test_the_configuration_is_neat(tmp_path: Path) -> None:
    """All its comments stand in one column: it is the first configuration that a person reads."""
    eject(tmp_path)
    lines = (tmp_path / "bff.yaml").read_text().splitlines()[1:]
    assert {line.index("# ") for line in lines if "# " in line} == {41}


def test_secrets_are_private_and_new(tmp_path: Path) -> None:
    """Secrets are readable by their owner only, and no two folders share them."""
    eject(tmp_path / "a")
    eject(tmp_path / "b")
    for name in ("session-key", "client-secret"):
        one, other = tmp_path / "a/secrets" / name, tmp_path / "b/secrets" / name
        assert stat.S_IMODE(one.stat().st_mode) == 0o600
        assert one.read_text() != other.read_text()
    assert stat.S_IMODE((tmp_path / "a/secrets").stat().st_mode) == 0o700


@pytest.mark.parametrize("there", ["bff.yaml", "api.py", "page/app.js", "secrets/session-key"])
def test_nothing_is_overwritten(tmp_path: Path, there: str) -> None:
    """One file in the way is enough to write nothing at all."""
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("mine")
    before = sorted(os.walk(tmp_path))
    with pytest.raises(FileExistsError, match=re.escape(there)):
        eject(tmp_path)
    assert sorted(os.walk(tmp_path)) == before
    assert (tmp_path / there).read_text() == "mine"


def test_the_ejected_provider_is_the_demos(tmp_path: Path) -> None:
    """The written runner makes the client and issuer that the running demo has."""
    eject(tmp_path)
    module = runpy.run_path(str(tmp_path / "provider.py"))
    secret = (tmp_path / "secrets/client-secret").read_text().strip()
    assert module["client"] == demo_client(Addresses(), secret=secret)
    assert module["provider"].issuer == "http://127.0.0.1:8081"


def test_the_ejected_api_stands_alone(tmp_path: Path) -> None:
    """The written API needs nothing of this package."""
    eject(tmp_path)
    text = (tmp_path / "api.py").read_text()
    assert "import bff" not in text
    assert "from bff" not in text
    assert 'SampleApi(issuer="http://127.0.0.1:8081", audience="http://127.0.0.1:8082")' in text
    assert runpy.run_path(str(tmp_path / "api.py"))["SampleApi"](issuer="http://127.0.0.1:1", audience="x").app


def test_the_page_would_pass_a_strict_policy(tmp_path: Path) -> None:
    """No inline script or style, no event attribute, nothing from another origin."""
    eject(tmp_path)
    html = (tmp_path / "page/index.html").read_text()
    assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?![^>]*\ssrc=)", html)
    for name in ("index.html", "app.js", "style.css"):
        assert not re.search(r"https?://|\burl\(|@import|eval\(|innerHTML", (tmp_path / "page" / name).read_text())


def test_the_page_has_what_the_browser_walk_needs(tmp_path: Path) -> None:
    """Every id that the browser test presses or reads is there once."""
    eject(tmp_path)
    html = (tmp_path / "page/index.html").read_text()
    names = ["login", "who", "call-api", "api-result", "no-csrf", "no-csrf-result", "countdown", "refreshes", "logout"]
    for name in [*names, "visible-cookies"]:
        assert html.count(f'id="{name}"') == 1
