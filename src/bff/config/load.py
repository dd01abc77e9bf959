"""From a YAML file to a `Config`, or to everything that is wrong with it: the one way in for an operator's words.

    read the file -> tree with marks -> typed sections -> what follows from other keys -> checks across keys

Each step reports into one list of findings and goes on with what is sound. No message repeats a value.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bff.clock import Clock, wall
from bff.config.checks import check
from bff.config.defaults import complete
from bff.config.model import Config
from bff.config.problems import Findings
from bff.config.reader import Reader
from bff.config.weaknesses import warn_of_weaknesses
from bff.config.yaml_tree import MAX_BYTES, MappingNode, read_tree
from bff.errors import ConfigError, ConfigProblem
from bff.regular_files import open_without_waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration that can be run, and what in it is probably not what is wanted."""

    config: Config
    warnings: tuple[ConfigProblem, ...] = ()


def load(path: Path, *, env: Mapping[str, str] | None = None) -> Config:
    """`load_with_warnings` without the warnings."""
    return load_with_warnings(path, env=env).config


def load_with_warnings(path: Path, *, env: Mapping[str, str] | None = None, clock: Clock = wall) -> Loaded:
    """The configuration in `path`, with every secret readable. `env` stands for the process's environment.

    Raises:
        ConfigError: it cannot be run; all reasons at once, in the order of the file.
    """
    findings = Findings()
    tree = read_tree(_contents(path), findings)
    if tree is not None and not isinstance(tree, MappingNode):
        findings.report((), "the file is not a section: write its keys, as `key: value`")
    if not isinstance(tree, MappingNode):
        raise findings.error(str(path))
    reader = Reader(folder=path.absolute().parent, env=os.environ if env is None else env, findings=findings)
    config = complete(reader.section(Config, tree, ()), findings)
    check(config, findings, now=clock())
    if not findings.sound(()):
        raise findings.error(str(path))
    warn_of_weaknesses(config, findings, file=path)
    return Loaded(config=config, warnings=findings.warnings())


def format_problems(error: ConfigError) -> list[str]:
    """One line for each problem: `FILE:LINE:COL: error: KEY: what is wrong; did you mean ...`."""
    return [_line(error.file, problem, kind="error") for problem in error.problems]


def format_warnings(warnings: Iterable[ConfigProblem], *, file: str) -> list[str]:
    """One line for each warning: `FILE:LINE:COL: warning: KEY: what is probably wrong`."""
    return [_line(file, warning, kind="warning") for warning in warnings]


def _line(file: str, problem: ConfigProblem, *, kind: Literal["error", "warning"]) -> str:
    key = f"{problem.key}: " if problem.key else ""
    return f"{file}:{problem.line}:{problem.column}: {kind}: {key}{problem.message}"


def _contents(path: Path) -> bytes:
    try:
        # A pipe may be meant (`bff check -c /dev/stdin`); one that has no writer holds up no reload.
        with open(path, "rb", opener=open_without_waiting) as file:
            return file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else "no usable path"
        problem = ConfigProblem(line=1, column=1, key="", message=f"the file cannot be read: {reason}")
        raise ConfigError(file=str(path), problems=(problem,)) from None
