"""What the README shows is what works: its configuration loads, its two commands can be taken out of it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bff.config.load import load
from support.documented import ROOT, fenced

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_twelve_lines_are_a_configuration(tmp_path: Path) -> None:
    """The README's configuration has twelve lines and loads, given its secrets and the app's folder."""
    (text,) = fenced(README, "yaml")
    assert len(text.splitlines()) == 12
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "index.html").write_text("<!doctype html>", encoding="utf-8")
    (tmp_path / "session-key").write_text("0123456789abcdefghijklmnopqrstuvwxyz", encoding="utf-8")
    file = tmp_path / "bff.yaml"
    file.write_text(text.replace("/run/secrets/session-key", "session-key"), encoding="utf-8")
    config = load(file, env={"CORP_SECRET": "s3cret"})
    assert [route.path.text for route in config.routes] == ["/api", "/"]


@pytest.mark.parametrize(
    ("name", "last"), [("demo", ".venv/bin/bff demo"), ("test", ".venv/bin/python -m pytest -n 3 --dist worksteal")]
)
def test_a_marked_command_does_all_the_set_up(name: str, last: str) -> None:
    """The block after a mark makes the environment, installs extras that exist, and ends in the command it promises."""
    found = re.search(rf"^<!-- {name} -->\n```sh\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    assert found is not None
    steps = found[1].strip().split(" && ")
    assert steps[0] == "python3 -m venv .venv"
    assert steps[-1] == last
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = re.search(r"'\.\[([a-z,]+)\]'", steps[1])
    assert extras is not None
    assert set(extras[1].split(",")) <= set(project["optional-dependencies"])


def test_the_version_is_in_the_changelog() -> None:
    """The newest section of the changelog is the version of the package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert newest is not None
    assert newest[1] in {project["version"], "Unreleased"}


def test_compliance_is_true_and_nothing_is_owed() -> None:
    """Every mark names a known requirement, every requirement that is owed a test has one, and the page says nothing else."""
    script = ROOT / "scripts" / "compliance.py"
    checked = subprocess.run([sys.executable, str(script), "--check"], capture_output=True, text=True, check=False)
    assert checked.stdout == "every requirement that is owed a test has one\n"
    assert checked.returncode == 0
