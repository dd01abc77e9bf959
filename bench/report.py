"""The markdown that goes into `docs/performance.md`, with every figure next to its ratios."""

from pathlib import Path

from bench import goals, old_and_new
from bench.scenarios import Figures, Results, Scenario, median
from bench.variants import Variant

COLUMNS = {
    "rps": ("req/s", ",.0f"),
    "cpu_ms": ("CPU ms / request", ".4f"),
    "p50_ms": ("p50 ms", ".2f"),
    "p99_ms": ("p99 ms", ".2f"),
    "calm_p99_ms": ("p99 without refresh", ".2f"),
    "alone_p99_ms": ("p99 alone, ms", ".2f"),
    "uploads_p99_ms": ("beside uploads", ".2f"),
    "streams_p99_ms": ("beside streams", ".2f"),
    "websockets_p99_ms": ("beside WebSockets", ".2f"),
    "added_ms": ("most added, ms", ".2f"),
    "max_ms": ("max ms", ".1f"),
    "peak_mib": ("peak MiB", ",.0f"),
    "idle_mib": ("idle MiB", ",.0f"),
    "kib_each": ("KiB each", ".1f"),
    "down_mib": ("MiB over idle, down", ",.1f"),
    "up_mib": ("MiB over idle, up", ",.1f"),
    "calls": ("token calls", ".0f"),
    "expiries": ("renewals", ".0f"),
    "failed": ("answers that were not 200", ".0f"),
    "lost": ("requests without an answer", ".0f"),
    "instructions": ("one session", ",.0f"),
    "in_turn_instructions": ("500 sessions in turn", ",.0f"),
    "message_instructions": ("message and its echo", ",.0f"),
    "note": ("", ""),
}
YARDSTICKS = {
    "nginx": "× nginx",
    "envoy": "× Envoy",
    "apache": "× mod_auth_openidc",
    "oauth2_proxy": "× oauth2-proxy",
    "first_written": "× first written",
}


def render(results: Results, *, scenarios: list[Scenario], variants: list[Variant], facts: dict[str, str]) -> str:
    """The whole report."""
    figures = {name: {who: median(rounds) for who, rounds in row.items()} for name, row in results.items()}
    parts = [f"- {name}: {value}" for name, value in facts.items()]
    for scenario in scenarios:
        row = figures[scenario.name]
        shown = {variant.title: row[variant.name] for variant in variants if row.get(variant.name)}
        parts += ["", f"### {scenario.title}", "", *_table(shown, row)]
    return "\n".join([*parts, *old_and_new.render(results), *goals.render(figures)])


def write_into(page: Path, tables: str) -> None:
    """Replace what stands below the page's line of figures."""
    above, mark, below = page.read_text().partition("<!-- figures")
    rest_of_line = below.partition("\n")[0]
    page.write_text(f"{above}{mark}{rest_of_line}\n\n{tables}\n")


def _table(rows: dict[str, Figures], by_name: dict[str, Figures]) -> list[str]:
    columns = [name for name in COLUMNS if any(name in row for row in rows.values())]
    yards = {who: by_name[who]["cpu_ms"] for who in YARDSTICKS if "cpu_ms" in by_name.get(who, {})}
    heads = ["who"]
    for name in columns:
        heads += [COLUMNS[name][0], *(YARDSTICKS[who] for who in yards if name == "cpu_ms")]
    lines = [_line(heads), _line(["--"] * len(heads))]
    for title, row in rows.items():
        cells = [title]
        for name in columns:
            cells += [_cell(row, name), *(_ratio(row, yard) for yard in yards.values() if name == "cpu_ms")]
        lines.append(_line(cells))
    return lines


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(row: Figures, name: str) -> str:
    value = row.get(name, "")
    return value if isinstance(value, str) else format(value, COLUMNS[name][1])


def _ratio(row: Figures, yard: float | str) -> str:
    value = row.get("cpu_ms")
    if isinstance(value, str) or isinstance(yard, str) or value is None:
        return ""
    return f"{value / yard:.3g}"
