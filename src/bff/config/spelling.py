"""How a setting is spelt in YAML where its type alone does not say: marks on the annotations of `model.py`.

`reader.py` obeys them; pydantic does not know them, so a `Config` made in Python takes plain seconds, bytes and texts.
What is wrong with a value is said without repeating it: it may be a secret, and its place is known (invariant 10).
"""

from collections.abc import Callable
from dataclasses import dataclass


class SpellingError(ValueError):
    """A value that its key cannot take. The message says what to write instead, never what was written."""


@dataclass(frozen=True, slots=True)
class Spelt:
    """`parse` makes the value out of its text, or raises `SpellingError`."""

    parse: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Checked:
    """`judge` looks at the finished value and raises `SpellingError` if it will not do."""

    judge: Callable[..., None]


@dataclass(frozen=True, slots=True)
class OrOff:
    """The word `off` is accepted too and stands for `value`."""

    value: object


@dataclass(frozen=True, slots=True)
class MayBeEmpty:
    """A quoted empty text is a value too. Elsewhere it is taken for a mistake."""


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
