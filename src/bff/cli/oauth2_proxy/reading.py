"""From a file to settings: TOML, a command line, variables, a list of arguments in Compose or Kubernetes YAML, structured YAML.

The kind is seen from the content: TOML if it parses as TOML, YAML if it parses to more than one text, else words of a shell.
"""

import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from bff.cli.oauth2_proxy import alpha
from bff.cli.oauth2_proxy.settings import Settings, Unreadable
from bff.cli.oauth2_proxy.twins import canonical, is_switch

PREFIX = "OAUTH2_PROXY_"
Pair = tuple[str, str]


def read(text: str) -> Settings:
    """The settings of a file.

    Raises:
        Unreadable: nothing in it is a setting of oauth2-proxy.
    """
    for reading in (_toml, _yaml, _shell):
        settings = reading(text)
        if settings is not None:
            return settings
    raise Unreadable("holds no flag, variable or key of oauth2-proxy")


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
    structured = next((it for it in inner if it.upstreams is not None), None)
    if structured is None:
        return Settings(values=values)
    return Settings(values=values, upstreams=structured.upstreams, claims=structured.claims, remarks=structured.remarks)


def _containers(node: object) -> Iterator[dict[str, Any]]:
    """The services or containers that run its image: others in the file have arguments of their own."""
    inner: Iterable[object] = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    if isinstance(node, dict) and isinstance(node.get("image"), str) and _is_program(node["image"]):
        yield node
        return
    for each in inner:
        yield from _containers(each)


def _in_document(node: object) -> Iterator[Pair | Settings]:
    """Arguments, variables and files in files, wherever they stand in a YAML document."""
    if isinstance(node, list):
        if any(isinstance(item, str) and item.startswith("--") for item in node):
            yield from _of_arguments([str(item) for item in node])
            return
        for item in node:
            yield from _in_document(item)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key in {"env", "environment"}:
            yield from _of_environment(value)
        elif key == "command" and isinstance(value, str) and "--" in value:
            yield from _of_arguments(_words(value))
        elif key == "extraArgs" and isinstance(value, dict):
            yield from _of_mapping(value)
        elif isinstance(value, str) and str(key).endswith((".cfg", ".toml", ".yaml", ".yml", "configFile")):
            yield from _of_file(value)
        elif key == "config" and isinstance(value, dict):
            yield from _of_chart(value)
            yield from _in_document({name: it for name, it in value.items() if name == "configFile"})
        elif str(key).startswith(PREFIX) and isinstance(value, str | bool | int):
            yield str(key).removeprefix(PREFIX), _text(value)
        else:
            yield from _in_document(value)


def _of_chart(values: Mapping[str, Any]) -> Iterator[Pair]:
    """`config:` of the Helm chart."""
    names = {"clientID": "client-id", "clientSecret": "client-secret", "cookieSecret": "cookie-secret"}
    for key, name in names.items():
        if values.get(key):
            yield name, str(values[key])


def _of_file(text: str) -> Iterator[Settings]:
    for reading in (_toml, _yaml):
        settings = reading(text)
        if settings is not None:
            yield settings
            return


def _of_environment(node: object) -> Iterator[Pair]:
    """Compose has a mapping or a list of NAME=VALUE, Kubernetes a list of {name, value} and {name, valueFrom}."""
    if isinstance(node, dict):
        yield from _of_mapping({key: value for key, value in node.items() if str(key).startswith(PREFIX)})
        return
    for item in node if isinstance(node, list) else []:
        if isinstance(item, str):
            yield from _variable(item)
        elif isinstance(item, dict) and str(item.get("name", "")).startswith(PREFIX):
            name = str(item["name"])
            yield name.removeprefix(PREFIX), str(item["value"]) if "value" in item else f"${{{name}}}"


def _variable(text: str) -> Iterator[Pair]:
    name, found, value = text.partition("=")
    if found and name.startswith(PREFIX):
        yield name.removeprefix(PREFIX), value


def _shell(text: str) -> Settings | None:
    pairs = list(_of_arguments(_words(text)))
    return Settings(values=gathered(pairs)) if pairs else None


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text.replace("\\\r\n", " "), comments=True)
    except ValueError:  # a quote that is not closed
        return text.split()


def _of_arguments(words: Sequence[str]) -> Iterator[Pair]:
    """Flags after the program or image, as `--name=value`, `--name value` or a switch; variables everywhere."""
    programs = [at for at, word in enumerate(words) if _is_program(word)]
    start = programs[-1] + 1 if programs else 0
    for word in words:
        yield from _variable(word.removeprefix("--env=").removeprefix("-e"))
    rest = list(words[start:])
    while rest:
        word = rest.pop(0)
        if not word.startswith("-") or not word.strip("-"):
            continue
        name, found, value = word.lstrip("-").partition("=")
        if not found and not is_switch(name) and rest and not rest[0].startswith("-"):
            value = rest.pop(0)
        elif not found:
            value = "true"
        yield name, value


def _is_program(word: str) -> bool:
    """`oauth2-proxy`, a path to it, or an image of it."""
    name = word.rpartition("/")[2].partition(":")[0].partition("@")[0]
    return name in {"oauth2-proxy", "oauth2_proxy"} and not word.startswith("-")
