"""`bff secrets`: make secrets and keys, and see which are in use."""

import sys
from pathlib import Path

import click

from bff.cli.commands.options import config_option, json_option, out_file


@click.group()
def secrets() -> None:
    """Make secrets and keys, and see which are in use."""


@secrets.command("new")
@click.argument("kind")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=out_file,
    help="A new file; default: standard output.",
)
def secrets_new(kind: str, out: Path | None) -> None:
    """Make one: session-key, client-secret, or signing-key (EC P-256, PEM, for `client_keys`)."""
    from bff.cli import secrets as making

    if kind not in making.KINDS:
        raise click.UsageError(f"KIND is one of: {', '.join(making.KINDS)}")
    sys.exit(making.new(kind, out=out))


@secrets.command("status")
@config_option
@json_option
def secrets_status(given: Path | None, as_json: bool) -> None:
    """One line for each configured secret and key: fingerprint, and when and by which process it was last used."""
    from bff.cli import config_file
    from bff.cli import secrets_status as telling

    sys.exit(telling.status(config_file.load_or_exit(config_file.find(given)), as_json=as_json))
