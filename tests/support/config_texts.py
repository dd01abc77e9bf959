"""A small configuration that is right, and what `load` says of texts derived from it."""

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bff.config.load import load
from bff.config.model import Config
from bff.errors import ConfigError, ConfigProblem

SESSION_KEY = "Zk3vQ9xLw2Rb7TnYc5HsJ8dMfAe4GpUq"
ENV = {"SESSION_KEY": SESSION_KEY, "CORP_SECRET": "corp-secret", "OTHER_SECRET": "other-secret"}

TWELVE_LINES = """\
public_url: https://app.example.com
session:
  store: redis://redis:6379/0
  keys: [{env: SESSION_KEY}]
providers:
  corp:
    issuer: https://login.example.com
    client_id: shop
    client_secret: {env: CORP_SECRET}
routes:
  - path: /api
    upstream: http://api:8000
"""


def changed(old: str, new: str) -> str:
    """The twelve lines with one piece of text replaced, which must be there once."""
    assert TWELVE_LINES.count(old) == 1
    return TWELVE_LINES.replace(old, new)


def write(text: str | bytes, folder: Path) -> Path:
    """The text as a file."""
    path = folder / "bff.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    return path


def loaded(text: str, folder: Path, *, env: Mapping[str, str] = ENV) -> Config:
    """What the text says, if nothing is wrong with it."""
    return load(write(text, folder), env=env)


def problems(text: str | bytes, *, folder: Path | None = None, env: Mapping[str, str] = ENV) -> list[ConfigProblem]:
    """Everything wrong with the text; empty if nothing is."""
    with tempfile.TemporaryDirectory() as fresh:
        try:
            load(write(text, folder or Path(fresh)), env=env)
        except ConfigError as error:
            return list(error.problems)
    return []


def problem(text: str | bytes, *, folder: Path | None = None, env: Mapping[str, str] = ENV) -> ConfigProblem:
    """The one thing that is wrong with the text."""
    found = problems(text, folder=folder, env=env)
    assert len(found) == 1, found
    return found[0]


def make_app_folder(folder: Path) -> None:
    """A single-page app in `folder`/dist."""
    os.makedirs(folder / "dist")
    (folder / "dist" / "index.html").write_text("<!doctype html>")
