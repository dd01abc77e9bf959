"""What the project promises about speed, next to what was measured. It judges nothing: a benchmark is not a timed test."""

from dataclasses import dataclass

from bench.scenarios import Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """`figure` of a variant, at most `at_most` (times `of` of `against`, when there is one)."""

    scenario: str
    figure: str
    at_most: float
    against: str | None = None
    variant: str = "bff"
    of: str | None = None  # another figure; left out: the same one

    def words(self) -> str:
        """The promise."""
        if self.against is None:
            return f"{self.scenario}: {self.variant} {self.figure} at most {self.at_most:g}"
        of = self.of or self.figure
        return f"{self.scenario}: {self.variant} {self.figure} at most {self.at_most:g} × {self.against} {of}"

    def measured(self, figures: dict[str, dict[str, Figures]]) -> float | None:
        """The value that `at_most` bounds; None where something was left out. `figures`: scenario -> variant -> medians."""
        row = figures.get(self.scenario, {})
        value = row.get(self.variant, {}).get(self.figure)
        unit = 1.0 if self.against is None else row.get(self.against, {}).get(self.of or self.figure)
        if not isinstance(value, int | float) or not isinstance(unit, int | float) or not unit:
            return None
        return value / unit


GOALS = (
    Goal(scenario="1k", figure="cpu_ms", at_most=4.0, against="nginx"),
    Goal(scenario="1k", figure="cpu_ms", at_most=1.1, against="envoy"),
    Goal(scenario="1k", figure="cpu_ms", at_most=0.2, against="apache"),
    Goal(scenario="1k", figure="cpu_ms", at_most=0.05, against="first_written"),
    Goal(scenario="1k", figure="cpu_ms", at_most=0.05, against="first_written_2"),
    Goal(scenario="1k", variant="bff_store", figure="cpu_ms", at_most=0.5, against="apache"),
    Goal(scenario="1m_down", figure="cpu_ms", at_most=1.3, against="nginx"),
    Goal(scenario="1m_up", figure="cpu_ms", at_most=2.5, against="nginx"),
    Goal(scenario="streams", figure="kib_each", at_most=25.0),
    Goal(scenario="large", figure="down_mib", at_most=64.0),
    Goal(scenario="large", figure="up_mib", at_most=64.0),
    Goal(scenario="storm", figure="calls", at_most=1.0, against="bff", of="expiries"),
    Goal(scenario="storm", figure="p99_ms", at_most=3.0, against="bff", of="calm_p99_ms"),
)


def render(figures: dict[str, dict[str, Figures]]) -> list[str]:
    """A table of the goals for which there are figures; empty when there are none."""
    lines = []
    for goal in GOALS:
        measured = goal.measured(figures)
        if measured is not None:
            lines.append(f"| {goal.words()} | {measured:.3g} | {'yes' if measured <= goal.at_most else '**no**'} |")
    return ["", "### Goals", "", "| goal | measured | met |", "| -- | -- | -- |", *lines] if lines else []
