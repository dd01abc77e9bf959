"""`docs/how-to/reload.md`: what is taken on by a running process, and what needs a restart."""

import re

from bff.config.adoption import NEEDS_RESTART
from bff.config.model import Config
from bff.config.shapes import keys_of
from support.documented import page

RELOAD = page("how-to/reload.md")


def section(title: str) -> str:
    """The part of the page below this title."""
    return RELOAD.split(f"## {title}\n")[1].split("\n## ")[0]


def named(text: str) -> set[str]:
    """What stands in backticks."""
    return set(re.findall(r"`([^`\n]+)`", text))


def test_every_section_of_the_file_is_named() -> None:
    """A key that is added to the file is added to this page: what does a reload make of it?"""
    assert set(keys_of(Config)) <= named(section("What is taken on")) | named(section("What needs a restart"))


def test_what_needs_a_restart_is_what_the_code_keeps() -> None:
    """No key more and none less."""
    first_sentence = section("What needs a restart").split(", the number of workers")[0]
    assert named(first_sentence) == set(NEEDS_RESTART)
