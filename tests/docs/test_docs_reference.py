"""`docs/reference/`: errors, commands and endpoints say what the code says, and every link of every page leads somewhere."""

import re
from pathlib import Path

import click
import pytest

from bff.cli.main import main
from bff.web.endpoints import ENDPOINTS
from bff.web.problems import LAST_RESORT, TABLE
from support.documented import DOCS, ROOT, codes, page, rows, section

COMMANDS = {
    "bff serve": "serve",
    "bff init": "init",
    "bff import oauth2-proxy": "import oauth2-proxy",
    "bff check": "check",
    "bff routes": "routes",
    "bff explain": "explain",
    "bff schema": "schema",
    "bff config": "config",
    "bff demo": "demo",
    "bff sessions list": "sessions list",
    "bff sessions show": "sessions show",
    "bff sessions end": "sessions end",
    "bff secrets new": "secrets new",
    "bff secrets status": "secrets status",
}
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```.*?^```", flags=re.MULTILINE | re.DOTALL)


def command(path: str) -> click.Command:
    """The click command of these words."""
    found: click.Command = main
    for word in path.split():
        assert isinstance(found, click.Group)
        found = found.commands[word]
    return found


def options(path: str) -> dict[str, click.Option]:
    """A command's options by the last of their spellings, `--help` left out."""
    return {p.opts[-1]: p for p in command(path).params if isinstance(p, click.Option)}


def leaves(group: click.Group, prefix: str = "") -> list[str]:
    """Every command that does something, as it is typed after `bff`."""
    found: list[str] = []
    for name, inner in group.commands.items():
        found += leaves(inner, f"{prefix}{name} ") if isinstance(inner, click.Group) else [f"{prefix}{name}"]
    return found


def anchors(file: Path) -> set[str]:
    """The fragments of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCE.sub("", file.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_error_is_documented_with_its_status_and_title() -> None:
    """The table of errors is that of `web/problems.py`, the last resort included."""
    table = rows(page("reference/errors.md").partition("## Pages for people")[0])
    documented = {codes(row[0])[0]: (int(row[1]), row[2]) for row in table}
    assert documented == {row.type: (row.status, row.title) for row in (*TABLE.values(), LAST_RESORT)}


def test_every_command_is_documented() -> None:
    """The page of the command line has a section for each command and for no other."""
    sections = re.findall(r"^## (bff .+)$", page("reference/cli.md"), flags=re.MULTILINE)
    assert sections == list(COMMANDS)
    assert sorted(leaves(main)) == sorted(COMMANDS.values())


@pytest.mark.parametrize(("title", "path"), COMMANDS.items())
def test_every_option_is_documented(title: str, path: str) -> None:
    """A command's first table lists its options and no others, each with all its spellings."""
    documented = {}
    for row in rows(section(page("reference/cli.md"), title)):
        spellings = [code.split(" ")[0] for code in codes(row[0]) if code.startswith("-")]
        if spellings:
            documented[spellings[-1]] = spellings
    assert documented == {name: list(option.opts) for name, option in options(path).items()}


def test_every_endpoint_is_documented() -> None:
    """The table of endpoints in the documentation is the code's."""
    served = {
        f"{known.method.decode()} /bff{known.path}{f'/{{{known.follows}}}' if known.follows else ''}"
        for known in ENDPOINTS
    }
    table = rows(page("reference/endpoints.md").partition("## GET")[0])
    assert {codes(row[0])[0] for row in table} == served


@pytest.mark.parametrize("file", PAGES, ids=lambda file: str(file.relative_to(ROOT)))
def test_every_link_leads_somewhere(file: Path) -> None:
    """A relative link of a page names a file that is there, and a heading that is in it."""
    text = _FENCE.sub("", file.read_text(encoding="utf-8"))
    for target in _LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        linked = (file.parent / path).resolve() if path else file
        assert linked.exists(), target
        if fragment:
            assert fragment in anchors(linked), target


def test_no_page_is_lost() -> None:
    """Every page of `docs/` can be reached from its index."""
    index = DOCS / "index.md"
    linked = {
        (DOCS / target.partition("#")[0]).resolve() for target in _LINK.findall(index.read_text(encoding="utf-8"))
    }
    assert set(DOCS.rglob("*.md")) - {index} <= linked
