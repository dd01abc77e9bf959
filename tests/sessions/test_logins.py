"""A sign-in under way as values: what is derived from its seed, and which transactions a browser takes."""

import math
import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.oauth.step_up import StepUp
from bff.sessions import logins
from bff.sessions.logins import BrowserLogins, LoginTransaction, new_browser, registration, short_way_back
from support.session_samples import NOW, a_transaction
from support.suite_conditions import LEAST_VERIFIER_BITS, entropy_bits


def begun_by(browser: BrowserLogins, *, seed: bytes = b"s" * 32) -> LoginTransaction:
    """A transaction that this browser began."""
    return replace(a_transaction(), browser=browser.id, seed=seed)


@pytest.mark.requirement("R-032", "R-035", "R-047")
def test_nonce_and_verifier_are_unguessable_and_of_the_right_shape() -> None:
    """Of a thousand seeds come values that all differ, of 43 or 64 unreserved characters that occur about equally often."""
    made = [replace(a_transaction(), seed=number.to_bytes(32)) for number in range(1000)]
    values = [value for t in made for value in (t.nonce, t.code_verifier, t.name)]
    assert len(set(values)) == 3000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}", value) for t in made for value in (t.nonce, t.name))
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{64}", t.code_verifier) for t in made)
    counts = Counter("".join(value[:42] for value in values))  # the 43rd holds 4 bits only
    total = sum(counts.values())
    assert -sum(count / total * math.log2(count / total) for count in counts.values()) > 5.99


@pytest.mark.requirement("R-032")
def test_no_verifier_looks_guessable() -> None:
    """Of ten thousand verifiers each has more than 192 bits by the frequencies of its characters, as the suite counts them."""
    made = (replace(a_transaction(), seed=number.to_bytes(32)).code_verifier for number in range(10_000))
    assert min(map(entropy_bits, made)) > LEAST_VERIFIER_BITS


@pytest.mark.requirement("R-033")
def test_a_browser_takes_what_it_began() -> None:
    """A transaction belongs to the browser whose id it names, and to no other."""
    one, other = new_browser(now=NOW), new_browser(now=NOW)
    assert one.began(begun_by(one))
    assert not other.began(begun_by(one))


@pytest.mark.requirement("R-305", "R-311")
def test_a_renewed_browser_takes_what_it_began_before() -> None:
    """After a renewal transactions of the earlier id still end well; the id that was used last is kept the longest."""
    browser = first = new_browser(now=NOW)
    for _ in range(50):
        browser = browser.renewed(used=first.id, now=NOW)
        assert browser.began(begun_by(first))
        assert len(browser.earlier) <= logins.MAX_EARLIER
    forgotten = browser
    for _ in range(logins.MAX_EARLIER + 1):
        browser = browser.renewed(used=browser.id, now=NOW)
    assert not browser.began(begun_by(forgotten))


def test_an_id_gets_old() -> None:
    """An id begins sign-ins for an hour."""
    browser = new_browser(now=NOW)
    assert not browser.is_old(now=NOW + 3599)
    assert browser.is_old(now=NOW + 3600)


@pytest.mark.requirement("R-309")
def test_a_long_way_back_is_found_by_its_transaction_only() -> None:
    """Each transaction has its own way back; one that is over takes it along."""
    browser = new_browser(now=NOW)
    one, other = (begun_by(browser, seed=seed * 32) for seed in (b"1", b"2"))
    browser = browser.keeping(one, return_to="/one?long", parameters={})
    assert browser.way_back(one) == "/one?long"
    assert browser.way_back(other) == other.return_to
    assert browser.without(one).way_back(one) == one.return_to


@pytest.mark.requirement("R-304", "R-315")
def test_what_a_page_added_is_found_by_its_transaction_only() -> None:
    """Parameters are kept whole, whatever is in their values, also beside a way back that `state` can hold."""
    browser = new_browser(now=NOW)
    one, other = (begun_by(browser, seed=seed * 32) for seed in (b"1", b"2"))
    added = {"login_hint": "a&b=c +%20 \u00e9", "prompt": "login"}
    browser = browser.keeping(one, return_to=one.return_to, parameters=added)
    assert browser.parameters(one) == added
    assert browser.parameters(other) == {}
    assert browser.way_back(one) == one.return_to
    assert browser.without(one).parameters(one) == {}


@given(ways=st.lists(st.text(alphabet="abc", max_size=2000), max_size=20))
def test_long_ways_back_are_bounded(ways: list[str]) -> None:
    """However many there are, the latest is kept and their sum is bounded."""
    browser = new_browser(now=NOW)
    for number, way in enumerate(ways):
        transaction = begun_by(browser, seed=number.to_bytes(32))
        browser = browser.keeping(transaction, return_to=way, parameters={})
        assert browser.way_back(transaction) == way
        assert sum(len(path) + len(more) + 12 for _, path, more in browser.long) <= logins.MAX_LONG_BYTES


@pytest.mark.parametrize(
    ("return_to", "kept"),
    [
        ("/a?b#c", "/a?b#c"),
        ("/a?" + "b" * 189, "/a?" + "b" * 189),
        ("/a?" + "b" * 190, "/a"),
        ("/a#" + "b" * 190, "/a"),
        ("/" + "a" * 192, "/"),
    ],
)
def test_state_holds_what_fits_of_a_way_back(return_to: str, kept: str) -> None:
    """All of it, else its path, else the root."""
    assert short_way_back(return_to, step_up=None) == kept


def test_a_step_up_takes_room_from_the_way_back() -> None:
    """What a sign-in is asked for stays whole in `state`; the way back gives way, and lies in the cookie then."""
    step_up = StepUp(acr_values=("a" * 90, "b" * 90))
    assert short_way_back("/" + "c" * 10, step_up=step_up) == "/" + "c" * 10
    assert short_way_back("/" + "c" * 11, step_up=step_up) == "/"


def test_every_part_of_a_registration_counts() -> None:
    """Another issuer, client or redirect URI is another registration, also where their texts joined are the same."""
    parts = {"issuer": "https://a", "client_id": "b", "redirect_uri": "https://c"}
    found = {registration(**parts), registration(issuer="https://ab", client_id="", redirect_uri="https://c")}
    found |= {registration(**{**parts, name: "https://x"}) for name in parts}
    assert len(found) == 5
