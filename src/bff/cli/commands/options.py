"""Options that several commands take."""

from pathlib import Path

import click

config_option = click.option(
    "-c",
    "--config",
    "given",
    type=click.Path(path_type=Path, readable=False),  # an unreadable file is reported like a mistake in it
    help="The YAML file. Default: $BFF_CONFIG, ./bff.yaml, /etc/bff/bff.yaml.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
