"""From a file to settings: TOML, a command line, variables, a list of arguments in Compose or Kubernetes YAML, structured YAML.

The kind is seen from the content: TOML if it parses as TOML, YAML if it parses to more than one text, else words of a shell.
"""

import re
import tomllib
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from bff.cli.oauth2_proxy import alpha, chart
from bff.cli.oauth2_proxy.command_line import (
    PREFIX,
    Pair,
    in_arguments,
    in_script,
    is_flag,
    is_program,
    variable,
    words,
)
from bff.cli.oauth2_proxy.settings import Settings, Unreadable
from bff.cli.oauth2_proxy.twins import canonical


def read(text: str) -> Settings:
    """The settings of a file.

    Raises:
        Unreadable: nothing in it is a setting of oauth2-proxy.
    """
    text = text.removeprefix("\ufeff")  # a byte order mark, as editors of Windows write it
    for reading in (_toml, _yaml, _shell):
        settings = reading(text)
        if settings is not None:
            return settings
    raise Unreadable(f"holds no flag, variable or key of oauth2-proxy{_flaw_of_toml(text)}")


def _flaw_of_toml(text: str) -> str:
    """Where a text stops being TOML, if it begins as such. The error's text is not repeated: it may hold what was read."""
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line \d+|at end of document", str(error))
        is_meant = re.search(r"^\s*\w+\s*=", text, re.MULTILINE)
        return f"; if it is to be TOML, it is wrong {place[0]}" if place and is_meant else ""
    return ""


def gathered(pairs: Iterable[Pair]) -> dict[str, tuple[str, ...]]:
    """Settings by the names of their flags; equal names are lists."""
    values: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        known = canonical(name)
        values[known] = (*values.get(known, ()), value)
    return values


def _toml(text: str) -> Settings | None:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    pairs = list(_of_mapping(values))
    return Settings(values=gathered(pairs)) if pairs else None


def _of_mapping(values: Mapping[str, Any]) -> Iterator[Pair]:
    """Keys with underscores, as in the TOML file and in variables."""
    for key, value in values.items():
        name = str(key).removeprefix(PREFIX)
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, dict | list) and each is not None:
                yield name, _text(each)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _yaml(text: str) -> Settings | None:
    try:
        documents = [document for document in yaml.safe_load_all(text) if isinstance(document, dict | list)]
    except yaml.YAMLError:
        return None
    for document in documents:
        if isinstance(document, dict) and alpha.is_structured(document):
            return alpha.settings(document)
    own = [container for document in documents for container in _containers(document)]
    found = [item for node in own or documents for item in _in_document(node)]
    if own:
        found += [item for document in documents for item in _in_document(document) if isinstance(item, Settings)]
    if not found:
        return None
    inner = [item for item in found if isinstance(item, Settings)]
    values = gathered(item for item in found if isinstance(item, tuple))
    for settings in inner:
        values = {**settings.values, **values}  # flags win over the file (its documentation)
    return Settings(
        values=values,
        upstreams=next((it.upstreams for it in inner if it.upstreams is not None), None),
        claims={field: claim for it in inner for field, claim in it.claims.items()},
        remarks=tuple(dict.fromkeys(remark for it in inner for remark in it.remarks)),
    )


def _containers(node: object) -> Iterator[dict[str, Any]]:
    """The services or containers that run its image: others in the file have arguments of their own."""
    inner: Iterable[object] = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and isinstance(node.get("image"), str) and is_program(node["image"]):
        yield node
        return
    for each in inner:
        yield from _containers(each)


def _in_document(node: object) -> Iterator[Pair | Settings]:
    """Arguments, variables and files in files, wherever they stand in a YAML document."""
    if isinstance(node, list):
        yield from _in_list(node)
    elif isinstance(node, dict) and str(node.get("name", "")).startswith(PREFIX):
        yield from _of_environment([node])
    elif isinstance(node, dict) and alpha.is_structured(node):  # `alphaConfig.configData` of the Helm chart
        yield alpha.settings(node)
    elif isinstance(node, dict):
        for key, value in _readable(node).items():
            yield from _in_entry(str(key), value)


def _in_list(node: list[Any]) -> Iterator[Pair | Settings]:
    texts = [str(item) for item in node]
    script = next(filter(_is_script, texts), None)
    if script is not None:
        yield from in_script(script)
    elif any(isinstance(item, str) and is_flag(item) for item in node):
        yield from in_arguments(texts)
    else:
        for item in node:
            yield from _in_document(item)


def _is_script(text: str) -> bool:
    """Whether one argument is a whole command: `sh -c "exec oauth2-proxy ..."`."""
    spoken = words(text)
    return len(spoken) > 1 and any(map(is_program, spoken)) and not text.startswith("-")


def _in_entry(key: str, value: object) -> Iterator[Pair | Settings]:
    if key in {"env", "environment"}:
        yield from _of_environment(value)
    elif key in {"env_file", "envFrom"} and value:
        yield Settings(remarks=(f"{key}: variables that stand elsewhere are not read: they may restrict who comes in",))
    elif key == "command" and isinstance(value, str) and any(map(is_flag, words(value))):
        yield from in_script(value)
    elif key == "extraArgs" and isinstance(value, dict):
        yield from _of_mapping(value)
    elif isinstance(value, str) and key.endswith((".cfg", ".toml", ".yaml", ".yml", "configFile")):
        yield from _of_file(value)
    elif key.startswith(PREFIX) and isinstance(value, str | bool | int):
        yield key.removeprefix(PREFIX), _text(value)
    else:
        if isinstance(value, dict) and key in chart.SECTIONS:
            yield from chart.SECTIONS[key](value)
        yield from _in_document(value)


def _readable(node: Mapping[Any, Any]) -> dict[Any, Any]:
    """A Kubernetes Secret with its `data` as text."""
    data = node.get("data")
    if node.get("kind") != "Secret" or not isinstance(data, dict):
        return dict(node)
    return {**node, "data": {key: _of_base64(str(value)) for key, value in data.items()}}


def _of_base64(value: str) -> str:
    try:
        return b64decode(value).decode("utf-8", "replace").strip()
    except ValueError:
        return ""


def _of_file(text: str) -> Iterator[Settings]:
    for reading in (_toml, _yaml):
        settings = reading(text)
        if settings is not None:
            yield settings
            return


def _of_environment(node: object) -> Iterator[Pair]:
    """Compose has a mapping or a list of NAME=VALUE, Kubernetes a list of {name, value} and {name, valueFrom}."""
    named = node.items() if isinstance(node, dict) else ()
    for key, value in named:
        yield from variable(str(key) if value is None else f"{key}={_text(value)}")
    for item in node if isinstance(node, list) else []:
        if isinstance(item, str):
            yield from variable(item)
        elif isinstance(item, dict):
            name = str(item.get("name", ""))
            yield from variable(f"{name}={_text(item['value'])}" if "value" in item else name)


def _shell(text: str) -> Settings | None:
    pairs = in_script(text)
    return Settings(values=gathered(pairs)) if pairs else None
