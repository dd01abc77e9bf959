"""Which content coding a browser prefers among those that lie beside a file (RFC 9110 section 12.5.3)."""

import re
from collections.abc import Iterable
from functools import lru_cache

SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}  # by preference, where the browser has none
IDENTITY = "identity"

_ALIASES = {"x-gzip": "gzip"}  # "A recipient SHOULD consider "x-gzip" to be equivalent to "gzip"", section 8.4.1.3
_QVALUE = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")  # section 12.4.2
_MAX_FIELD = 1024  # bytes; a longer field is no browser's, and all of it would be read


def preferred(accept_encoding: bytes | None) -> tuple[str, ...]:
    """The codings that may be sent, best first; `identity` ends the list, and is always in it.

    "If the representation has no content coding, then it is acceptable by default"; and where nothing else is acceptable it is
    what the origin "SHOULD send", even if it is refused too.
    """
    return () if accept_encoding is None else _ranked(accept_encoding)


@lru_cache(maxsize=64)
def _ranked(field: bytes) -> tuple[str, ...]:
    weights = _weights(field.decode("latin-1").lower()) if len(field) <= _MAX_FIELD else {}
    others = weights.get("*", 0.0)
    identity = weights.get(IDENTITY, 0.0)
    offered = {name: weights.get(name, others) for name in SUFFIXES}
    return tuple(sorted((n for n, q in offered.items() if q > 0 and q >= identity), key=lambda n: -offered[n]))


def _weights(field: str) -> dict[str, float]:
    weights: dict[str, float] = {}
    for item in field.split(","):
        name, *parameters = (part.strip() for part in item.split(";"))
        weights[_ALIASES.get(name, name)] = _weight(parameters)
    return weights


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "q":
            return float(value) if _QVALUE.fullmatch(value.strip()) else 0.0
    return 1.0
