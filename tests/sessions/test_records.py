"""The codec of records: typed, versioned, and silent about garbage."""

import json
import pickle
from dataclasses import replace

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bff.oauth.strict_json import parse_object
from bff.sessions.logins import BrowserLogins, new_browser
from bff.sessions.model import Session
from bff.sessions.records import (
    decode_logins,
    decode_session,
    decode_transaction,
    encode_logins,
    encode_session,
    encode_transaction,
)
from support.session_samples import NOW, a_grant, a_session, a_transaction

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def with_claims(claims: dict[str, object]) -> Session:
    """A session with these claims."""
    return a_session(replace(a_grant(), claims=claims))


def test_a_session_survives_the_way_there_and_back() -> None:
    """Every field of a session, its grants and tokens comes back equal."""
    session = a_session(a_grant(), a_grant(provider="partner", subject=None, sid=None))
    assert decode_session(encode_session(session)) == session


def test_a_transaction_survives_the_way_there_and_back() -> None:
    """Every field of a login transaction comes back equal."""
    assert decode_transaction(encode_transaction(a_transaction())) == a_transaction()


def test_a_login_cookie_survives_the_way_there_and_back() -> None:
    """Every field of what a login cookie says comes back equal."""
    logins = BrowserLogins(
        id=b"i" * 16,
        made_at=NOW,
        earlier=(b"e" * 16, b"f" * 16),
        session_key="0f" * 32,
        long=(("transact", "/orders?q=1", "prompt=login"),),
    )
    assert decode_logins(encode_logins(logins)) == logins
    assert decode_logins(encode_logins(new_browser(now=NOW))) is not None


@given(claims=st.dictionaries(st.text(), json_values, max_size=5))
@example(claims={"claim": 2**64, "another": -(2**70), "deep": [{"name": 10**18}]})
def test_whatever_claims_a_provider_sends_can_be_kept(claims: dict[str, object]) -> None:
    """Any JSON object that we take from a provider is kept and read back equal."""
    try:
        taken = parse_object(json.dumps(claims).encode())
    except ValueError:
        return  # refused at the door: nobody signs in with it
    back = decode_session(encode_session(with_claims(taken)))
    assert back is not None
    assert back.grants[0].claims == taken


@pytest.mark.requirement("R-192")
@given(garbage=st.binary())
def test_garbage_is_none(garbage: bytes) -> None:
    """Whatever bytes are read, with our format byte or without, decoding raises nothing."""
    for record in (garbage, b"\x01" + garbage):
        assert decode_session(record) is None
        assert decode_transaction(record) is None
        assert decode_logins(record) is None


@pytest.mark.requirement("R-192")
@given(position=st.integers(0, 10**6), byte=st.integers(0, 255))
def test_a_changed_byte_never_raises(position: int, byte: int) -> None:
    """A record with one byte changed reads as a session or as None."""
    record = bytearray(encode_session(a_session(key="0" * 64)))
    record[position % len(record)] = byte
    back = decode_session(bytes(record))
    assert back is None or isinstance(back, Session)


@pytest.mark.requirement("R-192")
def test_another_format_is_none() -> None:
    """A record that a later version wrote is not guessed at."""
    assert decode_session(b"\x7f" + encode_session(a_session())[1:]) is None


@pytest.mark.requirement("R-192")
def test_a_planted_pickle_is_none_and_does_not_run() -> None:
    """A pickle in the store is data that we cannot read."""

    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return (pytest.fail, ("the pickle ran",))

    for record in (pickle.dumps(Bomb()), b"\x01" + pickle.dumps(Bomb())):
        assert decode_session(record) is None


@pytest.mark.requirement("R-192")
def test_the_types_of_fields_are_held_to() -> None:
    """MessagePack with our names and another type in one of them is None; so is one kind of record read as the other."""
    fields = msgspec.to_builtins(a_session())
    assert decode_session(b"\x01" + msgspec.msgpack.encode({**fields, "version": "1"})) is None
    assert decode_session(b"\x01" + msgspec.msgpack.encode({k: v for k, v in fields.items() if k != "key"})) is None
    assert decode_transaction(encode_session(a_session())) is None


def test_nesting_without_end_is_none() -> None:
    """A record nested deeper than any stack is refused, not crashed on."""
    assert decode_session(b"\x01" + b"\x81\xa3key" + b"\x91" * 100_000) is None
