"""Errors of every class, with facts of a test's choice."""

import inspect
from collections.abc import Mapping


def sample_error(kind: type[Exception], facts: Mapping[str, object], *, otherwise: object) -> Exception:
    """An error of this class: each of its keyword arguments is the one of `facts`, or `otherwise`."""
    parameters = inspect.signature(kind.__init__).parameters.values()
    named = {p.name: facts.get(p.name, otherwise) for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    return kind("What to do.", **named)
