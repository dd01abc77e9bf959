"""`docs/reference/configuration.md` says of every key what the model says: that it exists, and its default."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from bff.config.load import load
from bff.config.model import (
    Config,
    ExchangeConfig,
    ForwardAuthConfig,
    LimitsConfig,
    LogConfig,
    PagesConfig,
    ProviderConfig,
    RequestHeadersConfig,
    RequireConfig,
    ResponseHeadersConfig,
    RouteConfig,
    SessionConfig,
    TimeoutConfig,
    TokenKind,
)
from bff.config.values.words import DEFAULT_METHODS, METHODS
from support.documented import ROOT, codes, page, rows, section

PAGE = page("reference/configuration.md")
SECTIONS: dict[str, type[BaseModel]] = {
    "Top level": Config,
    "forward_auth": ForwardAuthConfig,
    "log": LogConfig,
    "limits": LimitsConfig,
    "session": SessionConfig,
    "pages": PagesConfig,
    "providers": ProviderConfig,
    "routes": RouteConfig,
    "timeouts": TimeoutConfig,
    "require": RequireConfig,
    "exchange": ExchangeConfig,
    "request_headers": RequestHeadersConfig,
    "response_headers": ResponseHeadersConfig,
}
WRITTEN = {"passes": "pass"}  # a word that Python keeps for itself
FIELDS = {"pass": "passes", "client_secret": "client_secrets"}
SHORT = {"client_secret"}  # a second way to write `client_secrets`
KEYS = 'keys: ["0123456789abcdefghijklmnopqrstuvwxyz"]'  # else one is made, and no two loads are equal
MINIMAL = """\
public_url: https://app.example.com
session: {{{keys}{session}}}
{top}
providers:
  corp:
    issuer: https://login.example.com
    client_id: shop
    client_secret: {{env: SECRET}}
    {provider}
routes:
  - path: /api
    upstream: http://api:8000
    {route}
  - path: /
    files: dist
    {app}
"""
PLACES = {
    "Top level": ("top", "{key}: {value}"),
    "log": ("top", "log: {{{key}: {value}}}"),
    "limits": ("top", "limits: {{{key}: {value}}}"),
    "session": ("session", ', {key}: "{value}"'),
    "providers": ("provider", "{key}: {value}"),
    "routes": ("route", "{key}: {value}"),
    "health": ("route", "health: {{path: /healthz, {key}: {value}}}"),
    "timeouts": ("route", "timeouts: {{{key}: {value}}}"),
    "request_headers": ("route", "request_headers: {{{key}: {value}}}"),
    "response_headers": ("app", "response_headers: {{{key}: {value}}}"),
}
DEFAULTS = [
    (title, codes(row[0])[0], codes(row[2])[0])
    for title in SECTIONS
    for row in rows(section(PAGE, title))
    if codes(row[2])
]


def configuration(folder: Path, **additions: str) -> Config:
    """A small configuration with something added in one of its places."""
    file = folder / "bff.yaml"
    (folder / "dist").mkdir(exist_ok=True)
    (folder / "dist/index.html").write_text("<!doctype html>", encoding="utf-8")
    nothing = {"top": "", "session": "", "provider": "", "route": "", "app": ""}
    file.write_text(MINIMAL.format(keys=KEYS, **{**nothing, **additions}), encoding="utf-8")
    return load(file, env={"SECRET": "s3cret"})


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_is_documented_and_nothing_else(title: str) -> None:
    """A section's table has a row for each key of its model, and for no other."""
    documented = [codes(row[0])[0] for row in rows(section(PAGE, title))]
    assert len(documented) == len(set(documented))
    assert set(documented) - SHORT == {WRITTEN.get(name, name) for name in SECTIONS[title].model_fields}


@pytest.mark.parametrize("title", SECTIONS)
def test_required_keys_are_called_required(title: str) -> None:
    """`required` stands in the rows of the keys that have no default, and nowhere else."""
    for row in rows(section(PAGE, title)):
        key = codes(row[0])[0]
        field = SECTIONS[title].model_fields[FIELDS.get(key, key)]
        assert (row[2] == "required") == field.is_required(), key


@pytest.mark.parametrize("title", SECTIONS)
def test_keys_without_a_default_of_their_own_say_none(title: str) -> None:
    """`none` stands in the rows of the keys that are left out, and of sections; every other row names its default."""
    for row in rows(section(PAGE, title)):
        assert row[2] in {"required", "none"} or codes(row[2]), row
        if row[2] == "none":
            key = codes(row[0])[0]
            default = SECTIONS[title].model_fields[FIELDS.get(key, key)].get_default()
            assert default in (None, (), {}) or isinstance(default, BaseModel), row


@pytest.mark.parametrize(("title", "key", "value"), DEFAULTS)
def test_a_default_written_out_changes_nothing(title: str, key: str, value: str, tmp_path: Path) -> None:
    """A file that spells a documented default out loads to the same values as one that leaves the key out."""
    place, pattern = PLACES[title]
    written = configuration(tmp_path, **{place: pattern.format(key=key, value=value)})
    assert written == configuration(tmp_path)


def test_the_words_of_token_are_all_explained() -> None:
    """The table of tokens has a row for every kind of token."""
    assert [codes(row[0])[0] for row in rows(section(PAGE, "Tokens"))] == [kind.value for kind in TokenKind]


def test_all_methods_are_named() -> None:
    """The row of `methods` names every method that a route takes unless it says otherwise, and those that can be listed."""
    (meaning,) = (row[3] for row in rows(section(PAGE, "routes")) if codes(row[0]) == ["methods"])
    by_default, _, others = meaning.partition(";")
    assert tuple(re.findall(r"\b[A-Z]{3,}\b", by_default)) == DEFAULT_METHODS
    listed = others.partition("WebDAV can be named:")[2].partition(".")[0]
    assert (*DEFAULT_METHODS, *re.findall(r"\b[A-Z]{3,}\b", listed)) == METHODS


@pytest.mark.parametrize("sample", ["laptop.yaml", "production.yaml"])
def test_the_samples_use_documented_keys(sample: str) -> None:
    """Every key that a sample shows, commented out or not, is a documented one."""
    text = (ROOT / "config" / sample).read_text(encoding="utf-8")
    shown = set(re.findall(r"^\s*(?:- )?(?:# {1,3})?([a-z_]+):(?= |$)", text, flags=re.MULTILINE))
    documented = {codes(row[0])[0] for title in SECTIONS for row in rows(section(PAGE, title))}
    names = {"corp", "partner", "dev"}
    assert len(shown) > 10
    assert shown - documented - names == set()
