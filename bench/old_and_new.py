"""The gateway of `--against` next to today's: every figure that should fall, as old over new."""

import statistics
from collections.abc import Iterator

from bench.scenarios import Figures, Results
from bench.variants import OLD_GATEWAY

NEW_GATEWAY = "bff"
SMALLER_IS_BETTER = {
    "cpu_ms": "CPU ms",
    "p99_ms": "p99 ms",
    "kib_each": "KiB each",
    "instructions": "instructions, one session",
    "in_turn_instructions": "instructions, sessions in turn",
    "message_instructions": "instructions, WebSocket message and echo",
}


def render(results: Results) -> list[str]:
    """A table of the figures that both have; empty when there is no old one. A ratio above 1 means that today's is better."""
    rows = list(_rows(results))
    if not rows:
        return []
    head = "| scenario | figure | old | new | old / new | least and most in a round |"
    return ["", "### Old against new", "", head, "| -- | -- | -- | -- | -- | -- |", *rows]


def _rows(results: Results) -> Iterator[str]:
    for scenario, row in results.items():
        for figure, words in SMALLER_IS_BETTER.items():
            pairs = _pairs(row, figure)
            if not pairs:
                continue
            ratios = [old / new for old, new in pairs]
            old, new = (statistics.median(values) for values in zip(*pairs, strict=True))
            middle, span = statistics.median(ratios), f"{min(ratios):.2f} - {max(ratios):.2f}"
            yield f"| {scenario} | {words} | {_short(old)} | {_short(new)} | {middle:.2f} | {span} |"


def _pairs(row: dict[str, list[Figures]], figure: str) -> list[tuple[float, float]]:
    """Old and new of the same round, which saw the same machine."""
    both = zip(row.get(OLD_GATEWAY, []), row.get(NEW_GATEWAY, []), strict=False)
    values = [(old.get(figure), new.get(figure)) for old, new in both]
    return [
        (old, new) for old, new in values if isinstance(old, int | float) and isinstance(new, int | float) and new > 0
    ]


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
