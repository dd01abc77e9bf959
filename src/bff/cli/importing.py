"""`bff import oauth2-proxy FILE`: read, translate, write; what has to be made or looked at goes to standard error."""

import os
from pathlib import Path

import click

from bff.cli.oauth2_proxy.reading import read
from bff.cli.oauth2_proxy.settings import Unreadable
from bff.cli.oauth2_proxy.writing import written

_LONGEST = 4 * 1024 * 1024  # bytes


def from_oauth2_proxy(file: Path, *, out: Path | None) -> int:
    """The exit status. A file that is there is never touched."""
    try:
        with file.open("rb") as opened:
            made = written(read(opened.read(_LONGEST).decode("utf-8")))
    except OSError as error:
        return _refuse(f"{file}: {error.strerror}")
    except UnicodeDecodeError:
        return _refuse(f"{file}: is no text")
    except Unreadable as error:
        return _refuse(f"{file}: {error}")
    if out is None:
        click.echo(made.text, nl=False)
    else:
        try:
            with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "w", encoding="utf-8") as target:
                target.write(made.text)
        except OSError as error:
            return _refuse(f"{out}: {error.strerror}")
    for name, what in made.files.items():
        click.echo(f"make: {name}: {what}", err=True)
    for remark in made.remarks:
        click.echo(f"look at: {remark}", err=True)
    return 0


def _refuse(reason: str) -> int:
    click.echo(f"error: {reason}", err=True)
    return 1
