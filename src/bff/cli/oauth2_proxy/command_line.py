"""Words of a shell, flags of a command line, and variables: what oauth2-proxy is started with.

A restriction must not be lost (`--email-domain`), so words are taken apart as a shell does it: `#` begins a comment at the beginning
of a word only, a backslash at the end of a line joins it with the next one, and an operator between blanks ends a command.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from bff.cli.oauth2_proxy.twins import NONE, TWINS, canonical, is_switch

PREFIX = "OAUTH2_PROXY_"
Pair = tuple[str, str]

_WORD = re.compile(
    r"""
    \s+ | \#[^\n]*                                            # between words; a comment
    | (?P<word> (?: '[^']*' | "(?:\\.|[^"\\])*" | \\. | [^\s] )+ )    # a quote that is not closed is a letter
    """,
    re.VERBOSE | re.DOTALL,
)
_QUOTED = re.compile(r"""'(?P<plain>[^']*)' | "(?P<text>(?:\\.|[^"\\])*)" | \\(?P<one>.)""", re.VERBOSE | re.DOTALL)
_OPERATORS = frozenset({"&&", "||", "|", "&", ";"})
_SWITCHES_OF_ENGINES = frozenset({"d", "detach", "i", "init", "it", "privileged", "read-only", "rm", "t", "ti", "tty"})
_VARIABLE = re.compile(rf"(?:-e|--env=|Environment=)?{PREFIX}([A-Za-z0-9_]+)(?:=(.*))?", re.DOTALL)
_LINE = re.compile(r"\s*(?:export\s+)?[A-Za-z_][A-Za-z0-9_]*=.*|\s*(?:#.*)?")


def words(text: str) -> list[str]:
    """The words of a shell, without their quotes."""
    joined = re.sub(r"\\\r?\n", "", text)
    return [_QUOTED.sub(_unquoted, found["word"]) for found in _WORD.finditer(joined) if found["word"]]


def _unquoted(found: re.Match[str]) -> str:
    if found["text"] is not None:
        return re.sub(r"\\([\"\\$`])", r"\1", found["text"])
    return found["one"] or found["plain"] or ""


def in_script(text: str) -> list[Pair]:
    """Flags and variables of a script, or of a file of variables."""
    spoken = words(text)
    if all(map(_LINE.fullmatch, text.splitlines())) and not any(is_program(word) or is_flag(word) for word in spoken):
        return [pair for line in text.splitlines() for pair in _in_line(line)]
    return list(in_arguments(spoken))


def _in_line(line: str) -> Iterator[Pair]:
    """A line in a file of variables: a value may hold blanks (Docker, systemd), a comment stands behind a blank."""
    name, _, value = line.strip().partition("=")
    if name.startswith("export ") or value[:1] in {"'", '"'}:
        for word in words(line):
            yield from variable(word.removesuffix(";"))
        return
    literal, *_ = re.split(r"\s#", value, maxsplit=1)
    yield from variable(f"{name.strip()}={literal.strip()}")


def in_arguments(spoken: Sequence[str]) -> Iterator[Pair]:
    """Flags behind the program or image, as `--name=value`, `--name value` or a switch; variables everywhere."""
    for word in spoken:
        yield from variable(word.removesuffix(";"))
    commands = list(_commands(spoken))
    ours = [(command, at) for command in commands if (at := _program_at(command)) is not None]
    for command, at in ours or [(command, -1) for command in commands]:
        yield from _flags(command[at + 1 :])


def _commands(spoken: Iterable[str]) -> Iterator[list[str]]:
    command: list[str] = []
    for word in spoken:
        ends = word in _OPERATORS or word.endswith(";")
        command += [] if word in _OPERATORS else [word.removesuffix(";")]
        if ends:
            yield command
            command = []
    yield command


def _program_at(command: Sequence[str]) -> int | None:
    """Where the last word is that is the program and no flag's value: `--custom-templates-dir /etc/oauth2-proxy` is one."""
    pairs = enumerate(pairwise(["", *command]))
    return max((at for at, (former, word) in pairs if is_program(word) and not _takes_a_value(former)), default=None)


def _takes_a_value(word: str) -> bool:
    """Whether a flag's value is the next word."""
    name = word.lstrip("-")
    return word.startswith("-") and "=" not in word and name not in _SWITCHES_OF_ENGINES and not is_switch(name)


def _flags(command: Sequence[str]) -> Iterator[Pair]:
    rest = list(command)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or not word.strip("-"):
            continue
        name, found, value = word.lstrip("-").partition("=")
        if found:
            yield name, value
        elif rest and not is_switch(name) and (is_setting(name) or not rest[0].startswith("-")):
            yield name, rest.pop(0)  # a setting's value may begin with a hyphen: `--flush-interval -1s`
        else:
            yield name, "true"


def variable(text: str) -> Iterator[Pair]:
    """`NAME=VALUE`, with `-e` or `--env=` before it too; a name alone has its value from where the program is started."""
    found = _VARIABLE.fullmatch(text)
    if found is not None:
        yield found[1], f"${{{PREFIX}{found[1]}}}" if found[2] is None else found[2]


def is_program(word: str) -> bool:
    """`oauth2-proxy`, a path to it, or an image of it."""
    name = word.rpartition("/")[2].partition(":")[0].partition("@")[0]
    return name in {"oauth2-proxy", "oauth2_proxy"} and not word.startswith("-")


def is_setting(name: str) -> bool:
    """Whether a flag of this name is known."""
    return canonical(name) in TWINS or canonical(name) in NONE


def is_flag(word: str) -> bool:
    """Whether a word is a flag: with two hyphens any, with one only a known one (`-provider`)."""
    return word.startswith("--") or (word.startswith("-") and is_setting(word[1:].partition("=")[0]))
