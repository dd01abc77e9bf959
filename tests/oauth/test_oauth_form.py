"""bff.oauth.form: forms and query strings that say nothing twice."""

from urllib.parse import parse_qsl, quote_from_bytes, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.oauth.form import RepeatedParameter, add_to_query, decode_once, encode_body

texts = st.text(st.characters(codec="utf-8"))
NAMES = frozenset({"code", "state"})


def test_the_example_of_the_specification() -> None:
    """RFC 6749 appendix B: the six code points of its example encode as it shows."""
    assert encode_body([("v", " %&+\u00a3\u20ac")]) == b"v=+%25%26%2B%C2%A3%E2%82%AC"


@given(st.lists(st.tuples(texts, texts), max_size=5))
def test_bodies_are_read_back_as_written(fields: list[tuple[str, str]]) -> None:
    """Any form reader gets back the fields that were written, in order."""
    body = encode_body(fields).decode("ascii")
    assert parse_qsl(body, keep_blank_values=True, max_num_fields=10) == fields


@given(texts, texts)
def test_values_are_read_as_written(code: str, state: str) -> None:
    """decode_once reads what encode_body wrote; empty values are absent."""
    body = encode_body([("code", code), ("other", state), ("state", state)])
    assert decode_once(body, names=NAMES) == {k: v for k, v in {"code": code, "state": state}.items() if v}


@pytest.mark.requirement("R-058")
@pytest.mark.parametrize(
    "query",
    [b"code=a&code=a", b"code=a&x=1&code=b", b"code=&code=a", b"code&code=a", b"code=a&%63ode=b", b"code=a&cod%65"],
)
def test_repeats_are_refused_in_every_spelling(query: bytes) -> None:
    """A parameter that occurs twice is refused, also when one is empty or percent-encoded."""
    with pytest.raises(RepeatedParameter) as caught:
        decode_once(query, names=NAMES)
    assert caught.value.name == "code"


@pytest.mark.requirement("R-057")
def test_other_parameters_may_say_anything() -> None:
    """Parameters that are not asked for may repeat and need not be UTF-8."""
    assert decode_once(b"x=1&x=2&%ff=%ff&y=%ff&code=a;state=b&=", names=NAMES) == {"code": "a;state=b"}


@given(st.binary())
def test_any_bytes_give_values_or_a_value_error(data: bytes) -> None:
    """The reader raises nothing but ValueError."""
    try:
        values = decode_once(data, names=NAMES)
    except ValueError:
        return
    assert set(values) <= NAMES


@given(st.lists(st.sampled_from([b"code", b"state", b"c%6fde", b"x", b""]), max_size=6), st.binary(max_size=6))
def test_a_name_is_read_at_most_once(names: list[bytes], value: bytes) -> None:
    """decode_once succeeds exactly if no name of ours occurs twice."""
    query = b"&".join(name + b"=" + quote_from_bytes(value).encode() for name in names)
    decoded = [{b"c%6fde": b"code"}.get(name, name) for name in names if name not in {b"x", b""}]
    repeated = len(set(decoded)) != len(decoded)
    try:
        decode_once(query, names=NAMES)
    except RepeatedParameter:
        assert repeated
    except UnicodeDecodeError:
        assert decoded
    else:
        assert not repeated


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://p/a", "https://p/a?k=v%20%26"),
        ("https://p/a?", "https://p/a?k=v%20%26"),
        ("https://p/a?x=1&y=%2F+", "https://p/a?x=1&y=%2F+&k=v%20%26"),
        ("https://p/a?k=old&x=1", "https://p/a?x=1&k=v%20%26"),
        ("https://p/a?%6b=old&x&k", "https://p/a?x&k=v%20%26"),
        ("https://p/a?x=a?b", "https://p/a?x=a?b&k=v%20%26"),
    ],
)
def test_a_query_keeps_what_we_do_not_say(url: str, expected: str) -> None:
    """What the endpoint's own query holds stays byte for byte, unless we say the same parameter."""
    assert add_to_query(url, [("k", "v &")]) == expected


@given(st.lists(st.tuples(texts.filter(bool), texts), max_size=5, unique_by=lambda pair: pair[0]))
def test_no_value_escapes_from_the_query(parameters: list[tuple[str, str]]) -> None:
    """Any text in a parameter is read back as that parameter and reaches no other part of the URL."""
    parts = urlsplit(add_to_query("https://p/a", parameters))
    assert parse_qsl(parts.query, keep_blank_values=True, max_num_fields=10) == parameters
    assert (parts.scheme, parts.netloc, parts.path, parts.fragment) == ("https", "p", "/a", "")
