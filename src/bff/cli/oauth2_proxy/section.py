"""A section of the new file: keys with their values as YAML, each with the remark that stands above it."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from bff.cli.init_files import quoted
from bff.cli.oauth2_proxy.settings import variable


@dataclass(slots=True, kw_only=True)
class Section:
    """Lines in the order in which they were added. `remarks` and `files` are for the head of the file."""

    lines: list[tuple[str, str, str | None]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)  # a secret's file -> what belongs into it

    def add(self, key: str, value: str, remark: str | None = None) -> None:
        """One key, once; a later value replaces an earlier one."""
        self.lines = [line for line in self.lines if line[0] != key]
        self.lines.append((key, value, remark))

    def has(self, key: str) -> bool:
        """Whether the key is there."""
        return any(line[0] == key for line in self.lines)

    def secret(self, name: str, value: str, what: str) -> str:
        """A reference for a secret that stands in the file: the variable that it came from, or a file to be made."""
        from_variable = variable(value)
        if from_variable is not None:
            return f"{{env: {from_variable}}}"
        self.files[f"secrets/{name}"] = what
        return f"{{file: {quoted(f'secrets/{name}')}}}"

    def text(self, indent: str) -> str:
        """The lines, indented."""
        shown = ""
        for key, value, remark in self.lines:
            shown += f"{indent}# {remark}\n" if remark else ""
            shown += f"{indent}{key}: {value}\n"
        return shown


def listed(values: Iterable[str]) -> str:
    """A list in one line."""
    return f"[{', '.join(quoted(value) for value in values)}]"


def inline(values: dict[str, str]) -> str:
    """A section in one line; the values are YAML already."""
    return "{" + ", ".join(f"{quoted(key)}: {value}" for key, value in values.items()) + "}"
