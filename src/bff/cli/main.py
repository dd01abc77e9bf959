"""The command `bff`: every command that an operator can type, in the order of `bff --help`."""

import click

from bff import __version__
from bff.cli.commands import beginning, one_gateway, secrets, sessions


@click.group()
@click.version_option(__version__, prog_name="bff")
def main() -> None:
    """A backend for frontend: the OAuth client in front of a single-page app."""


for command in (
    one_gateway.serve,
    one_gateway.check,
    one_gateway.config,
    one_gateway.routes,
    one_gateway.explain,
    one_gateway.schema,
    beginning.demo,
    beginning.init,
    beginning.import_,
    sessions.sessions,
    secrets.secrets,
):
    main.add_command(command)
