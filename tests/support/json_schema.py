"""JSON Schema 2020-12 as far as `bff schema` uses it, so that tests need no library for it; another word is an error."""

import re
from typing import Any

_ANNOTATIONS = {"$schema", "$defs", "title", "description"}
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "number": (int, float),
    "integer": (int,),
}


def accepts(schema: dict[str, Any], value: Any, *, root: dict[str, Any], whole: bool = True) -> bool:
    """Whether `value` is valid; with `whole=False` keys may be missing at the top of it, as in a fragment of a file."""
    return all(_holds(word, schema, value, root, whole=whole) for word in schema if word not in _ANNOTATIONS)


def _holds(word: str, schema: dict[str, Any], value: Any, root: dict[str, Any], *, whole: bool) -> bool:
    said = schema[word]
    match word:
        case "$ref":
            return accepts(root["$defs"][said.removeprefix("#/$defs/")], value, root=root)
        case "type":
            return any(_is(value, kind) for kind in ([said] if isinstance(said, str) else said))
        case "anyOf":
            return any(accepts(choice, value, root=root) for choice in said)
        case "const":
            return _same(value, said)
        case "enum":
            return any(_same(value, known) for known in said)
        case "required":
            return not whole or not isinstance(value, dict) or set(said) <= value.keys()
        case "properties":
            items = value.items() if isinstance(value, dict) else ()
            return all(accepts(said[name], item, root=root) for name, item in items if name in said)
        case "additionalProperties":
            items = value.items() if isinstance(value, dict) else ()
            others = [item for name, item in items if name not in schema.get("properties", {})]
            return not others if said is False else all(accepts(said, item, root=root) for item in others)
        case "items":
            return not isinstance(value, list) or all(accepts(said, item, root=root) for item in value)
        case "pattern":
            return not isinstance(value, str) or re.search(said, value) is not None
    return _within(word, said, value)


def _within(word: str, said: int, value: Any) -> bool:
    match word:
        case "minLength":
            return not isinstance(value, str) or len(value) >= said
        case "minItems":
            return not isinstance(value, list) or len(value) >= said
        case "minProperties":
            return not isinstance(value, dict) or len(value) >= said
        case "minimum":
            return not _is(value, "number") or value >= said
        case "maximum":
            return not _is(value, "number") or value <= said
    raise AssertionError(f"the schema says {word}, which this does not know")


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _same(value: Any, known: Any) -> bool:
    return type(value) is type(known) and bool(value == known)
