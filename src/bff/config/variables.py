"""`${VAR}` and `${VAR:-default}` inside a text, as in a shell: the default is for a variable that is not set or empty.

What is put in is not looked through again. A lone `$` is itself; `${` always begins a variable.
"""

import re
from collections.abc import Mapping

from bff.config.spelling import SpellingError

_VARIABLE = re.compile(r"\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<fallback>:-(?P<default>[^{}]*))?\})?")


def substitute(text: str, env: Mapping[str, str]) -> str:
    """`text` with its variables filled in.

    Raises:
        SpellingError: a variable without default is not set, or `${` begins none.
    """
    missing: list[str] = []

    def value(match: re.Match[str]) -> str:
        name = match["name"]
        if name is None:
            raise SpellingError("has a `${` that begins no variable: write ${NAME} or ${NAME:-default}")
        if match["fallback"] is not None:
            return env.get(name) or str(match["default"])
        if name not in env:
            missing.append(name)
        return env.get(name, "")

    filled = _VARIABLE.sub(value, text)
    if missing:
        raise SpellingError(
            f"the environment variable {missing[0]} is not set; a default is written ${{NAME:-default}}"
        )
    return filled
