"""`bff secrets new KIND`: a new secret or key, to standard output or into a new file that its owner alone can read."""

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path

import click

from bff import signing_key

KINDS: Mapping[str, Callable[[], str]] = {
    "session-key": lambda: secrets.token_urlsafe(32),  # 256 bits, 43 characters
    "client-secret": lambda: secrets.token_urlsafe(32),
    "signing-key": lambda: signing_key.generate().pem(),  # EC P-256: every provider of FAPI 2.0 takes ES256
}


def new(kind: str, *, out: Path | None) -> int:
    """Make one; the exit code. A file that is there is never touched."""
    text = KINDS[kind]()
    if out is None:
        click.echo(text, nl=not text.endswith("\n"))
        return 0
    try:
        # O_EXCL: what stands there may be in use. The mode is set before a byte is written.
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        reason = "is there already; it was not touched" if isinstance(error, FileExistsError) else error.strerror
        click.echo(f"error: {out}: {reason}", err=True)
        return 1
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text if text.endswith("\n") else f"{text}\n")
    click.echo(f"{out}: written, readable for its owner alone")
    return 0
