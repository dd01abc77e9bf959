"""What an operator can type; see the package for where the work is."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bff import __version__

if TYPE_CHECKING:
    from bff.cli.session_choice import Choice

_config_option = click.option(
    "-c",
    "--config",
    "given",
    type=click.Path(path_type=Path, readable=False),  # an unreadable file is reported like a mistake in it
    help="The YAML file. Default: $BFF_CONFIG, ./bff.yaml, /etc/bff/bff.yaml.",
)


@click.group()
@click.version_option(__version__, prog_name="bff")
def main() -> None:
    """A backend for frontend: the OAuth client in front of a single-page app."""


@main.command()
@_config_option
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that serve.")
def serve(given: Path | None, workers: int) -> None:
    """Run the gateway."""
    from bff.cli import config_file
    from bff.cli import serve as serving

    serving.serve(config_file.find(given), workers=workers)


@main.command()
@_config_option
@click.option("--online", is_flag=True, help="Also ask discovery, keys, the store and the token endpoint.")
def check(given: Path | None, online: bool) -> None:
    """Find everything wrong with a configuration, without starting."""
    from bff.cli import check as checking
    from bff.cli import config_file

    sys.exit(checking.check(config_file.find(given), online=online))


@main.command()
@click.option(
    "--provider", metavar="KIND", help="Kind of provider, such as keycloak or entra; an unknown one lists all."
)
@click.option("--issuer", metavar="URL", help="The provider's issuer, as its metadata says it.")
@click.option("--client-id", metavar="ID", help="What the provider calls this gateway.")
@click.option("--client-secret-file", metavar="FILE", help="The file that holds the client secret.")
@click.option("--public-url", metavar="URL", help="The origin that browsers use. Default: http://localhost:8080.")
@click.option("--api", "apis", multiple=True, metavar="PATH=URL", help="An API; repeatable.")
@click.option("--app", metavar="DIR_OR_URL", help="The app: a folder with an index.html, or the URL of its server.")
@click.option("--store", metavar="URL", help="Where sessions are kept. Default: memory://.")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The folder to write into. Default: this one.",
)
@click.option("--yes", is_flag=True, help="Ask nothing; what is left out gets its default.")
def init(
    *,
    provider: str | None,
    issuer: str | None,
    client_id: str | None,
    client_secret_file: str | None,
    public_url: str | None,
    apis: tuple[str, ...],
    app: str | None,
    store: str | None,
    directory: Path,
    yes: bool,
) -> None:
    """Write a first configuration, and say what to register at the provider."""
    from bff.cli import init as writing
    from bff.cli.init_answers import Given, answers

    given = Given(
        provider=provider,
        issuer=issuer,
        client_id=client_id,
        client_secret_file=client_secret_file,
        public_url=public_url,
        apis=apis,
        app=app,
        store=store,
        directory=directory,
        ask=not yes,
    )
    sys.exit(writing.init(answers(given)))


@main.group("import")
def import_() -> None:
    """Make a configuration from that of another gateway."""


@import_.command("oauth2-proxy")
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.option(
    "-o", "--out", type=click.Path(path_type=Path, dir_okay=False), help="A new file; default: standard output."
)
def import_oauth2_proxy(file: Path, out: Path | None) -> None:
    """Translate flags, TOML, YAML or variables of oauth2-proxy."""
    from bff.cli import importing

    sys.exit(importing.from_oauth2_proxy(file, out=out))


@main.command()
@_config_option
def routes(given: Path | None) -> None:
    """The table of routes."""
    from bff.cli import config_file
    from bff.cli import routes as listing

    for line in listing.table(config_file.load_or_exit(config_file.find(given))):
        click.echo(line)


@main.command()
@_config_option
@click.argument("method")
@click.argument("url")
@click.option("--signed-in", metavar="PROVIDER", help="As if the browser had a session from this provider.")
@click.option("--claim", "claims", multiple=True, metavar="NAME=VALUE", help="A claim of that user; repeatable.")
@click.option("--page", is_flag=True, help="As if the address were opened in the browser's window.")
@click.option("--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A field of the request; repeatable.")
@click.option("--no-csrf", is_flag=True, help="Without X-CSRF: 1.")
def explain(
    *,
    given: Path | None,
    method: str,
    url: str,
    signed_in: str | None,
    claims: tuple[str, ...],
    page: bool,
    headers: tuple[str, ...],
    no_csrf: bool,
) -> None:
    """Every judgement on one request, and what the upstream would receive."""
    from bff.cli import config_file, logs
    from bff.cli import explain as explaining

    if claims and signed_in is None:
        raise click.UsageError("--claim needs --signed-in PROVIDER")
    config = config_file.load_or_exit(config_file.find(given))
    logs.silence()
    status = explaining.run(
        config,
        method,
        url,
        signed_in=signed_in,
        claims=claims,
        headers=headers,
        page=page,
        csrf=not no_csrf,
    )
    sys.exit(status)


@main.command()
def schema() -> None:
    """The JSON Schema of the configuration file, for editors."""
    import json

    from bff.config.json_schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@main.command()
@_config_option
def config(given: Path | None) -> None:
    """The configuration as it is in force, secrets hidden."""
    from bff.cli import config_file
    from bff.config.in_force import in_force

    click.echo(in_force(config_file.load_or_exit(config_file.find(given))), nl=False)


@main.command()
@click.option("--check", "headless", is_flag=True, help="Walk through everything headless and report each step.")
@click.option(
    "--eject", type=click.Path(path_type=Path, file_okay=False), help="Write the demo's files for you to edit."
)
@click.option("--app", metavar="URL", help="Your app's development server, in place of the demo's page.")
@click.option("--api", metavar="URL", help="Your API, at /api, in place of the demo's.")
def demo(headless: bool, eject: Path | None, app: str | None, api: str | None) -> None:
    """A working world on loopback: gateway, provider, API and page."""
    from bff.cli import logs
    from bff.config.model import LogConfig
    from bff.demo import check as walking
    from bff.demo import eject as ejecting
    from bff.demo import world
    from bff.demo.configuration import Behind

    behind = Behind(app=_development_server("--app", app), api=_development_server("--api", api))
    if (app or api) and (headless or eject):
        raise click.UsageError("--app and --api start the demo: leave --check and --eject out")
    if eject is not None:
        try:
            written = ejecting.eject(eject)
        except OSError as error:
            message = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
            raise click.ClickException(message) from error
        for file in written:
            click.echo(file)
        return
    logs.configure(LogConfig(level="warning" if headless else "info"))
    if headless:
        sys.exit(0 if walking.run_check() else 1)
    world.run(behind=behind)


def _development_server(option: str, url: str | None) -> str | None:
    """The URL as it is written into the demo's configuration.

    Raises:
        click.BadParameter: it is no URL of a server on this machine: the demo signs every visitor in at a click.
    """
    from bff.config.spelling import SpellingError
    from bff.config.values.urls import parse_upstream
    from bff.loopback import is_loopback

    if url is None:
        return None
    try:
        upstream = parse_upstream(url)
    except SpellingError as error:
        raise click.BadParameter(str(error), param_hint=option) from error
    if not is_loopback(upstream.host):
        raise click.BadParameter("must be on this machine: the demo's provider signs anyone in", param_hint=option)
    return str(upstream)


@main.group()
def sessions() -> None:
    """Look after the sessions in the store."""


_id_argument = click.argument("session_id", metavar="[ID]", required=False)
_choice_options = (
    click.option("--provider", help="Sessions from this provider; with --subject: the provider that knows the user."),
    click.option("--issuer", help="With --subject: this issuer in place of the provider's."),
    click.option("--subject", help="Sessions of this user (the `sub` of the ID token)."),
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


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
    for option in (_json_option, *reversed(_choice_options), _id_argument, _config_option):
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


@main.group()
def secrets() -> None:
    """Make secrets and keys, and see which are in use."""


@secrets.command("new")
@click.argument("kind")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="A new file; default: standard output.")
def secrets_new(kind: str, out: Path | None) -> None:
    """Make one: session-key, client-secret, or signing-key (EC P-256, PEM, for `client_keys`)."""
    from bff.cli import secrets as making

    if kind not in making.KINDS:
        raise click.UsageError(f"KIND is one of: {', '.join(making.KINDS)}")
    sys.exit(making.new(kind, out=out))


@secrets.command("status")
@_config_option
@_json_option
def secrets_status(given: Path | None, as_json: bool) -> None:
    """One line for each configured secret and key: fingerprint, and when and by which process it was last used."""
    from bff.cli import config_file
    from bff.cli import secrets_status as telling

    sys.exit(telling.status(config_file.load_or_exit(config_file.find(given)), as_json=as_json))
