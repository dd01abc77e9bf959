"""Which configuration file, and what an operator sees when it is wrong."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from bff.config.load import format_problems, format_warnings, load, load_with_warnings
from bff.config.model import Config
from bff.errors import ConfigError

BAD_CONFIG = 2
PLACES = (Path("bff.yaml"), Path("/etc/bff/bff.yaml"))


def find(given: Path | None, *, places: tuple[Path, ...] = PLACES) -> Path:
    """`-c`, else `$BFF_CONFIG`, else the first of `./bff.yaml` and `/etc/bff/bff.yaml` that exists.

    Raises:
        click.UsageError: none does.
    """
    if given is not None:
        return given
    if variable := os.environ.get("BFF_CONFIG"):
        return Path(variable)
    for place in places:
        if _may_be_there(place):
            return place
    raise click.UsageError(f"neither {' nor '.join(map(str, places))} is there: name the file with -c or $BFF_CONFIG")


def _may_be_there(place: Path) -> bool:
    """Whether it is there; also where we may not look: reading it says why then."""
    try:
        return place.exists()
    except PermissionError:
        return True


def load_or_exit(file: Path) -> Config:
    """The configuration; prints every problem and exits with 2 if there are any."""
    try:
        return load(file)
    except ConfigError as error:
        _print_and_exit(error)


def load_with_warnings_or_exit(file: Path) -> Config:
    """The same, and prints every warning; warnings alone exit nothing."""
    try:
        loaded = load_with_warnings(file)
    except ConfigError as error:
        _print_and_exit(error)
    for line in format_warnings(loaded.warnings, file=str(file)):
        click.echo(line, err=True)
    return loaded.config


def _print_and_exit(error: ConfigError) -> NoReturn:
    for line in (*format_problems(error), *format_warnings(error.warnings, file=error.file)):
        click.echo(line, err=True)
    sys.exit(BAD_CONFIG)
