"""Values of request fields that may name the user: `{claims.email}`, `{subject}`, `{issuer}`, `{provider}` (`request_headers.set`)."""

import re
from dataclasses import dataclass

from bff.config.spelling import SpellingError
from bff.config.values.header_changes import field_value

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_WORDS = frozenset({"subject", "issuer", "provider"})
_CLAIM = re.compile(r"claims\.[!-z|~]+")  # visible ASCII without braces


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholder:
    """What of the user stands here: `claim` by its name or path, else `subject`, `issuer` or `provider`."""

    word: str
    claim: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderTemplate:
    """Texts and placeholders in their order."""

    parts: tuple[str | Placeholder, ...]
    text: str

    @property
    def names_user(self) -> bool:
        """Whether anything of the user stands in it."""
        return any(isinstance(part, Placeholder) for part in self.parts)

    def __str__(self) -> str:
        return self.text


def parse_template(text: str) -> HeaderTemplate:
    """A field's value with placeholders.

    Raises:
        SpellingError: an unknown placeholder, a brace that belongs to none, or characters that a field cannot have.
    """
    field_value(text)
    parts: list[str | Placeholder] = []
    for index, piece in enumerate(_PLACEHOLDER.split(text)):
        if index % 2:
            parts.append(_placeholder(piece))
        elif "{" in piece or "}" in piece:
            raise SpellingError("has a brace that belongs to no {claims.NAME}, {subject}, {issuer} or {provider}")
        elif piece:
            parts.append(piece)
    return HeaderTemplate(parts=tuple(parts), text=text)


def _placeholder(name: str) -> Placeholder:
    if name in _WORDS:
        return Placeholder(word=name)
    if not _CLAIM.fullmatch(name):
        raise SpellingError("has an unknown placeholder: write {claims.NAME}, {subject}, {issuer} or {provider}")
    return Placeholder(word="claims", claim=name.removeprefix("claims."))
