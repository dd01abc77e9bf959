"""`bff schema`: it takes what the reader takes, and refuses keys and shapes that the reader refuses."""

import json
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from bff.config.json_schema import DIALECT, json_schema
from bff.config.load import load
from bff.config.model import (
    Address,
    CertificateConfig,
    Config,
    ExchangeConfig,
    ForwardAuthConfig,
    HealthConfig,
    LimitsConfig,
    LogConfig,
    Model,
    PagesConfig,
    ProviderConfig,
    RequestHeadersConfig,
    RequireConfig,
    ResponseHeadersConfig,
    RouteConfig,
    SessionConfig,
    TimeoutConfig,
)
from bff.config.shapes import keys_of
from bff.errors import ConfigError
from support.documented import DOCS, ROOT, fenced
from support.json_schema import accepts

SCHEMA = json_schema()
WHOLE = """\
public_url: https://app.example.com
session: {keys: ["0123456789abcdefghijklmnopqrstuvwxyz"], idle_timeout: 15m}
trusted_proxies: [10.0.0.0/8]
management: off
providers:
  corp:
    issuer: https://login.example.com
    client_id: 12345
    client_secret: 0123456789abcdefghijklmnopqrstuvwxyz
    login_params: {login_hint: any, screen_hint: [signup]}
    authorization_params: {prompt: ""}
    userinfo: true
routes:
  - path: /api
    upstream: http://api:8000
    require: {claims: {groups: [a, b], verified: true}, max_age: 5m}
    max_connections: 10
    max_body: 1MiB
    request_headers: {pass: [X-Real-Ip], set: {X-Key: "{subject}"}}
"""


class CoreLoader(yaml.SafeLoader):
    """YAML 1.2's core schema, as editors read it: `off` is a text."""


_BOOL = "tag:yaml.org,2002:bool"
CoreLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in {_BOOL, "tag:yaml.org,2002:timestamp"}]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
CoreLoader.add_implicit_resolver(_BOOL, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def read(text: str) -> Any:
    """The text's values as an editor sees them."""
    return yaml.load(text, CoreLoader)  # noqa: S506 - a subclass of the safe loader


def fits(text: str) -> bool:
    """Whether the schema takes this file."""
    return accepts(SCHEMA, read(text), root=SCHEMA)


def is_taken(text: str, folder: Path) -> bool:
    """Whether the reader takes it."""
    file = folder / "bff.yaml"
    file.write_text(text)
    try:
        load(file)
    except ConfigError:
        return False
    return True


def test_it_says_its_dialect() -> None:
    """The schema is one of 2020-12."""
    assert SCHEMA["$schema"] == DIALECT


@pytest.mark.parametrize("sample", sorted((ROOT / "config").glob("*.yaml")), ids=lambda file: file.name)
def test_it_accepts_every_sample(sample: Path) -> None:
    """The files that the repository shows are valid, and so they are with every commented key."""
    assert fits(sample.read_text(encoding="utf-8"))


def documented() -> list[Any]:
    """Every YAML block of the pages that is of a configuration file."""
    pages = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
    found = [
        pytest.param(block, id=f"{page.name}-{index}")
        for page in pages
        for index, block in enumerate(fenced(page.read_text(encoding="utf-8"), "yaml"))
        if not _is_of_another_tool(block)
    ]
    assert len(found) > 10
    return found


def _is_of_another_tool(block: str) -> bool:
    """Kubernetes, Compose, Traefik and Envoy have keys at their top that a configuration file never has."""
    others = "apiVersion|kind|services|spec|containers|livenessProbe|readinessProbe|static_resources"
    return "type.googleapis.com" in block or re.search(rf"^\s*(?:{others}):", block, re.MULTILINE) is not None


@pytest.mark.parametrize("block", documented())
def test_it_accepts_every_documented_snippet(block: str) -> None:
    """A block of a page is a file, a section of one, a list of routes, or a table of providers."""
    values = read(block)
    sections = [SCHEMA, *SCHEMA["$defs"].values()]
    lists = (SCHEMA["properties"]["routes"], SCHEMA["properties"]["providers"])
    assert any(accepts(section, values, root=SCHEMA, whole=False) for section in (*sections, *lists))


def test_it_accepts_a_file_that_uses_every_kind_of_value(tmp_path: Path) -> None:
    """Durations, sizes, counts, words, lists of one, and a number where a text is meant: reader and schema take them."""
    assert is_taken(WHOLE, tmp_path)
    assert fits(WHOLE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("public_url:", "public_ulr:"),
        ("    client_id:", "    clientid:"),
        ("upstream:", "upstraem:"),
        ("idle_timeout: 15m", "idle_timeout: 15"),
        ("idle_timeout: 15m", "idle_timeout: 15 minutes"),
        ("idle_timeout: 15m", "idle_timeout: [15m]"),
        ("max_body: 1MiB", "max_body: 1MB"),
        ("max_body: 1MiB", "max_body: {size: 1MiB}"),
        ("max_connections: 10", "max_connections: many"),
        ("max_connections: 10", "max_connections: 1.5"),
        ("userinfo: true", "userinfo: yes"),
        ("userinfo: true", "userinfo: 1"),
        ("management: off", "management:"),
        ("[10.0.0.0/8]", "10.0.0.0/8"),
        ("client_secret: 0123456789abcdefghijklmnopqrstuvwxyz", "client_secret: {path: x}"),
        (
            "client_secret: 0123456789abcdefghijklmnopqrstuvwxyz",
            "client_secret: [0123456789abcdefghijklmnopqrstuvwxyz]",
        ),
        ("login_hint: any", "login_hint: signup"),
        ("claims: {groups: [a, b], verified: true}", "claims: [groups]"),
        ("groups: [a, b]", "groups: []"),
        ("max_body: 1MiB", "token: nobody"),
        ("max_body: 1MiB", "methods: [TRACE]"),
        ("max_body: 1MiB", "csrf: none"),
        ("pass: [X-Real-Ip]", "passes: [X-Real-Ip]"),
        ("client_id: 12345", 'client_id: ""'),
        ("providers:\n  corp:", "providers: {}\nothers:\n  corp:"),
    ],
)
def test_it_refuses_unknown_keys_and_wrong_shapes(old: str, new: str, tmp_path: Path) -> None:
    """One mistake of each kind: reader and schema refuse it."""
    text = WHOLE.replace(old, new, 1)
    assert text != WHOLE
    assert not is_taken(text, tmp_path)
    assert not fits(text)


