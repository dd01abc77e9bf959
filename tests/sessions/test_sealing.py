"""Encryption at rest: what opens, what does not, and how keys rotate."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.config.values.secrets import LiteralSecret
from bff.errors import SecretUnavailable
from bff.sessions.sealing import Sealer, derive

OLD, NEW = "an old session key of 32 characters or so", "a new session key of 32 characters or so"


@dataclass(slots=True)
class RotatingSecret:
    """A secret whose value a test changes, or takes away."""

    value: str | None

    def read(self) -> str:
        """The value now."""
        if self.value is None:
            raise SecretUnavailable("a test", reason="gone")
        return self.value


def sealer(*keys: str) -> Sealer:
    """A sealer with these keys, newest first."""
    return Sealer([LiteralSecret(value=key) for key in keys])


@given(plaintext=st.binary(), place=st.binary())
def test_what_was_sealed_opens_in_its_place(plaintext: bytes, place: bytes) -> None:
    """Opening gives back what was sealed."""
    ours = sealer(NEW)
    assert ours.open(ours.seal(plaintext, bound_to=place), bound_to=place) == plaintext


@pytest.mark.requirement("R-174")
@given(place=st.binary(), other=st.binary())
def test_a_record_opens_nowhere_else(place: bytes, other: bytes) -> None:
    """An envelope that was moved to another place is not readable there."""
    ours = sealer(NEW)
    if place != other:
        assert ours.open(ours.seal(b"tokens", bound_to=place), bound_to=other) is None


@pytest.mark.requirement("R-174")
def test_every_changed_bit_is_noticed() -> None:
    """Not one bit of an envelope can be changed: not of its header, nonce, content or tag."""
    ours = sealer(NEW)
    envelope = ours.seal(b"tokens", bound_to=b"place")
    for position in range(len(envelope) * 8):
        changed = bytearray(envelope)
        changed[position // 8] ^= 1 << position % 8
        assert ours.open(bytes(changed), bound_to=b"place") is None


@given(garbage=st.binary(max_size=64))
def test_garbage_is_none(garbage: bytes) -> None:
    """Whatever lies in the store, opening raises nothing."""
    assert sealer(NEW, OLD).open(garbage, bound_to=b"place") is None


def test_every_cut_of_an_envelope_is_none() -> None:
    """A record that was cut short is not readable."""
    ours = sealer(NEW)
    envelope = ours.seal(b"tokens", bound_to=b"place")
    assert {ours.open(envelope[:length], bound_to=b"place") for length in range(len(envelope))} == {None}


@pytest.mark.requirement("R-173")
def test_after_a_rotation_old_records_open_and_new_ones_use_the_new_key() -> None:
    """With the new key in front, what the old one sealed still opens, and what is sealed now does not need the old one."""
    old_record = sealer(OLD).seal(b"tokens", bound_to=b"place")
    both = sealer(NEW, OLD)
    assert both.open(old_record, bound_to=b"place") == b"tokens"
    assert sealer(NEW).open(both.seal(b"tokens", bound_to=b"place"), bound_to=b"place") == b"tokens"


@pytest.mark.requirement("R-173")
def test_a_key_that_was_taken_out_opens_nothing() -> None:
    """Once the old key is gone, its records are not readable."""
    assert sealer(NEW).open(sealer(OLD).seal(b"tokens", bound_to=b"place"), bound_to=b"place") is None


@pytest.mark.requirement("R-173")
def test_a_key_file_that_changes_takes_effect_at_once() -> None:
    """Keys are read on each use, and what was derived from a former value is not used for the new one."""
    secret = RotatingSecret(OLD)
    ours = Sealer([secret])
    old_record = ours.seal(b"tokens", bound_to=b"place")
    secret.value = NEW
    assert ours.open(old_record, bound_to=b"place") is None
    assert sealer(NEW).open(ours.seal(b"tokens", bound_to=b"place"), bound_to=b"place") == b"tokens"


def test_many_rotations_are_not_remembered_forever() -> None:
    """A process that saw a hundred keys still seals and opens with the last."""
    secret = RotatingSecret(OLD)
    ours = Sealer([secret])
    for number in range(100):
        secret.value = f"{NEW} {number}"
        assert ours.open(ours.seal(b"tokens", bound_to=b"place"), bound_to=b"place") == b"tokens"


@pytest.mark.requirement("R-173", "R-174")
def test_names_belong_to_a_key_and_a_thing() -> None:
    """A name is the same whenever it is asked for, differs for each key and thing, and is readable by nobody."""
    both = sealer(NEW, OLD)
    assert both.names(b"alice") == [*sealer(NEW).names(b"alice"), *sealer(OLD).names(b"alice")]
    assert len({*both.names(b"alice"), *both.names(b"bob")}) == 4
    assert {len(name) for name in both.names(b"alice")} == {64}


@pytest.mark.requirement("R-173")
def test_a_key_file_that_changes_changes_the_names() -> None:
    """Names are computed with the keys as they are now."""
    secret = RotatingSecret(OLD)
    ours = Sealer([secret])
    assert ours.names(b"alice") == sealer(OLD).names(b"alice")
    secret.value = NEW
    assert ours.names(b"alice") == sealer(NEW).names(b"alice")


def test_a_key_that_cannot_be_read_is_the_operators_problem() -> None:
    """A key that is gone is reported as such; "not ours" would sign people out."""
    old_record = sealer(OLD).seal(b"tokens", bound_to=b"place")
    ours = Sealer([LiteralSecret(value=NEW), RotatingSecret(None)])
    assert ours.open(ours.seal(b"tokens", bound_to=b"place"), bound_to=b"place") == b"tokens"
    with pytest.raises(SecretUnavailable):
        ours.open(old_record, bound_to=b"place")


def test_a_sealer_needs_a_key() -> None:
    """Without keys there is no sealer."""
    with pytest.raises(ValueError, match="at least one"):
        Sealer([])


def test_two_seals_of_one_text_differ() -> None:
    """Each envelope has a nonce of its own."""
    ours = sealer(NEW)
    assert len({ours.seal(b"tokens", bound_to=b"place") for _ in range(100)}) == 100


def test_purposes_have_unrelated_keys() -> None:
    """HKDF as in RFC 5869: 32 bytes that depend on the secret and on the purpose."""
    keys = {derive(secret, purpose) for secret in (OLD, NEW) for purpose in (b"sealing", b"cookie")}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {32}
    assert derive(OLD, b"sealing") == derive(OLD, b"sealing")


def test_nothing_shows_a_key() -> None:
    """Neither a sealer nor an error about it tells a key (R-172)."""
    ours = sealer(NEW)
    ours.seal(b"tokens", bound_to=b"place")
    assert NEW not in repr(ours)
