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


class Text(click.ParamType[str]):
    """A text that is compared with or put into UTF-8: read as UTF-8 whatever the locale says."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The text, from what the locale's encoding could not read too."""
        try:
            return value.encode("utf-8", "surrogateescape").decode("utf-8")
        except UnicodeDecodeError:
            self.fail("is no UTF-8 text", param, ctx)


TEXT = Text()


def out_file(_: click.Context, __: click.Parameter, given: Path | None) -> Path | None:
    """The new file of `--out`; None: standard output, which `-` means too."""
    return None if given == Path("-") else given
