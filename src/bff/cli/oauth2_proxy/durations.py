"""Go's durations (`168h0m0s`, `1.5h`) in the spelling of `bff.yaml`: one number and one unit."""

import re
from fractions import Fraction

_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": Fraction(1, 1000), "s": Fraction(1), "m": Fraction(60), "h": Fraction(3600)}


def seconds(text: str | None) -> Fraction | None:
    """How long; None: not said, no duration, or none at all (`0`)."""
    if not text or not re.fullmatch(rf"(?:{_PART.pattern})+", text):
        return None
    return sum((Fraction(number) * _SECONDS[unit] for number, unit in _PART.findall(text)), Fraction(0)) or None


def duration(text: str | None) -> str | None:
    """The same in the longest unit that it is a whole number of."""
    length = seconds(text)
    return None if length is None else spelled(length)


def spelled(length: Fraction) -> str:
    """A length in seconds as the file spells it."""
    for unit in ("h", "m", "s"):
        if (length / _SECONDS[unit]).denominator == 1:
            return f"{length / _SECONDS[unit]}{unit}"
    return f"{max(1, round(length * 1000))}ms"
