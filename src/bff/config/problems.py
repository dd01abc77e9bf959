"""What is wrong with the file, and where each of its keys stands.

A *key path* is `("routes", 0, "path")`, shown as `routes[0].path`. A path is *sound* while nothing is wrong at it or
below it: a check that needs two keys looks at sound ones only, so that one mistake is reported once. A *warning* makes
nothing unsound: the file can be run.
"""

import difflib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from bff.errors import ConfigError, ConfigProblem

KeyPath = tuple[str | int, ...]

_SHORTEST_PART = 4  # characters of `basic` in `client_secret_basic`; fewer are a part of too much
_SIMPLE_KEY = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_KEY_AND_MORE = re.compile(r"[A-Za-z0-9_.-]{1,64}[:=\s](?!//)")  # `client_secret:VALUE`, but no URL


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A position in the file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a key stands and where its value begins; the same for the items of a list."""

    key: Mark
    value: Mark


class Findings:
    """Every problem so far. One per load."""

    def __init__(self) -> None:
        start = Mark(line=1, column=1)
        self._places: dict[KeyPath, Place] = {(): Place(key=start, value=start)}
        self._problems: list[ConfigProblem] = []
        self._warnings: list[ConfigProblem] = []
        self._unsound: set[KeyPath] = set()

    def place(self, path: KeyPath, place: Place) -> None:
        """Remember where `path` stands."""
        self._places[path] = place

    def known(self, path: KeyPath) -> bool:
        """Whether this key stands in the file."""
        return path in self._places

    def line(self, path: KeyPath) -> int:
        """The line of a key, or of the nearest section round a key that is not there."""
        return self._nearest(path).key.line

    def report(self, path: KeyPath, message: str) -> None:
        """Something is wrong with the value at `path`."""
        place = self._nearest(path)
        self.report_at(place.value if path in self._places else place.key, path, message)

    def report_key(self, path: KeyPath, message: str) -> None:
        """Something is wrong with the key itself."""
        self.report_at(self._nearest(path).key, path, message)

    def report_at(self, mark: Mark, path: KeyPath, message: str) -> None:
        """Something is wrong at a position that only the caller knows."""
        self._problems.append(ConfigProblem(line=mark.line, column=mark.column, key=dotted(path), message=message))
        self._unsound.update(path[:length] for length in range(len(path) + 1))

    def warn(self, path: KeyPath, message: str) -> None:
        """The value at `path` can be run, and is probably not what is wanted."""
        place = self._nearest(path)
        mark = place.value if path in self._places else place.key
        self._warnings.append(ConfigProblem(line=mark.line, column=mark.column, key=dotted(path), message=message))

    def spoil(self, *paths: KeyPath) -> None:
        """What stands here cannot be known, for a reason that is reported elsewhere."""
        self._unsound.update(paths)

    def sound(self, *paths: KeyPath) -> bool:
        """Nothing is wrong at or below any of these."""
        return self._unsound.isdisjoint(paths)

    def error(self, file: str) -> ConfigError:
        """All of it in the order of the file."""
        return ConfigError(file=file, problems=_in_order(self._problems), warnings=self.warnings())

    def warnings(self) -> tuple[ConfigProblem, ...]:
        """What can be run all the same, in the order of the file."""
        return _in_order(self._warnings)

    def _nearest(self, path: KeyPath) -> Place:
        while path not in self._places:
            path = path[:-1]
        return self._places[path]


def _in_order(problems: Iterable[ConfigProblem]) -> tuple[ConfigProblem, ...]:
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))


def dotted(path: KeyPath) -> str:
    """`routes[0].path`. A key that is no plain word is escaped and cut: it goes from the file to a terminal.

    Behind a word and a colon it is not repeated. YAML 1.2.2 section 7.3.3: a plain scalar may hold a ":" that no space follows
    (https://yaml.org/spec/1.2.2/#733-plain-style), so in braces `client_secret:VALUE` is all key, and VALUE may be a secret (R-172).
    """
    shown = ""
    for part in path:
        if isinstance(part, int):
            shown += f"[{part}]"
            continue
        begun = _KEY_AND_MORE.match(part)
        word = part if _SIMPLE_KEY.fullmatch(part) else json.dumps(f"{begun[0]}..." if begun else part[:40])
        shown += f".{word}" if shown else word
    return shown


def closest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant; case is no difference. Also the only one that the word is a part of."""
    spellings = {candidate.lower(): candidate for candidate in known}
    typed = word[:64].lower()
    close = difflib.get_close_matches(typed, spellings, n=1)
    if not close and len(typed) >= _SHORTEST_PART:
        longer = [candidate for candidate in spellings if typed in candidate]
        close = longer if len(longer) == 1 else []
    return spellings[close[0]] if close else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean ...?` if one of the known words is close, else nothing."""
    meant = closest(word, known)
    return f"; did you mean `{meant}`?" if meant else ""
