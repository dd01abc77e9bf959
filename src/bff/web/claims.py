"""Claims of a user as texts. Pure."""

from collections.abc import Mapping


def claim(claims: Mapping[str, object], name: str) -> object:
    """A claim by its name (`https://example.com/roles`), else by a path through objects (`realm_access.roles`); None: absent."""
    found = claims.get(name)
    if found is not None:
        return found
    found = claims
    for step in name.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(step)
    return found


def text_of(value: object) -> str | None:
    """A text as it is; a boolean or an integer as JSON spells it; None for everything else.

    Some providers send a boolean as a text, so both are one value: `"true"` (Cognito, Apple).
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    return None