def test_a_variable_may_stand_for_any_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`${NAME}` is taken where a duration, a word or a number is meant."""
    monkeypatch.setenv("BFF_TEST_VALUE", "15m")
    text = WHOLE.replace("15m", '"${BFF_TEST_VALUE}"').replace(
        "max_connections: 10", 'max_connections: "${BFF_UNSET:-10}"'
    )
    assert is_taken(text, tmp_path)
    assert fits(text)


PLACES: dict[str, tuple[type[BaseModel], tuple[str | int, ...]]] = {
    "top": (Config, ()),
    "log": (LogConfig, ("log",)),
    "limits": (LimitsConfig, ("limits",)),
    "session": (SessionConfig, ("session",)),
    "pages": (PagesConfig, ("pages",)),
    "provider": (ProviderConfig, ("providers", "corp")),
    "route": (RouteConfig, ("routes", 0)),
    "require": (RequireConfig, ("routes", 0, "require")),
    "exchange": (ExchangeConfig, ("routes", 0, "exchange")),
    "timeouts": (TimeoutConfig, ("routes", 0, "timeouts")),
    "request_headers": (RequestHeadersConfig, ("routes", 0, "request_headers")),
    "response_headers": (ResponseHeadersConfig, ("routes", 0, "response_headers")),
    "health": (HealthConfig, ("routes", 0, "health")),
    "tls": (CertificateConfig, ("tls",)),
    "forward_auth": (ForwardAuthConfig, ("forward_auth",)),
}
EVERY_KEY = [(name, key) for name, (model, _) in PLACES.items() for key in keys_of(model)]


def test_every_section_has_a_place() -> None:
    """A section that the model gains is judged below too."""
    assert {model for model, _ in PLACES.values()} == set(Model.__subclasses__()) - {
        Address
    }  # which is written as a text


WHOLE_VALUES = yaml.safe_load(WHOLE.replace("management: off", "management: 'off'"))


def with_value(place: str, key: str, value: Any) -> str:
    """The whole file with another value for one key."""
    values = deepcopy(WHOLE_VALUES)
    inner = values
    for step in PLACES[place][1]:
        inner = inner.setdefault(step, {}) if isinstance(inner, dict) else inner[step]
    inner[key] = value
    return json.dumps(values)


@pytest.mark.parametrize(("place", "key"), EVERY_KEY, ids=[f"{place}.{key}" for place, key in EVERY_KEY])
def test_no_key_takes_a_value_of_another_shape(place: str, key: str, tmp_path: Path) -> None:
    """Nothing at all, and a list of lists, are no value of any key: reader and schema refuse them."""
    for value in (None, [[["x"]]]):
        text = with_value(place, key, value)
        assert not is_taken(text, tmp_path)
        assert not fits(text)


@pytest.mark.parametrize(("place", "key"), EVERY_KEY, ids=[f"{place}.{key}" for place, key in EVERY_KEY])
def test_what_the_reader_takes_the_schema_takes(place: str, key: str, tmp_path: Path) -> None:
    """A text, a number, a switch, a list and a section: where `bff check` finds nothing wrong, an editor marks nothing."""
    for value in ("x", "5m", "1KiB", 7, True, ["x"], ["GET"], {"x": "x"}, {"X-A": "x"}, "/x", "https://x.example"):
        text = with_value(place, key, value)
        if is_taken(text, tmp_path):
            assert fits(text), value
