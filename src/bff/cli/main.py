"""The command `bff`: every command that an operator can type, in the order of `bff --help`."""

import errno
import io
import sys
from typing import Any

import click

from bff import __version__
from bff.cli.commands import beginning, one_gateway, secrets, sessions

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class Commands(click.Group):
    """The commands. What they print and cannot be written, because a disk is full, ends them with 1 and a line that says so."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run one of them; click itself ends one whose reader has gone (`bff routes | head -1`)."""
        # what is printed is read again as UTF-8: `bff import ... > bff.yaml`
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
        try:
            return super().main(*args, **kwargs)
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise
            click.echo(f"error: cannot write: {error.strerror}", err=True)
            sys.exit(1)


@click.group(cls=Commands)
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
