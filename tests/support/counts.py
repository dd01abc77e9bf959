"""What the metrics counted while something ran."""

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import REGISTRY

Counts = dict[tuple[str, ...], float]


@contextmanager
def counted() -> Iterator[Counts]:
    """Filled at the end of the block with what was added to each counter, by its name and the values of its labels."""
    before, difference = _counts(), Counts()
    yield difference
    for name, value in _counts().items():
        if value != before.get(name, 0.0):
            difference[name] = value - before.get(name, 0.0)


def _counts() -> Counts:
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in REGISTRY.collect()
        for sample in family.samples
        if sample.name.startswith("bff_") and sample.name.endswith(("_total", "_count"))
    }
