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
    """A text as it is; a boolean or a number as JSON spells it; None for everything else.

    Some providers send a boolean as a text, so both are one value: `"true"` (Cognito, Apple). JSON knows one kind of number, so 7.0
    is the number 7 (RFC 8259 section 6).
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, str | int):
        return str(value)
    return None
