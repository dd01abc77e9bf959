"""Commands about one configuration file: run it, check it, show what it says, judge one request by it."""

import sys
from pathlib import Path

import click

from bff.cli.commands.options import TEXT, config_option


@click.command()
@config_option
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that serve.")
def serve(given: Path | None, workers: int) -> None:
    """Run the gateway."""
    from bff.cli import config_file
    from bff.cli import serve as serving

    serving.serve(config_file.find(given), workers=workers)


@click.command()
@config_option
@click.option("--online", is_flag=True, help="Also ask discovery, keys, the store and the token endpoint.")
def check(given: Path | None, online: bool) -> None:
    """Find everything wrong with a configuration, without starting."""
    from bff.cli import check as checking
    from bff.cli import config_file

    sys.exit(checking.check(config_file.find(given), online=online))


@click.command()
@config_option
def routes(given: Path | None) -> None:
    """The table of routes."""
    from bff.cli import config_file
    from bff.cli import routes as listing

    for line in listing.table(config_file.load_or_exit(config_file.find(given))):
        click.echo(line)


@click.command()
@config_option
@click.argument("method")
@click.argument("url")
@click.option("--signed-in", type=TEXT, metavar="PROVIDER", help="As if the browser had a session from this provider.")
@click.option(
    "--claim", "claims", type=TEXT, multiple=True, metavar="NAME=VALUE", help="A claim of that user; repeatable."
)
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


@click.command()
def schema() -> None:
    """The JSON Schema of the configuration file, for editors."""
    import json

    from bff.config.json_schema import json_schema

    click.echo(json.dumps(json_schema(), indent=2))


@click.command()
@config_option
def config(given: Path | None) -> None:
    """The configuration as it is in force, secrets hidden."""
    from bff.cli import config_file
    from bff.config.in_force import in_force

    click.echo(in_force(config_file.load_or_exit(config_file.find(given))), nl=False)
