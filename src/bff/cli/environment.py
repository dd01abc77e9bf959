"""Environment variables that change how the gateway runs: judged before it starts, as its file is."""

import os

import click

from bff.cli.logs import level_in_force
from bff.config.model import LogConfig
from bff.server.lane import SWITCH


def judge(log: LogConfig) -> None:
    """Refuse a word that a variable does not have; `log` is the file's section.

    Raises:
        click.UsageError: `BFF_LOG_LEVEL` or `BFF_LANE` is misspelt.
    """
    level_in_force(log)
    if os.environ.get(SWITCH, "").lower() not in {"", "on", "off"}:
        raise click.UsageError(f"{SWITCH} is not one of on, off")
