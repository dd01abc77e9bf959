"""`cli/columns.py`: tables on a terminal."""

from bff.cli.columns import aligned


def test_columns_are_as_wide_as_their_longest_cell() -> None:
    """Columns begin below each other, two spaces apart, and no line ends in a space."""
    assert aligned([("NAME", "TO"), ("a", "somewhere"), ("longest", "x")]) == [
        "NAME     TO",
        "a        somewhere",
        "longest  x",
    ]
