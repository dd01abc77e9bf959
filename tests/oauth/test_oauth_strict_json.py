"""bff.oauth.strict_json: one meaning or none."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bff.oauth.strict_json import MAX_DEPTH, parse_object

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_objects_survive_the_round_trip(document: dict[str, object]) -> None:
    """Whatever JSON can say in an object is read as it was written."""
    assert parse_object(json.dumps(document).encode()) == document


@pytest.mark.requirement("R-082")
@pytest.mark.parametrize(
    "text",
    [
        b'{"a": 1, "a": 1}',
        b'{"outer": {"a": 1, "a": 2}}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": -1e999}',
        b'{"a": ' + b"9" * 400 + b"}",
        b'{"a": "\\ud800"}',
        b'{"\\udc00": 1}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        b"[]",
        b'["a"]',
        b'"text"',
        b"1",
        b"null",
        b"",
        b"{",
        b'{"a": 1} {}',
        b"{'a': 1}",
        b'{"a": 1,}',
        b"<html></html>",
        b'{"a":' * 100_000,
        b"[" * 100_000,
        b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}",
    ],
)
def test_ambiguous_or_foreign_texts_are_refused(text: bytes) -> None:
    """A repeated member, a number or string that cannot be written again, a non-object or deep nesting is a ValueError."""
    with pytest.raises(ValueError):  # noqa: PT011 - ValueError itself is what is documented
        parse_object(text)


def test_the_refusal_quotes_nothing() -> None:
    """The message of a refusal holds nothing of the document."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - ValueError itself is what is documented
        parse_object(b'{"canary-4711": canary-4711}')
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_long_integers_become_floats() -> None:
    """Integers beyond 64 bits are read as the nearest float, so that every number can be stored again."""
    assert parse_object(b'{"a": 123456789012345678901234567890, "b": 123456789012345678}') == {
        "a": 1.2345678901234568e29,
        "b": 123456789012345678,
    }


@given(st.binary() | st.text().map(str.encode))
@example(b'{"a":"\\ud83d\\ude00"}')
@example(b"{}")
def test_any_bytes_give_an_object_or_a_value_error(data: bytes) -> None:
    """The parser raises nothing but ValueError, and what it returns can be written as UTF-8 again."""
    try:
        document = parse_object(data)
    except ValueError:
        return
    assert json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
