"""Folders and files that a configuration names: a missing one and a forbidden one are two mistakes, with two ways to mend them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bff.config.spelling import SpellingError
from bff.config.values.certificates import authorities
from bff.config.values.paths import app_folder, is_file, is_folder
from support.rights import without_rights
from support.tls_certificates import Authority


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app's folder with a certificate beside its page, below a folder that every user may enter."""
    made = tmp_path_factory.mktemp("files") / "dist"
    made.mkdir()
    (made / "index.html").touch()
    (made / "ca.pem").write_bytes(Authority(made).file.read_bytes())
    return made


@pytest.mark.requirement("R-277")
@pytest.mark.parametrize(
    "judge",
    [
        app_folder,
        lambda folder: authorities(folder / "ca.pem"),
        lambda folder: is_file(folder / "ca.pem"),
        lambda folder: is_folder(folder / "assets"),
    ],
)
def test_what_may_not_be_looked_at_is_not_called_missing(folder: Path, judge: Callable[[Path], object]) -> None:
    """A container's user often cannot enter a folder of the host: "no such folder" would send the operator to the wrong place."""
    with without_rights(folder), pytest.raises(SpellingError, match="let the gateway's user read it"):
        judge(folder)


@pytest.mark.requirement("R-277")
@pytest.mark.parametrize(
    ("name", "judge"),
    [
        ("index.html", app_folder),
        ("ca.pem", lambda folder: authorities(folder / "ca.pem")),
    ],
)
def test_a_file_without_rights_is_told_as_such(folder: Path, name: str, judge: Callable[[Path], object]) -> None:
    """A page that the gateway cannot read would be 404 for every user; a certificate would be called no certificate."""
    for above in (folder.parent, folder.parent.parent):
        above.chmod(0o755)
    with without_rights(folder / name), pytest.raises(SpellingError, match="let the gateway's user read it"):
        judge(folder)


def test_what_is_not_there_is_neither(folder: Path) -> None:
    """A name that leads nowhere, through a file, or that no system takes is neither file nor folder."""
    for path in (folder / "none", folder / "index.html" / "x", folder / "a\0b", folder / ("n" * 300)):
        assert not is_file(path)
        assert not is_folder(path)
    assert is_folder(folder)
    assert not is_file(folder)
    assert is_file(folder / "index.html")
