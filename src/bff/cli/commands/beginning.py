"""Commands for the first hour: a demo, a first configuration, a translation of another gateway's."""

import sys
from pathlib import Path

import click

from bff.cli.commands.options import TEXT, out_file


@click.command()
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


@click.command()
@click.option(
    "--provider", metavar="KIND", help="Kind of provider, such as keycloak or entra; an unknown one lists all."
)
@click.option("--issuer", metavar="URL", help="The provider's issuer, as its metadata says it.")
@click.option("--client-id", type=TEXT, metavar="ID", help="What the provider calls this gateway.")
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


@click.group("import")
def import_() -> None:
    """Make a configuration from that of another gateway."""


@import_.command("oauth2-proxy")
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    callback=out_file,
    help="A new file; default: standard output.",
)
def import_oauth2_proxy(file: Path, out: Path | None) -> None:
    """Translate flags, TOML, YAML or variables of oauth2-proxy."""
    from bff.cli import importing

    sys.exit(importing.from_oauth2_proxy(file, out=out))
