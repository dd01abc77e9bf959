"""`bff secrets new`: keys that can be used at once, and files that only their owner reads."""

import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from bff import signing_key
from bff.cli.main import main
from bff.config.values.secrets import LiteralSecret, session_key


def test_new_signing_key_goes_to_standard_output() -> None:
    """The key is a PEM that `client_keys` takes, and another one each time."""
    results = [CliRunner().invoke(main, ["secrets", "new", "signing-key"]) for _ in range(2)]
    keys = [signing_key.load(result.output) for result in results]
    assert [result.exit_code for result in results] == [0, 0]
    assert keys[0].algorithms == ("ES256",)
    assert keys[0].kid != keys[1].kid


@pytest.mark.parametrize("kind", ["session-key", "client-secret"])
def test_new_secret_is_one_that_the_configuration_takes(kind: str) -> None:
    """It is long, random, and another one each time."""
    results = [CliRunner().invoke(main, ["secrets", "new", kind]) for _ in range(2)]
    first, second = (result.output.strip() for result in results)
    session_key(LiteralSecret(value=first))
    assert first != second


def test_new_signing_key_goes_into_a_new_file(tmp_path: Path) -> None:
    """The file is its owner's alone, and the key is not printed as well."""
    file = tmp_path / "key.pem"
    result = CliRunner().invoke(main, ["secrets", "new", "signing-key", "--out", str(file)])
    assert result.exit_code == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert signing_key.load(file.read_text())
    assert "PRIVATE" not in result.output


def test_a_dash_is_standard_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for other commands: no file of that name is left with a secret in it."""
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["secrets", "new", "signing-key", "--out", "-"])
    assert signing_key.load(result.output)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_never_touched(tmp_path: Path) -> None:
    """What stands there may be in use."""
    file = tmp_path / "key.pem"
    file.write_text("in use")
    result = CliRunner().invoke(main, ["secrets", "new", "signing-key", "--out", str(file)])
    assert (result.exit_code, file.read_text()) == (1, "in use")


def test_folder_that_is_not_there_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    """The message names the file and the reason."""
    file = tmp_path / "nowhere" / "key.pem"
    result = CliRunner().invoke(main, ["secrets", "new", "signing-key", "--out", str(file)])
    assert result.exit_code == 1
    assert "No such file" in result.output


def test_unknown_kind_names_the_known_ones() -> None:
    """A wrong word is a usage error."""
    result = CliRunner().invoke(main, ["secrets", "new", "password"])
    assert result.exit_code == 2
    assert "signing-key" in result.output
