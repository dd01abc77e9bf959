"""Whatever a file holds, `load` answers with a configuration or with a ConfigError, in bounded time."""

import re

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from bff.config.model import (
    Config,
    LimitsConfig,
    LogConfig,
    Model,
    ProviderConfig,
    RouteConfig,
    SessionConfig,
    TimeoutConfig,
)
from support.config_texts import TWELVE_LINES, problems

MODELS: tuple[type[Model], ...] = (
    *(Config, SessionConfig, ProviderConfig, RouteConfig),
    *(TimeoutConfig, LimitsConfig, LogConfig),
)
KEYS = sorted({key for model in MODELS for key in model.model_fields} | {"client_secret", "corp", "file", "env", "<<"})
PIECES = sorted(set(re.findall(r"[^\s{}\[\]]+", TWELVE_LINES)))
WORDS = (
    "off",
    "none",
    "user",
    "client",
    "30s",
    "30",
    "64KiB",
    "",
    "~",
    "${X}",
    "${X:-y}",
    "*",
    "/",
    "é",
    "\x1b",
    "TRACE",
)
TEXTS = [*PIECES, *WORDS]
YAMLISH = st.recursive(
    st.sampled_from(TEXTS) | st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=25,
)
PUNCTUATION = st.text(st.sampled_from("ab: -[]{},&*!|>'\"%@#?\n\t~<\\x$\x00\ufeff\x85é"), max_size=60)


def lines_of(text: str) -> int:
    """How many lines YAML counts."""
    return len(re.split("\r\n|[\n\r\x85\u2028\u2029]", text))


@given(source=st.binary(max_size=200))
def test_any_bytes(source: bytes) -> None:
    """Arbitrary bytes are refused, with a place."""
    assert all(p.line >= 1 and p.column >= 1 for p in problems(source))


@given(text=st.one_of(st.text(), PUNCTUATION))
def test_any_text(text: str) -> None:
    """Arbitrary text and YAML's own punctuation are refused within the lines of the file."""
    found = problems(text)
    assert found
    assert all(1 <= p.line <= lines_of(text) and p.column >= 1 for p in found)


@given(value=YAMLISH)
@settings(max_examples=200)
def test_any_structure(value: object) -> None:
    """Any structure of our own keys and values is judged, in the order of the file."""
    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    places = [(p.line, p.column) for p in problems(text)]
    assert places == sorted(places)


@given(start=st.integers(0, len(TWELVE_LINES)), length=st.integers(0, 40), instead=PUNCTUATION | st.sampled_from(TEXTS))
@settings(max_examples=300)
def test_damaged_file(start: int, length: int, instead: str) -> None:
    """A right file with any piece of it replaced is judged too."""
    text = TWELVE_LINES[:start] + instead + TWELVE_LINES[start + length :]
    assert all(1 <= p.line <= lines_of(text) for p in problems(text))


@given(lines=st.permutations(TWELVE_LINES.splitlines()))
def test_shuffled_lines(lines: list[str]) -> None:
    """The lines of a right file in any order are judged."""
    assert all(p.message for p in problems("\n".join(lines)))


@given(key=st.sampled_from(KEYS), value=YAMLISH)
@settings(max_examples=300)
def test_any_value_at_any_key(key: str, value: object) -> None:
    """Any value at any key of the provider, the route and the file is judged."""
    flow = yaml.safe_dump({key: value}, default_flow_style=True, width=10**6, allow_unicode=False).strip()[1:-1]
    for indent in ("", "    "):
        assert all(p.message for p in problems(f"{TWELVE_LINES}{indent}{flow}\n"))
    assert all(p.message for p in problems(TWELVE_LINES.replace("    client_id", f"    {flow}\n    client_id")))
