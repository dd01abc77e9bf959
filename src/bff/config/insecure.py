"""Which of the switches that weaken security are on. Each is spelled `insecure_...`, so that it is found by its name."""

from collections.abc import Iterator

from pydantic import BaseModel

from bff.config.model import Config


def insecure_keys(config: Config) -> tuple[str, ...]:
    """The dotted names of those that are on, e.g. `providers.corp.insecure_public_client`."""
    return tuple(_found(config, ""))


def _found(value: object, path: str) -> Iterator[str]:
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            member = getattr(value, name)
            if name.startswith("insecure_"):
                yield from [f"{path}.{name}".lstrip(".")] if member else []
            else:
                yield from _found(member, f"{path}.{name}".lstrip("."))
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _found(member, f"{path}.{name}")
    elif isinstance(value, tuple):
        for index, member in enumerate(value):
            yield from _found(member, f"{path}[{index}]")
