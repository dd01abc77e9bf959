"""Durations, sizes and counts."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.config.spelling import SpellingError
from bff.config.values.units import parse_count, parse_duration, parse_size
from support.config_texts import TWELVE_LINES, problem

SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
BYTES = {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


@given(number=st.integers(0, 999_999_999), unit=st.sampled_from(sorted(SECONDS)))
def test_durations_round_trip(number: int, unit: str) -> None:
    """A whole number with a unit is that many of them in seconds, and gives the number back."""
    seconds = parse_duration(f"{number}{unit}")
    assert isinstance(seconds, float)
    assert round(seconds / SECONDS[unit]) == number


@given(number=st.integers(0, 999_999_999), unit=st.sampled_from(sorted(BYTES)))
def test_sizes_round_trip(number: int, unit: str) -> None:
    """A whole number with a unit is that many of them in bytes, exactly."""
    size = parse_size(f"{number}{unit}")
    assert divmod(size, BYTES[unit]) == (number, 0)


@given(number=st.integers(0, 999_999_999))
def test_counts_round_trip(number: int) -> None:
    """A count is its digits."""
    assert parse_count(str(number)) == number


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("30s", 30.0), ("15m", 900.0), ("12h", 43200.0), ("7d", 604800.0)]
)
def test_durations(text: str, seconds: float) -> None:
    """The examples of the manual."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("text", "size"), [("512B", 512), ("64KiB", 65536), ("10MiB", 10485760), ("1GiB", 1073741824)])
def test_sizes(text: str, size: int) -> None:
    """The examples of the manual."""
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    ["", "30", "0", "30 s", "30S", "1.5h", "-1s", "+1s", "1h30m", "s", "1e3s", "٣s", "30s ", "9999999999s", "30sec"],
)
def test_refused_durations(text: str) -> None:
    """Bare numbers, fractions, signs, other units and other digits are refused, and what to write is said."""
    with pytest.raises(SpellingError, match=r"500ms, 30s, 15m, 12h or 7d"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "64", "64K", "64KB", "64kib", "1.5MiB", "1TiB", "10 MiB", "KiB"])
def test_refused_sizes(text: str) -> None:
    """Bare numbers, decimal units and fractions are refused, and what to write is said."""
    with pytest.raises(SpellingError, match=r"512B, 64KiB, 10MiB or 1GiB"):
        parse_size(text)


def test_bare_numbers_are_called_so() -> None:
    """A number without unit is told apart from a wrong unit."""
    for parse in (parse_duration, parse_size):
        with pytest.raises(SpellingError, match="bare number"):
            parse("30")
        with pytest.raises(SpellingError, match="unit that is not known"):
            parse("30x")


@given(st.text())
def test_any_text(text: str) -> None:
    """Any text is a value or a SpellingError, nothing else."""
    for parse in (parse_duration, parse_size, parse_count):
        with contextlib.suppress(SpellingError):
            assert parse(text) >= 0


@pytest.mark.requirement("R-277")
@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("limits: {head_timeout: 10}", "limits.head_timeout"),
        ("limits: {max_body: 1024}", "limits.max_body"),
        ("limits: {max_body: 0B}", "limits.max_body"),
        ("limits: {head_timeout: 0s}", "limits.head_timeout"),
    ],
)
def test_bare_numbers_and_zeros_in_the_file(written: str, key: str) -> None:
    """A duration or size without its unit, or none at all where some is needed, is told at its place."""
    found = problem(f"{TWELVE_LINES}{written}\n")
    assert (found.line, found.key) == (13, key)


@pytest.mark.parametrize(
    ("written", "message"), [("0", "must be more than zero"), ("-1", "whole number"), ("1KiB", "whole number")]
)
def test_counts_in_the_file(written: str, message: str) -> None:
    """A count has no unit, and at least one connection is needed."""
    found = problem(f"{TWELVE_LINES}    max_connections: {written}\n")
    assert (found.line, found.key) == (13, "routes[0].max_connections")
    assert message in found.message
