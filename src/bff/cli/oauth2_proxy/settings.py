"""What was read: settings by the name of their flag, and the two lists that only the structured YAML has."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_TRUE = frozenset({"true", "1", "t", "yes"})
_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_REFERENCE = re.compile(rf"\$(?:\{{({_NAME})\}}|\(({_NAME})\)|({_NAME}))")  # a shell's, Kubernetes' $(NAME), a shell's


class Unreadable(ValueError):
    """The file is none of the kinds that oauth2-proxy is configured by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upstream:
    """One upstream; `path` is where its requests begin."""

    path: str
    uri: str
    pass_host: bool = True
    websocket: bool = True
    timeout: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that was said. Values hold secrets: no `repr`, and no message repeats one."""

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    upstreams: tuple[Upstream, ...] | None = None  # of the structured YAML; None: the flags say them
    # field -> what of the user stands in it, of the structured YAML
    claims: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()  # what the reading itself could not take along

    def has(self, name: str) -> bool:
        """Whether the setting is there and not empty."""
        return any(self.values.get(name, ()))

    def one(self, name: str) -> str | None:
        """The last value of a setting, as the last flag wins; a variable in the spelling of `bff.yaml`."""
        found = [value for value in self.values.get(name, ()) if value]
        return _respelled(found[-1]) if found else None

    def many(self, name: str) -> tuple[str, ...]:
        """All values of a setting; commas separate them too."""
        parts = (part.strip() for value in self.values.get(name, ()) for part in value.split(","))
        return tuple(_respelled(part) for part in parts if part)

    def on(self, name: str, *, default: bool) -> bool:
        """A switch."""
        value = self.one(name)
        return default if value is None else value.lower() in _TRUE


def variable(value: str) -> str | None:
    """The name of the environment variable that a value stands for; None: it is a value."""
    found = _REFERENCE.fullmatch(value)
    return None if found is None else found[1] or found[2] or found[3]


def _respelled(value: str) -> str:
    name = variable(value)
    return value if name is None else f"${{{name}}}"
