"""Prints what the cases came to: a run in which few of them reach the gateway proves little."""

import pytest

COUNTS = "what the cases came to"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line for each run, also of those that ran in a worker."""
    for report in [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]:
        for name, counts in report.user_properties:
            if name == COUNTS and report.when == "call":
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {counts}")
