"""YAML as a tree of texts with marks. What a text means (a number, a duration) is for its key to say, not for YAML.

Rules kept here:

- No value is resolved by its looks: `no`, `on`, `0123` and `1:30` stay the texts that they are. Only an unquoted
  `null`, `~` or nothing at all is no value (YAML 1.2 core schema).
- Equal keys in one mapping are an error; PyYAML alone keeps the last one silently.
- Tags and merge keys are refused. Aliases are welcome, but what they expand to is bounded, and so are depth and size.
- PyYAML's own messages are used only where they cannot repeat a part of the file.
"""

from dataclasses import dataclass

import yaml
from yaml.reader import ReaderError

from bff.config.problems import Findings, KeyPath, Mark, Place

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 32
MAX_NODES = 20_000
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_START = Mark(line=1, column=1)
# What PyYAML says of mistakes that people make often, and what to do about them; the first that fits.
_HINTS = {
    r"found character '\t'": "write spaces instead of tabs",
    "that cannot start any token": "put the value in quotes",
    "mapping values are not allowed": "put a value that holds `: ` in quotes, or mend the indentation",
    "found unexpected end of stream": "close the quote that begins here",
    "could not find expected ':'": "write `key: value`",
    "expected ',' or": "close the bracket of line {line}, put a comma here, or put a value that holds brackets or commas in quotes",
    "expected <block end>": "begin the keys of one section in one column",
    "found another document": "keep one, and no `---` behind it",
}
_NOTICED_LATE = ("while scanning a quoted scalar", "while scanning a simple key")  # lines behind the mistake


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalarNode:
    """One text; `null` if nothing was written, or the word for nothing without quotes."""

    text: str
    null: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceNode:
    """A list."""

    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingNode:
    """Keys and values in the order of the file."""

    entries: dict[str, "Node"]


Node = ScalarNode | SequenceNode | MappingNode


class _UnusableError(Exception):
    """Not a tree: the file cannot be checked further."""

    def __init__(self, mark: Mark, message: str) -> None:
        super().__init__(message)
        self.mark = mark
        self.message = message


def read_tree(source: bytes, findings: Findings) -> Node | None:
    """The file's tree; its marks and problems go to `findings`. None: not even YAML, the reason is among the problems."""
    try:
        root = _compose(_decode(source), findings)
        return _Builder(findings).build(root, (), _mark(root.start_mark))
    except _UnusableError as unusable:
        findings.report_at(unusable.mark, (), unusable.message)
        return None


def _decode(source: bytes) -> str:
    if len(source) > MAX_BYTES:
        raise _UnusableError(_START, f"the file is larger than {MAX_BYTES // 1024} KiB")
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        column = error.start - source.rfind(b"\n", 0, error.start)
    raise _UnusableError(Mark(line=line, column=column), "the file is not UTF-8 text")


def _compose(text: str, findings: Findings) -> yaml.Node:
    composer = _composer(text)
    try:
        root = composer.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error) from None  # its text quotes the file
    except (ValueError, OverflowError):  # PyYAML hands "\UFFFFFFFF" to chr() and "%YAML 9...9.1" to int() unchecked
        raise _UnusableError(_mark(composer.get_mark()), "is not YAML: an escape or number is out of range") from None
    finally:
        composer.dispose()
    for mark in composer.tag_marks:
        findings.report_at(mark, (), "tags (`!...`) are not supported: write the plain value")
    if root is None:
        raise _UnusableError(_START, "the file is empty")
    return root


def _composer(text: str) -> "_Composer":
    try:
        return _Composer(text)
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
    raise _UnusableError(Mark(line=line, column=column), "holds a character that YAML does not allow")


def _syntax_error(error: yaml.MarkedYAMLError) -> _UnusableError:
    mark = error.problem_mark or error.context_mark
    if error.context in _NOTICED_LATE:
        mark = error.context_mark
    problem = (error.problem or error.context or "syntax error").removeprefix("but ")
    if "alias" in problem:
        problem = "an alias (`*name`) without its anchor; put a value that begins with * in quotes"
    elif "anchor" in f"{error.context} {problem}":
        problem = "an anchor (`&name`) is defined twice; put a value that begins with & in quotes"
    elif "tag" in problem:
        problem = "a tag (`!...`); put a value that begins with ! in quotes"
    else:
        problem += _hint(problem, error.context_mark)
    return _UnusableError(_mark(mark) if mark else _START, f"is not YAML: {problem}")


def _hint(problem: str, began_at: yaml.Mark | None) -> str:
    line = began_at.line + 1 if began_at else 1
    return next((f"; {hint.format(line=line)}" for part, hint in _HINTS.items() if part in problem), "")


def _mark(mark: yaml.Mark) -> Mark:
    return Mark(line=mark.line + 1, column=mark.column + 1)


class _Composer(yaml.SafeLoader):
    """Composes nodes, notes tags, and bounds them, and refuses deep nesting before PyYAML's recursion meets Python's limit."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.tag_marks: list[Mark] = []
        self._depth = 0
        self._count = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """One node and all below it."""
        event = self.peek_event()  # type: ignore[no-untyped-call]  # its stub has no types
        if getattr(event, "tag", None) is not None:
            self.tag_marks.append(_mark(event.start_mark))
        self._count += 1
        if self._count > MAX_NODES:
            raise _UnusableError(_mark(event.start_mark), f"has more than {MAX_NODES} values")
        if self._depth > MAX_DEPTH:
            raise _UnusableError(_mark(event.start_mark), "is nested too deeply")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Builder:
    """Turns PyYAML's nodes into ours, aliases expanded."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._left = MAX_NODES

    def build(self, node: yaml.Node, path: KeyPath, key_mark: Mark) -> Node:
        """The tree below `node`, which stands at `path`."""
        mark = _mark(node.start_mark)
        self._left -= 1
        if self._left < 0:
            raise _UnusableError(mark, f"has more than {MAX_NODES} values once its aliases are expanded")
        if len(path) > MAX_DEPTH:  # an alias inside its own anchor
            raise _UnusableError(mark, "is nested too deeply")
        if isinstance(node, yaml.ScalarNode):
            self._findings.place(path, Place(key=key_mark, value=mark))
            return ScalarNode(text=node.value, null=node.style is None and node.value in _NULLS)
        self._findings.place(path, Place(key=key_mark, value=key_mark))
        if isinstance(node, yaml.MappingNode):
            return MappingNode(entries=self._entries(node, path))
        items = (self.build(item, (*path, i), _mark(item.start_mark)) for i, item in enumerate(node.value))
        return SequenceNode(items=tuple(items))

    def _entries(self, node: yaml.MappingNode, path: KeyPath) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        lines: dict[str, int] = {}
        for key_node, value_node in node.value:
            mark = _mark(key_node.start_mark)
            key = key_node.value
            if not isinstance(key, str):
                self._findings.report_at(mark, path, "has a key that is no plain text")
            elif key == "<<":
                self._findings.report_at(mark, path, "merge keys (`<<`) are not supported: alias the whole value")
            elif key in entries:
                self._findings.report_at(mark, (*path, key), f"is given twice; the first is on line {lines[key]}")
            else:
                lines[key] = mark.line
                entries[key] = self.build(value_node, (*path, key), mark)
        return entries
