"""The models taken apart: which keys a section may have, and what kind of value each has. Read by `reader.py`, `json_schema.py` and
`in_force.py`, so that the file, its schema and what is shown of it are one thing."""

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from bff.config.spelling import Singular, WrittenAs


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A type from the model, taken apart: what the value is, and the marks on it."""

    kind: Any  # a type, or a generic such as tuple[str, ...]: typing has no type for "type expression"
    marks: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One way to write the field `name`; `single`: one value that stands for a list of one."""

    name: str
    shape: Shape
    required: bool = False
    single: bool = False


@cache
def keys_of(model: type[BaseModel]) -> dict[str, Key]:
    """Every key that may be written in a section of this model, `client_secret` beside `client_secrets`."""
    keys: dict[str, Key] = {}
    hints = get_type_hints(model, include_extras=True)
    for name, field in model.model_fields.items():
        shape = shape_of(hints[name])
        written = next((mark.key for mark in shape.marks if isinstance(mark, WrittenAs)), name)
        keys[written] = Key(name=name, shape=shape, required=field.is_required())
        for mark in shape.marks:
            if isinstance(mark, Singular):
                item = shape_of(get_args(shape.kind)[0])
                keys[mark.key] = Key(name=name, shape=item, required=field.is_required(), single=True)
    return keys


def shape_of(kind: Any) -> Shape:
    """Marks and `| None` peeled off; inner marks come first."""
    if get_origin(kind) is Annotated:
        inner, *marks = get_args(kind)
        shape = shape_of(inner)
        return Shape(kind=shape.kind, marks=(*shape.marks, *marks))
    if type(None) in get_args(kind):
        (inner,) = (argument for argument in get_args(kind) if argument is not type(None))
        return shape_of(inner)
    return Shape(kind=kind)
