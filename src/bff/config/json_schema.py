"""The file's JSON Schema (2020-12), made from the models and the marks that `reader.py` reads by.

It knows shapes: keys, sections, lists, words, durations, sizes, numbers. What only a parser or several keys can judge is left to
`bff check`. A text may be a number or a boolean too, which the file takes as it is written, and any value may hold a `${VARIABLE}`.
"""

import inspect
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from bff.config.model import Config
from bff.config.shapes import Shape, keys_of, shape_of
from bff.config.spelling import Checked, MayBeEmpty, OneOrMore, OrWord, Spelt, not_empty
from bff.config.values import units, words
from bff.config.values.secrets import Secret

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VARIABLE: Schema = {"type": "string", "pattern": r"\$\{"}
_NUMBER_OR_BOOLEAN: Schema = {"type": ["number", "boolean"]}


def json_schema() -> Schema:
    """The schema of the whole file."""
    sections: dict[str, Schema] = {}
    top = _section(Config, sections)
    return {"$schema": DIALECT, "title": "bff.yaml", **top, "$defs": sections}


def _section(model: type[BaseModel], sections: dict[str, Schema]) -> Schema:
    keys = keys_of(model)
    # A required list that one key may stand for has no spelling of its own that is required.
    short = {key.name for key in keys.values() if key.single}
    return {
        "type": "object",
        "description": inspect.cleandoc(model.__doc__ or ""),
        "properties": {written: _value(key.shape, sections) for written, key in keys.items()},
        "required": [written for written, key in keys.items() if key.required and key.name not in short],
        "additionalProperties": False,
    }


def _value(shape: Shape, sections: dict[str, Schema]) -> Schema:
    """A value, and the word that may stand in its place."""
    plain = _plain(shape, sections)
    choices = [{"const": mark.word} for mark in shape.marks if isinstance(mark, OrWord)]
    return {"anyOf": [plain, *choices]} if choices else plain


def _plain(shape: Shape, sections: dict[str, Schema]) -> Schema:
    kind = get_origin(shape.kind) or shape.kind
    filled = any(isinstance(mark, Checked) and mark.judge is not_empty for mark in shape.marks)
    if kind is tuple:
        item = _value(shape_of(get_args(shape.kind)[0]), sections)
        many: Schema = {"type": "array", "items": item, "minItems": int(filled)}
        return {"anyOf": [many, item]} if OneOrMore() in shape.marks else many
    if kind is dict:
        item = _value(shape_of(get_args(shape.kind)[1]), sections)
        return {"type": "object", "additionalProperties": item, "minProperties": int(filled)}
    if kind is Secret:
        return _secret()
    if inspect.isclass(kind) and issubclass(kind, BaseModel) and not _is_text(shape):
        if kind.__name__ not in sections:
            sections[kind.__name__] = {}  # a section in itself ends here
            sections[kind.__name__] = _section(kind, sections)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    return _scalar(shape)


def _is_text(shape: Shape) -> bool:
    return any(isinstance(mark, Spelt) for mark in shape.marks)


def _scalar(shape: Shape) -> Schema:
    """One value in one line."""
    parse = next((mark.parse for mark in shape.marks if isinstance(mark, Spelt)), None)
    if parse is units.parse_duration:
        return _either({"type": "string", "pattern": _quantity(units.MILLISECONDS)})
    if parse is units.parse_size:
        return _either({"type": "string", "pattern": _quantity(units.BYTES)})
    if parse is words.method:
        return _either({"enum": [str(word) for word in words.METHODS]})
    if get_origin(shape.kind) is Literal:
        return _either({"enum": list(get_args(shape.kind))})
    if inspect.isclass(shape.kind) and issubclass(shape.kind, StrEnum):
        return _either({"enum": [str(word) for word in shape.kind]})
    if parse is None and shape.kind is bool:
        return _either({"enum": [True, False, "true", "false", "True", "False", "TRUE", "FALSE"]})
    if parse is None and shape.kind is int:
        whole = {"type": "integer", "minimum": 0, "maximum": 999_999_999}
        return _either(whole, {"type": "string", "pattern": "^[0-9]{1,9}$"})
    if shape.kind is Path:
        return {"type": "string", "minLength": 1}
    shortest = 0 if MayBeEmpty() in shape.marks else 1
    return {"anyOf": [{"type": "string", "minLength": shortest}, _NUMBER_OR_BOOLEAN]}


def _either(*schemas: Schema) -> Schema:
    return {"anyOf": [*schemas, _VARIABLE]}


def _quantity(known: dict[str, int]) -> str:
    return f"^[0-9]{{1,9}}({'|'.join(known)})$"


def _secret() -> Schema:
    references: list[Schema] = [
        {
            "type": "object",
            "properties": {name: {"type": "string", "minLength": 1}},
            "required": [name],
            "additionalProperties": False,
        }
        for name in ("file", "env")
    ]
    return {"anyOf": [{"type": "string", "minLength": 1}, _NUMBER_OR_BOOLEAN, *references]}
