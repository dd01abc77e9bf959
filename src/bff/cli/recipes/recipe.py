"""A recipe as a value. It is read by lines and stays text, so that what is written is what the page shows. Pure."""

import dataclasses
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_LINE = re.compile(r"(?P<key>[a-z_]+): (?P<value>.*?)(?:  +# (?P<comment>.*))?")
_ORIGIN = re.compile(r"https?://[^/]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One key with its value as YAML, and the comment behind it."""

    key: str
    value: str
    comment: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What a provider of this kind needs."""

    kind: str
    title: str
    lines: tuple[Line, ...]

    def value(self, key: str) -> str:
        """The value of one key; every recipe has `issuer`, `client_id` and `client_secret`."""
        return next(line.value for line in self.lines if line.key == key)

    def with_value(self, key: str, value: str) -> "Recipe":
        """The same with another value for this key."""
        lines = (dataclasses.replace(line, value=value) if line.key == key else line for line in self.lines)
        return dataclasses.replace(self, lines=tuple(lines))

    def with_issuer(self, issuer: str) -> "Recipe":
        """The same for another issuer; endpoints on the origin of the example's issuer move with it."""
        example, own = _ORIGIN.match(self.value("issuer")), _ORIGIN.match(issuer)
        if example is None or own is None or example[0] == own[0]:
            return self.with_value("issuer", issuer)
        elsewhere = re.compile(rf"{re.escape(example[0])}(?=[/?#]|$)")
        lines = (
            dataclasses.replace(line, value=elsewhere.sub(lambda _: own[0], line.value))
            if line.key.endswith(("_endpoint", "_url"))
            else line
            for line in self.lines
        )
        return dataclasses.replace(self, lines=tuple(lines)).with_value("issuer", issuer)


@cache
def kinds() -> tuple[str, ...]:
    """The kinds of providers that there are recipes for, in alphabetical order."""
    names = (entry.name for entry in files("bff.cli.recipes").iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in names if name.endswith(".yaml")))


@cache
def recipe(kind: str) -> Recipe:
    """The recipe for one of `kinds()`."""
    heading, *lines = text(kind).splitlines()
    return Recipe(kind=kind, title=heading.removeprefix("# "), lines=tuple(_line(line) for line in lines))


def text(kind: str) -> str:
    """The file as it is."""
    return files("bff.cli.recipes").joinpath(f"{kind}.yaml").read_text(encoding="utf-8")


def _line(written: str) -> Line:
    match = _LINE.fullmatch(written)
    if match is None:
        raise ValueError(f"a line of a recipe is `key: value`, not {written!r}")
    return Line(key=match["key"], value=match["value"], comment=match["comment"])
