"""From the YAML tree to the typed models, every problem at once.

The models say what each key is; this walks both side by side. A value that will not do is reported and left out.
A section with problems is still made, from its sound values, the defaults, and empty values for what is required, so
that the checks across keys can look at the rest of it. Nothing unsound ever leaves `load`.
"""

import os
from collections.abc import Callable, Collection, Container, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin
from unicodedata import category

from pydantic import BaseModel, ValidationError

from bff.config.problems import Findings, KeyPath, closest, suggestion
from bff.config.shapes import Key, Shape, keys_of, shape_of
from bff.config.spelling import Checked, MayBeEmpty, OneOrMore, OrWord, SpellingError, Spelt
from bff.config.values.secrets import SHORTEST_LITERAL, EnvSecret, FileSecret, LiteralSecret, Secret
from bff.config.values.units import parse_count
from bff.config.values.words import boolean, word
from bff.config.variables import substitute
from bff.config.yaml_tree import MappingNode, Node, ScalarNode, SequenceNode

M = TypeVar("M", bound=BaseModel)
_UNSEEN = frozenset({"Cc", "Cs", "Zl", "Zp"})  # control characters, lone surrogates, line and paragraph separators
_REFERENCE = "write {file: PATH} or {env: NAME}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads one file. `folder` is where relative paths start, `env` where variables come from."""

    folder: Path
    env: Mapping[str, str]
    findings: Findings

    def section(self, model: type[M], node: Node, path: KeyPath) -> M:
        """The section at `path`; what is wrong with it goes to the findings."""
        keys = keys_of(model)
        if not isinstance(node, MappingNode):
            self.findings.report(path, "is not a section: write its keys below it, as `key: value`")
            self.findings.spoil(*((*path, key) for key in keys))
            return _with_gaps(model, {})
        values: dict[str, object] = {}
        given: dict[str, str] = {}
        for key, value_node in node.entries.items():
            if key not in keys:
                self._report_unknown(key, path, known=keys)
            elif keys[key].name in given:
                self.findings.report_key((*path, key), f"says the same as {given[keys[key].name]}: keep one of them")
            else:
                given[keys[key].name] = key
                self._read_into(values, keys[key], value_node, (*path, key))
        self._report_missing(keys, given, path)
        return self._finish(model, values, path)

    def _report_unknown(self, key: str, path: KeyPath, *, known: Collection[str]) -> None:
        begun, colon, _ = key.partition(":")
        lacks_space = bool(colon) and begun in known
        advice = f"; write `{begun}: VALUE`, with a space behind the colon" if lacks_space else suggestion(key, known)
        self.findings.report_key((*path, key), f"is not a key that is known here{advice}")
        meant = begun if lacks_space else closest(key, known)
        if meant is not None:  # no second problem for the key that was meant: one mistake is reported once
            self.findings.spoil((*path, meant))

    def _report_missing(self, keys: Mapping[str, Key], given: Container[str], path: KeyPath) -> None:
        missing = {key.name: spelling for spelling, key in keys.items() if key.required and key.name not in given}
        for name, spelling in missing.items():  # the last spelling of a name is the short one
            if self.findings.sound((*path, name), (*path, spelling)):
                self.findings.report((*path, spelling), "is missing, and has no default")

    def _read_into(self, values: dict[str, object], key: Key, node: Node, path: KeyPath) -> None:
        try:
            value = self._value(key.shape, node, path)
        except SpellingError as error:
            self.findings.report(path, str(error))
        else:
            values[key.name] = (value,) if key.single else value

    def _finish(self, model: type[M], values: dict[str, object], path: KeyPath) -> M:
        if not self.findings.sound(path):
            return _with_gaps(model, values)
        try:
            return model.model_validate(values)
        except ValidationError as error:
            details = error.errors(include_input=False, include_url=False, include_context=False)
            for detail in details:
                self.findings.report((*path, *detail["loc"]), detail["msg"])
            refused = {detail["loc"][0] for detail in details if detail["loc"]}
            return _with_gaps(model, {name: value for name, value in values.items() if name not in refused})

    def _value(self, shape: Shape, node: Node, path: KeyPath) -> object:
        for mark in shape.marks:
            if isinstance(mark, OrWord) and self._is_word(node, mark.word):
                return mark.value
        value = self._unjudged(shape, node, path)
        for mark in shape.marks:
            if isinstance(mark, Checked) and self.findings.sound(path):
                mark.judge(value)
        return value

    def _is_word(self, node: Node, word: str) -> bool:
        return isinstance(node, ScalarNode) and not node.null and substitute(node.text, self.env) == word

    def _unjudged(self, shape: Shape, node: Node, path: KeyPath) -> object:
        kind = get_origin(shape.kind) or shape.kind
        if kind is tuple:
            item = shape_of(get_args(shape.kind)[0])
            if OneOrMore() in shape.marks and isinstance(node, ScalarNode):
                return (self._value(item, node, path),)
            return self._list(item, node, path)
        if kind is dict:
            names, item = (shape_of(argument) for argument in get_args(shape.kind))
            return self._table(names, item, node, path)
        if kind is Secret:
            return self._secret(node)
        if kind is Path:
            return self.folder / self._text(node)
        parse = _parser(shape)
        if parse is not None:
            return parse(self._text(node, may_be_empty=MayBeEmpty() in shape.marks))
        return self.section(kind, node, path)

    def _list(self, item: Shape, node: Node, path: KeyPath) -> tuple[object, ...]:
        if not isinstance(node, SequenceNode):
            raise SpellingError("is not a list: write [A, B], or one `- A` a line")
        found: dict[str, object] = {}
        for index, item_node in enumerate(node.items):
            self._read_into(found, Key(name=str(index), shape=item), item_node, (*path, index))
        return tuple(found.values())

    def _table(self, names: Shape, item: Shape, node: Node, path: KeyPath) -> dict[str, object]:
        if not isinstance(node, MappingNode):
            raise SpellingError("is not a section: write `name: ...` below it")
        found: dict[str, object] = {}
        for name, value_node in node.entries.items():
            try:
                (_parser(names) or str)(name)
            except SpellingError as error:
                self.findings.report_key((*path, name), str(error))
            self._read_into(found, Key(name=name, shape=item), value_node, (*path, name))
        return found

    def _secret(self, node: Node) -> Secret:
        if isinstance(node, ScalarNode):
            literal = self._text(node)
            if len(literal) < SHORTEST_LITERAL:
                raise SpellingError(f"is a literal secret of fewer than {SHORTEST_LITERAL} characters: {_REFERENCE}")
            return LiteralSecret(value=literal)
        entries = node.entries if isinstance(node, MappingNode) else {}
        if entries.keys() == {"file"}:
            return FileSecret(path=self.folder / self._text(entries["file"]))
        if entries.keys() == {"env"}:
            return EnvSecret(name=self._text(entries["env"]), environment=None if self.env is os.environ else self.env)
        raise SpellingError(f"is no secret reference: {_REFERENCE}")

    def _text(self, node: Node, *, may_be_empty: bool = False) -> str:
        if not isinstance(node, ScalarNode):
            raise SpellingError("is one value, not a list or a section")
        if node.null:
            raise SpellingError("has no value: give it one, or remove the key")
        text = substitute(node.text, self.env)
        if not text and not may_be_empty:
            raise SpellingError("is empty: give it a value, or remove the key")
        if text != text.strip() or any(category(character) in _UNSEEN for character in text):
            raise SpellingError("has spaces round it, a line break or a control character")
        return text


def _parser(shape: Shape) -> Callable[[str], object] | None:
    """What makes the value out of its text; None: the value is no text."""
    for mark in shape.marks:
        if isinstance(mark, Spelt):
            return mark.parse
    if get_origin(shape.kind) is Literal:
        return partial(word, known=get_args(shape.kind))
    if isinstance(shape.kind, type) and issubclass(shape.kind, StrEnum):
        enumeration = shape.kind
        return lambda text: enumeration(word(text, known=enumeration))
    return _PARSERS.get(shape.kind)


_PARSERS: dict[object, Callable[[str], object]] = {str: str, bool: boolean, int: parse_count}


def _with_gaps(model: type[M], values: Mapping[str, object]) -> M:
    """A section with something wrong in it: never validated, never used but by the checks."""
    required = (key for key in keys_of(model).values() if key.required and key.name not in values)
    gaps = {key.name: _empty(key.shape.kind) for key in required if not key.single}
    return model.model_construct(_fields_set=set(values), **gaps, **values)


def _empty(kind: Any) -> object:
    """An empty text, list or section. A parsed value has no empty form: None, which no check looks at."""
    kind = get_origin(kind) or kind
    return kind() if kind in {str, tuple, dict} else None
