"""The pages of `docs/` as tests read them: sections, and the rows of their tables."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs"

_CELLS = re.compile(r"(?<!\\)\|")


def page(name: str) -> str:
    """A page's text; `name` is its path below `docs/`."""
    return (DOCS / name).read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    """What stands below the heading `title`, up to the next heading of any level."""
    _, _, rest = text.partition(f"# {title}\n")
    assert rest, f"there is no section {title}"
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table row, without heads and rules; back-ticks stay."""
    lines = text.splitlines()
    tables = [line for line in lines if line.startswith("|")]
    heads = {lines[at - 1] for at, line in enumerate(lines) if line.startswith("|--")}
    return [_cells(line) for line in tables if not line.startswith("|--") and line not in heads]


def codes(cell: str) -> list[str]:
    """What stands in back-ticks."""
    return re.findall(r"`([^`]+)`", cell)


def fenced(text: str, language: str) -> list[str]:
    """The fenced blocks of this language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in _CELLS.split(line)[1:-1]]


def marked(text: str, mark: str) -> str:
    """The fenced block that follows the comment `<!-- mark -->`."""
    found = re.search(rf"^<!-- {re.escape(mark)} -->\n```\w+\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert found is not None, f"there is no block {mark}"
    return found[1]
