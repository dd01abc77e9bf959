"""The accounting of places at an upstream: who has how many, who is next, and that none is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.proxy.places import Places


@pytest.mark.requirement("R-366")
@pytest.mark.parametrize(("limit", "share"), [(1, 1), (2, 1), (4, 3), (256, 192)])
def test_no_owner_has_all_places(limit: int, share: int) -> None:
    """A quarter is out of reach of any one owner; a single place is anybody's."""
    places: Places[str] = Places(limit)
    assert sum(places.take("greedy") for _ in range(limit)) == share
    assert places.take("modest") is (limit > share)


@pytest.mark.requirement("R-366")
def test_places_go_round_the_owners() -> None:
    """An owner with a long line does not hold up one with a short line."""
    places: Places[str] = Places(1)
    assert places.take("first")
    for one in ("a1", "a2", "a3"):
        places.stand_in_line("a", one)
    places.stand_in_line("b", "b1")
    served = []
    last = "first"
    while (one := places.leave(last)) is not None:
        served.append(one)
        last = one[0]
    assert served == ["a1", "b1", "a2", "a3"]
    assert (places.taken, places.waiting) == (0, 0)


def test_stepping_out_of_line_leaves_the_others_in_order() -> None:
    """Who gives up is not granted a place later."""
    places: Places[str] = Places(1)
    places.take("x")
    for one in ("a1", "a2"):
        places.stand_in_line("a", one)
    places.step_out("a", "a1")
    assert places.leave("x") == "a2"


@given(st.integers(1, 6), st.lists(st.tuples(st.sampled_from(["take", "wait", "leave"]), st.sampled_from("abc"))))
def test_no_place_is_lost_or_given_twice(limit: int, steps: list[tuple[str, str]]) -> None:
    """Whatever happens in whatever order, places taken are never more than there are, and all come back."""
    places: Places[str] = Places(limit)
    held: list[str] = []
    waiting = 0
    for what, owner in steps:
        if what == "take" and places.take(owner):
            held.append(owner)
        elif what == "wait":
            places.stand_in_line(owner, owner)
            waiting += 1
        elif what == "leave" and held:
            granted = places.leave(held.pop())
            if granted is not None:
                held.append(granted)
                waiting -= 1
        assert places.taken == len(held) <= limit
        assert places.waiting == waiting
