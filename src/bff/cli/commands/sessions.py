"""`bff sessions`: list, show and end the sessions in the store."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bff.cli.commands.options import TEXT, config_option, json_option

if TYPE_CHECKING:
    from bff.cli.session_choice import Choice


@click.group()
def sessions() -> None:
    """Look after the sessions in the store."""


_id_argument = click.argument("session_id", metavar="[ID]", required=False)
_choice_options = (
    click.option(
        "--provider", type=TEXT, help="Sessions from this provider; with --subject: the provider that knows the user."
    ),
    click.option("--issuer", type=TEXT, help="With --subject: this issuer in place of the provider's."),
    click.option("--subject", type=TEXT, help="Sessions of this user (the `sub` of the ID token)."),
)


def _choosing(command: Callable[..., None]) -> Callable[..., None]:
    """Add the argument and options that say which sessions a command is about; it gets them as `choice`."""

    @functools.wraps(command)
    def chosen(
        *,
        session_id: str | None,
        provider: str | None,
        issuer: str | None,
        subject: str | None,
        **others: bool | Path | None,
    ) -> None:
        from bff.cli.session_choice import Choice

        command(choice=Choice(id=session_id, provider=provider, issuer=issuer, subject=subject), **others)

    chosen_by: Callable[..., None] = chosen
    for option in (json_option, *reversed(_choice_options), _id_argument, config_option):
        chosen_by = option(chosen_by)
    return chosen_by


@sessions.command("list")
@_choosing
def sessions_list(*, choice: "Choice", given: Path | None, as_json: bool) -> None:
    """One line for each session: of a user, of a provider, or all of this namespace."""
    from bff.cli import config_file
    from bff.cli import sessions as listing

    config = config_file.load_or_exit(config_file.find(given))
    sys.exit(listing.list_sessions(config, choice, as_json=as_json))


@sessions.command("show")
@_choosing
def sessions_show(*, choice: "Choice", given: Path | None, as_json: bool) -> None:
    """What is known of each token: for which API, scope, expiry, next renewal, claims. Never the token."""
    from bff.cli import config_file
    from bff.cli import sessions as showing

    if choice.everything:
        raise click.UsageError("say an ID, --subject SUB or --provider NAME")
    config = config_file.load_or_exit(config_file.find(given))
    sys.exit(showing.show(config, choice, as_json=as_json))


@sessions.command("end")
@_choosing
@click.option("--all", "everything", is_flag=True, help="End every session of this namespace.")
@click.option("--no-revoke", is_flag=True, help="Leave the tokens valid at the provider.")
def sessions_end(
    *,
    choice: "Choice",
    given: Path | None,
    as_json: bool,
    everything: bool,
    no_revoke: bool,
) -> None:
    """End one session, a user's, a provider's, or all; and revoke their tokens."""
    from bff.cli import config_file, logs
    from bff.cli import sessions as ending

    if everything != choice.everything:
        raise click.UsageError("say one of: an ID, --subject SUB, --provider NAME, --all")
    config = config_file.load_or_exit(config_file.find(given))
    logs.configure(config.log)
    sys.exit(ending.end(config, choice, revoke=not no_revoke, as_json=as_json))
