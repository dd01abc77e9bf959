"""bff.varying_fields: what differs from call to call is kept apart, and comes back as it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff import varying_fields
from bff.proxy.fields import PASSED, VERDICTS, Verdict, judge
from bff.request_head import JUDGED, Field, field_section, own_fields, section_of_lines
from bff.request_id import NAME as REQUEST_ID
from bff.varying_fields import MAX_SPELLINGS, VARYING, Parted, learn_spellings

NAMES = [
    b"Host",
    b"Cookie",
    b"traceparent",
    b"TraceParent",
    b"CF-Ray",
    b"x-b3-traceid",
    b"X-Request-Id",
    b"x-mytraceparent",
]
VALUES = [b"a", b"00-Ab-1", b"", b"two words", b"x" * 128, b"x" * 129, b"\xe2\x82\xac", b"cf-ray: b", b" a ", b"a\tb"]


def parted(lines: bytes) -> Parted:
    """The lines without what varies, when they come for the first time."""
    learn_spellings(lines)
    return varying_fields.parted(lines)


def lines_of(fields: list[Field]) -> bytes:
    """A head's lines behind its first."""
    return b"".join(b"%b: %b\r\n" % field for field in fields) + b"\r\n"


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), min_size=1, max_size=6))
def test_fields_come_back_as_they_were(fields: list[Field]) -> None:
    """In their order and number, whatever was kept of heads before; only the line of an id that was taken is gone."""
    found = parted(lines_of(fields))
    expected = [(name.lower(), value.strip(b" \t")) for name, value in fields]
    if found.request_id is not None:
        expected.remove((REQUEST_ID, found.request_id))
    fields, named = own_fields(section_of_lines(found.lines), found.varying)
    assert fields == expected
    assert named == field_section(expected).named


@pytest.mark.parametrize("name", sorted(VARYING))
def test_lines_of_two_calls_are_equal(name: bytes) -> None:
    """Another value of a field that varies makes no other lines; another value of any other field does."""
    first, second = (
        parted(lines_of([(b"Host", b"a"), (name.title(), b"Value-%d" % n), (b"Accept", b"b")])) for n in (1, 2)
    )
    assert first.lines == second.lines
    assert (first.varying, second.varying) == (((name, b"Value-1"),), ((name, b"Value-2"),))
    others = {parted(lines_of([(b"x-" + name, b"%d" % n)])).lines for n in (1, 2)}
    assert len(others) == 2


@pytest.mark.parametrize(
    "lines",
    [
        b"traceparent: a\r\nTraceparent: b\r\n\r\n",  # twice
        b"traceparent: a\r\ntraceparent: two words\r\n\r\n",
        b"traceparent: a\r\n b\r\n\r\n",  # it goes on in the next line
        b"traceparent: two words\r\n\r\n",
        b"traceparent: \x7f\r\n\r\n",
        b"traceparent:\r\n\r\n",
        b"traceparent : a\r\n\r\n",
        b"a: traceparent: b\r\n\r\n",
        b"x-request-id: a\r\nx-request-id: b\r\n\r\n",
        b"x-request-id: a b\r\n\r\n",
        b"traceparent: a\n\r\n",
        b"\r\n",
        b"",
    ],
)
def test_what_is_not_one_word_of_one_line_stays(lines: bytes) -> None:
    """It is judged with all other lines then."""
    assert parted(lines) == Parted(lines, None, ())


@pytest.mark.parametrize("name", sorted(VARYING))
def test_nothing_is_judged_by_them(name: bytes) -> None:
    """They pass or are dropped by their names: what was kept for one value holds for every other one."""
    assert name not in JUDGED
    verdict = Verdict.PASS if name in PASSED else VERDICTS.get(name) or judge(name)
    assert verdict in {Verdict.PASS, Verdict.DROP}


def test_few_spellings_are_kept() -> None:
    """Those that came last: a browser that sends a thousand fills no memory."""
    for number in range(1000):
        name = bytes(byte ^ 0x20 * (number >> at & 1) for at, byte in enumerate(b"traceparent"))
        assert parted(b"%b: a\r\n\r\n" % name).varying == ((b"traceparent", b"a"),)
    assert len(varying_fields._spellings) == MAX_SPELLINGS


def test_a_spelling_that_was_not_learnt_stays() -> None:
    """Its lines are other lines then, and are judged."""
    varying_fields._spellings.clear()
    lines = b"TRACEPARENT: a\r\n\r\n"
    assert varying_fields.parted(lines) == Parted(lines, None, ())
    assert parted(lines) == Parted(b"TRACEPARENT:\r\n\r\n", None, ((b"traceparent", b"a"),))
    assert varying_fields.parted(lines) == parted(lines)
