"""Durations and sizes: a whole number and its unit, without a space. A bare number is refused: it hides its unit.

- Durations: `500ms`, `30s`, `15m`, `12h`, `7d`; seconds as float.
- Sizes: `512B`, `64KiB`, `10MiB`, `1GiB`; bytes as int, binary units only.
"""

import re
from collections.abc import Mapping

from bff.config.spelling import SpellingError

MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_NUMBER_AND_UNIT = re.compile(r"([0-9]{1,9})([A-Za-z]*)")
_COUNT = re.compile(r"[0-9]{1,9}")


def parse_duration(text: str) -> float:
    """Seconds.

    Raises:
        SpellingError: no whole number, or no unit that we know.
    """
    return _parse(text, units=MILLISECONDS, hint="write a duration such as 500ms, 30s, 15m, 12h or 7d") / 1000


def parse_size(text: str) -> int:
    """Bytes.

    Raises:
        SpellingError: no whole number, or no unit that we know.
    """
    return _parse(text, units=BYTES, hint="write a size such as 512B, 64KiB, 10MiB or 1GiB")


def spell(amount: int, units: Mapping[str, int]) -> str:
    """An amount as it is written, in the largest unit of `units` that needs no fraction."""
    fitting = [(size, unit) for unit, size in units.items() if amount % size == 0 and amount >= size]
    size, unit = max(fitting, default=(1, next(iter(units))))
    return f"{amount // size}{unit}"


def parse_count(text: str) -> int:
    """A whole number of things.

    Raises:
        SpellingError: anything but one to nine digits.
    """
    if not _COUNT.fullmatch(text):
        raise SpellingError("is not a whole number (a count has no unit)")
    return int(text)


def _parse(text: str, *, units: dict[str, int], hint: str) -> int:
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None:
        raise SpellingError(f"is not a whole number with a unit: {hint}")
    number, unit = match.groups()
    if not unit:
        raise SpellingError(f"is a bare number, which hides its unit: {hint}")
    if unit not in units:
        raise SpellingError(f"has a unit that is not known here: {hint}")
    return int(number) * units[unit]
