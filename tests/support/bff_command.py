"""The `bff` command as a process of its own, run by the interpreter that runs the tests."""

import os
import sys


def command(*arguments: str) -> list[str]:
    """What starts `bff` with these arguments."""
    return [sys.executable, "-m", "bff", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """The variables that it gets: ours, without any setting of bff's own that a developer has exported, and these."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BFF_")}
    return {**inherited, **variables}
