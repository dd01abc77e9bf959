"""Claims of a user as texts. Pure."""

import re
from collections.abc import Mapping

_FRACTION = re.compile(r"-?(0|[1-9][0-9]{0,14})\.[0-9]{1,15}")


def claim(claims: Mapping[str, object], name: str) -> object:
    """A claim by its name (`https://example.com/roles`), else by a path through objects (`realm_access.roles`); None: absent.

    A name on the way may hold dots itself (Keycloak's `resource_access.orders.example.com.roles`): the longest that is there counts.
    """
    found = claims.get(name)
    before, dot, _ = name.rpartition(".")
    while found is None and dot:
        inner = claims.get(before)
        if isinstance(inner, Mapping):
            found = claim(inner, name[len(before) + 1 :])
        before, dot, _ = before.rpartition(".")
    return found


def as_in_json(written: str) -> str:
    """What an operator wrote for a claim, as `text_of` spells it: YAML has more words for a boolean (`True`) and a number (`7.0`)."""
    if written in {"True", "TRUE", "False", "FALSE"}:
        return written.lower()
    if _FRACTION.fullmatch(written):
        return text_of(float(written)) or written
    return written


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
