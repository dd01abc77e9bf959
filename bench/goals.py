"""What the project promises about speed, next to what was measured. It judges nothing: a benchmark is not a timed test."""

from dataclasses import dataclass

from bench.scenarios import Figures
from bench.variants import OLD_GATEWAY

QUIET_NGINX_MS = 0.02  # CPU of nginx for 1 KB on a machine without loud neighbours, which slow bff down more than nginx


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """`figure` of a variant, at most `at_most` (times `of` of `against`, when there is one)."""

    scenario: str
    figure: str
    at_most: float
    against: str | None = None
    variant: str = "bff"
    of: str | None = None  # another figure; left out: the same one
    on_quiet: bool | None = None  # holds on a quiet machine only (True), on a loud one only (False), on both (None)

    def words(self) -> str:
        """The promise."""
        where = {None: "", True: " (quiet machine)", False: " (loud machine)"}[self.on_quiet]
        bound = f"{self.scenario}: {self.variant} {self.figure} at most {_short(self.at_most)}"
        if self.against is None:
            return bound + where
        return f"{bound} × {self.against} {self.of or self.figure}{where}"

    def measured(self, figures: dict[str, dict[str, Figures]]) -> float | None:
        """The value that `at_most` bounds; None where something was left out. `figures`: scenario -> variant -> medians."""
        row = figures.get(self.scenario, {})
        value = row.get(self.variant, {}).get(self.figure)
        unit = 1.0 if self.against is None else row.get(self.against, {}).get(self.of or self.figure)
        if not isinstance(value, int | float) or not isinstance(unit, int | float) or not unit:
            return None
        if self.on_quiet is not None and self.on_quiet != _is_quiet(row):
            return None
        return value / unit


def _is_quiet(row: dict[str, Figures]) -> bool:
    cpu_ms = row.get("nginx", {}).get("cpu_ms")
    return isinstance(cpu_ms, int | float) and cpu_ms <= QUIET_NGINX_MS


GOALS = (
    Goal(scenario="1k", figure="cpu_ms", at_most=0.5, against=OLD_GATEWAY),
    Goal(scenario="sessions", figure="cpu_ms", at_most=0.5, against=OLD_GATEWAY),
    Goal(scenario="instructions", figure="instructions", at_most=200_000),
    Goal(scenario="1k", figure="cpu_ms", at_most=2.0, against="nginx", on_quiet=True),
    Goal(scenario="1k", figure="cpu_ms", at_most=3.0, against="nginx", on_quiet=False),
    Goal(scenario="1k", figure="cpu_ms", at_most=0.5, against="envoy"),
    Goal(scenario="1k", figure="cpu_ms", at_most=0.22, against="oauth2_proxy"),
    Goal(scenario="1k", figure="cpu_ms", at_most=0.12, against="apache"),
    Goal(scenario="1k", figure="cpu_ms", at_most=0.05, against="first_written"),
    Goal(scenario="1k", figure="cpu_ms", at_most=0.05, against="first_written_2"),
    Goal(scenario="1k", variant="bff_store", figure="cpu_ms", at_most=0.5, against="apache"),
    Goal(scenario="1m_down", figure="cpu_ms", at_most=1.0, against="nginx_plain"),
    Goal(scenario="1m_up", figure="cpu_ms", at_most=1.5, against="nginx"),
    Goal(scenario="messages", figure="cpu_ms", at_most=0.5, against=OLD_GATEWAY),
    Goal(scenario="streams", figure="kib_each", at_most=16.0),
    Goal(scenario="websockets", figure="kib_each", at_most=16.0),
    Goal(scenario="fairness", figure="added_ms", at_most=100.0),
    Goal(scenario="large", figure="down_mib", at_most=64.0),
    Goal(scenario="large", figure="up_mib", at_most=64.0),
    Goal(scenario="storm", figure="calls", at_most=1.0, against="bff", of="expiries"),
    Goal(scenario="storm", figure="p99_ms", at_most=2.0, against="bff", of="calm_p99_ms"),
)


def render(figures: dict[str, dict[str, Figures]]) -> list[str]:
    """A table of the goals for which there are figures; empty when there are none."""
    lines = []
    for goal in GOALS:
        measured = goal.measured(figures)
        if measured is not None:
            lines.append(f"| {goal.words()} | {_short(measured)} | {'yes' if measured <= goal.at_most else '**no**'} |")
    return ["", "### Goals", "", "| goal | measured | met |", "| -- | -- | -- |", *lines] if lines else []


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
