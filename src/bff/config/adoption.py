"""What of a new configuration a running process can take on, and what only a restart applies.

    listen, management,
    forward_auth                the sockets are open, and shared by all workers
    session.store, .namespace   where sessions lie: another place is another set of sessions
    session.keys                with another store only: the sessions of the store in use are sealed under the keys in use

Everything else is taken on. Session keys that are equal stay the objects of the running configuration: a key that was made at start
(`memory://`) is kept with them.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import BaseModel

from bff.config.model import Address, Config
from bff.config.problems import KeyPath, dotted
from bff.config.shapes import keys_of

_LISTENERS = ("listen", "management", "forward_auth")
_PLACE_OF_SESSIONS = ("store", "namespace")
NEEDS_RESTART = (*_LISTENERS, *(f"session.{name}" for name in _PLACE_OF_SESSIONS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """The configuration to run with now. `changed` are the keys that differ and are applied, `needs_restart` those that are not."""

    config: Config
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


def adopt(new: Config, *, running: Config) -> Adoption:
    """`new` as far as a process that runs with `running` can take it on."""
    kept = {name: getattr(running, name) for name in _LISTENERS}
    config = new.model_copy(update={**kept, "session": _session(new, running)})
    return Adoption(config=config, changed=changed_keys(running, config), needs_restart=changed_keys(config, new))


def changed_keys(old: Config, new: Config) -> tuple[str, ...]:
    """The keys whose values differ, as they are written in problems: `routes[0].path`."""
    return tuple(dotted(path) for path in _changes((), old, new))


def _session(new: Config, running: Config) -> BaseModel:
    ours, theirs = running.session, new.session
    kept: dict[str, object] = {name: getattr(ours, name) for name in _PLACE_OF_SESSIONS}
    if ours.store != theirs.store or ours.keys == theirs.keys:
        kept["keys"] = ours.keys
    return theirs.model_copy(update=kept)


def _changes(path: KeyPath, old: object, new: object) -> Iterator[KeyPath]:
    if old == new:
        return
    parts = _parts(old, new)
    if parts is None:
        yield path
        return
    for name, before, after in parts:
        yield from _changes((*path, name), before, after)


_Part = tuple[str | int, object, object]
_ABSENT = object()


def _parts(old: object, new: object) -> Iterable[_Part] | None:
    """Both values taken apart, name by name; None: they are one value each."""
    if isinstance(old, BaseModel) and type(old) is type(new) and not isinstance(old, Address):
        keys = {written: key.name for written, key in keys_of(type(old)).items() if not key.single}
        return [(written, getattr(old, name), getattr(new, name)) for written, name in keys.items()]
    if isinstance(old, dict) and isinstance(new, dict):
        return [(name, old.get(name, _ABSENT), new.get(name, _ABSENT)) for name in {**old, **new}]
    if isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new) and isinstance(old[0], BaseModel):
        return [(index, *pair) for index, pair in enumerate(zip(old, new, strict=True))]
    return None
