"""`bff secrets status`: which of the configured secrets and keys are in use, so that an old one is revoked when its time stands still.

Processes note their uses in the store (`sessions/secret_notes.py`). A secret is known by its value: one that moved from the first
place to the second keeps its time.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import click

from bff.cli.columns import aligned
from bff.cli.failures import described
from bff.cli.session_views import iso, plain
from bff.config.model import Config
from bff.errors import StoreUnavailable
from bff.secret_uses import FINGERPRINT_DIGITS, digest
from bff.sessions.opening import PATIENCE_OF_COMMANDS_SECONDS, open_store
from bff.web.secret_places import secrets_of

HEAD = ("OWNER", "POSITION", "FINGERPRINT", "LAST USED", "BY")
IN_MEMORY = "note: memory:// keeps uses inside the gateway's process; they are in its metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """A secret of the configuration, without its value."""

    owner: str  # a provider's name, "session" or "routes"
    position: str  # its key in the file
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A secret and its uses, by process."""

    secret: Configured
    uses: Mapping[str, float] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """What people compare."""
        return self.secret.digest[:FINGERPRINT_DIGITS]

    @property
    def last(self) -> tuple[str, float] | None:
        """The process that used it last, and when."""
        return max(self.uses.items(), key=lambda use: use[1], default=None)


def status(config: Config, *, as_json: bool) -> int:
    """Print one line for each configured secret and key; the exit code."""
    try:
        statuses = asyncio.run(_statuses(config))
    except StoreUnavailable as error:
        click.echo(f"error: {described(error)}", err=True)
        return 1
    if as_json:
        click.echo(json.dumps({"secrets": [_as_json(one) for one in statuses]}, indent=2))
        return 0
    for line in aligned([HEAD, *map(_row, statuses)]):
        click.echo(line)
    if config.session.store.in_memory:
        click.echo(IN_MEMORY, err=True)
    return 0


def configured(config: Config) -> Iterator[Configured]:
    """Every secret and key of the configuration whose uses are noted, session keys first."""
    for secret in secrets_of(config):
        position = secret.position if secret.route is None else f"{secret.route} {secret.position}"
        yield Configured(owner=secret.owner, position=position, digest=digest(secret.read()))


async def _statuses(config: Config) -> list[Status]:
    secrets = list(configured(config))
    if config.session.store.in_memory:
        return [Status(secret=secret) for secret in secrets]
    store = open_store(config.session, patience_seconds=PATIENCE_OF_COMMANDS_SECONDS)
    try:
        uses = await asyncio.gather(*(store.uses(secret.owner, secret.digest) for secret in secrets))
    finally:
        await store.close()
    return [Status(secret=secret, uses=used) for secret, used in zip(secrets, uses, strict=True)]


def _row(one: Status) -> tuple[str, ...]:
    by, at = one.last or ("-", None)
    used = "never" if at is None else iso(at)
    return one.secret.owner, one.secret.position, one.fingerprint, used, plain(by)


def _as_json(one: Status) -> dict[str, object]:
    by, at = one.last or (None, None)
    return {
        "owner": one.secret.owner,
        "position": one.secret.position,
        "fingerprint": one.fingerprint,
        "last_used_at": None if at is None else iso(at),
        "last_used_by": by,
        "uses": {name: iso(then) for name, then in sorted(one.uses.items())},
    }
