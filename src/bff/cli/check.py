"""`bff check`: what `bff serve` would refuse, without starting; with `--online` also what the others say (`online.py`)."""

import asyncio
from pathlib import Path

import click

from bff.cli import environment, logs
from bff.cli.config_file import load_with_warnings_or_exit
from bff.cli.online import check_online


def check(file: Path, *, online: bool) -> int:
    """Print what is wrong; 0 if nothing or warnings only, 1 if something online, 2 (on the way) if the file itself."""
    config = load_with_warnings_or_exit(file)
    environment.judge(config.log)
    logs.silence()
    click.echo(f"{file}: ok ({len(config.providers)} provider(s), {len(config.routes)} route(s))")
    return asyncio.run(check_online(config)) if online else 0
