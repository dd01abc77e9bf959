"""The configuration as it is in force: every key with its value, defaults included, as YAML with `***` for secrets."""

import re
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel

from bff.config.model import Address, Config
from bff.config.shapes import Shape, keys_of, shape_of
from bff.config.spelling import OneOrMore, OrWord, Spelt
from bff.config.values import units
from bff.config.values.secrets import Secret

HIDDEN = "***"
# Fields for an upstream are literals in the file: one with such a name may be a key of the operator's.
_SECRET_FIELD = re.compile(r"auth|key|token|secret|password|cookie|credential", re.IGNORECASE)


def in_force(config: Config) -> str:
    """The YAML, in the order of the manual. A key without a value, or with an empty list, is left out."""
    return yaml.safe_dump(_section(config), sort_keys=False, allow_unicode=True, width=120)


def _section(section: BaseModel) -> dict[str, Any]:
    shown: dict[str, Any] = {}
    for written, key in keys_of(type(section)).items():
        value = getattr(section, key.name)
        given = value is not None and value not in ((), {})
        if not key.single and (given or _word_for(value, key.shape) is not None):
            shown[written] = _value(value, key.shape)
    return shown


def _word_for(value: object, shape: Shape) -> str | None:
    """The word that stands for this value, for example `off`."""
    return next((mark.word for mark in shape.marks if isinstance(mark, OrWord) and mark.value == value), None)


def _value(value: Any, shape: Shape) -> Any:
    word = _word_for(value, shape)
    if word is not None:
        return word
    kind = get_origin(shape.kind) or shape.kind
    if kind is Secret:
        return HIDDEN
    if kind is tuple:
        item = shape_of(get_args(shape.kind)[0])
        shown = [_value(element, item) for element in value]
        return shown[0] if len(shown) == 1 and OneOrMore() in shape.marks else shown
    if kind is dict:
        item = shape_of(get_args(shape.kind)[1])
        return {name: _entry(name, element, item) for name, element in value.items()}
    if isinstance(value, Address):
        host = f"[{value.host}]" if ":" in value.host else value.host
        return f"{host}:{value.port}"
    if isinstance(value, BaseModel):
        return _section(value)
    return _scalar(value, shape)


def _entry(name: str, value: Any, item: Shape) -> Any:
    return HIDDEN if is_hidden(name, value) else _value(value, item)


def is_hidden(name: str, value: object) -> bool:
    """Whether a field's value is the same for all requests and may be a secret, by its name."""
    fixed = getattr(value, "names_user", None) is False
    return fixed and _SECRET_FIELD.search(name) is not None


def _scalar(value: Any, shape: Shape) -> Any:
    parse = next((mark.parse for mark in shape.marks if isinstance(mark, Spelt)), None)
    if parse is units.parse_duration:
        return units.spell(round(value * 1000), units.MILLISECONDS)
    if parse is units.parse_size:
        return units.spell(value, units.BYTES)
    return value if isinstance(value, bool | int) else str(value)
