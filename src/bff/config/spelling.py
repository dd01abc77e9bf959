"""How a setting is spelt in YAML where its type alone does not say: marks on the annotations of `model.py`.

`reader.py` obeys them. pydantic obeys `Parsed` only, so a `Config` made in Python takes plain seconds and bytes, and
the texts of URLs and paths, which it parses too. No message repeats a value: it may be a secret (invariant 10).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


class SpellingError(ValueError):
    """A value that its key cannot take. The message says what to write instead, never what was written."""


@dataclass(frozen=True, slots=True)
class Spelt:
    """`parse` makes the value out of its text, or raises `SpellingError`."""

    parse: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Parsed(Spelt):
    """`Spelt` for a class of values: pydantic takes an instance, or a text that it parses. A dump shows `str(value)`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema of such a field; pydantic's own would dump the parts of a value, passwords among them (R-172)."""
        return core_schema.no_info_before_validator_function(
            lambda value: self.parse(value) if isinstance(value, str) else value,
            core_schema.is_instance_schema(source),
            serialization=core_schema.to_string_ser_schema(when_used="always"),
        )


@dataclass(frozen=True, slots=True)
class Checked:
    """`judge` looks at the finished value and raises `SpellingError` if it will not do."""

    judge: Callable[..., None]


@dataclass(frozen=True, slots=True)
class OrWord:
    """`word` is accepted too and stands for `value`."""

    value: object
    word: str


@dataclass(frozen=True, slots=True)
class OrOff(OrWord):
    """The word `off` is accepted too and stands for `value`."""

    word: str = "off"


@dataclass(frozen=True, slots=True)
class MayBeEmpty:
    """A quoted empty text is a value too. Elsewhere it is taken for a mistake."""


@dataclass(frozen=True, slots=True)
class OneOrMore:
    """A list of one may be written as its value, in Python too."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema of such a field."""
        return core_schema.no_info_before_validator_function(
            lambda value: value if isinstance(value, tuple | list) else (value,), handler(source)
        )


@dataclass(frozen=True, slots=True)
class WrittenAs:
    """The field is written under `key`: a word that Python keeps for itself."""

    key: str


@dataclass(frozen=True, slots=True)
class Singular:
    """A list of one may be written as one value under `key`."""

    key: str


def positive(value: float) -> None:
    """Refuse zero."""
    if value <= 0:
        raise SpellingError("must be more than zero")


def not_empty(values: tuple[object, ...] | dict[str, object]) -> None:
    """Refuse a list or section without entries."""
    if not values:
        raise SpellingError("is empty: it needs at least one entry")
