"""The id of a request: kept from a trusted proxy, made otherwise."""

import re

import pytest

from bff.request_head import Field, Peer, request_head
from bff.request_id import new_request_id


def the_id(*fields: Field, trusted: bool) -> bytes:
    """The id of a request with these fields."""
    return request_head(b"GET", b"/", b"", list(fields), Peer("192.0.2.7", trusted)).request_id


@pytest.mark.requirement("R-364")
@pytest.mark.parametrize("given", [b"a", b"8c1c2d3e-2b7c", b"r|1.2~3", b"x" * 128])
def test_a_trusted_proxys_id_is_kept(given: bytes) -> None:
    """Any visible ASCII of up to 128 bytes."""
    assert the_id((b"x-request-id", given), trusted=True) == given


@pytest.mark.requirement("R-364")
@pytest.mark.parametrize("given", [b"", b"two words", b"x" * 129, b"\xe2\x82\xac", b"a\tb", b"\x1b[31m"])
def test_what_is_no_id_is_replaced(given: bytes) -> None:
    """Spaces, control characters, other bytes and long values would be read wrongly where ids are written."""
    assert re.fullmatch(rb"[0-9a-f]{16}", the_id((b"x-request-id", given), trusted=True))


@pytest.mark.requirement("R-364")
def test_two_ids_are_none() -> None:
    """A proxy that appends its own passes the browser's on: neither can be told from the other."""
    assert the_id((b"x-request-id", b"a"), (b"x-request-id", b"b"), trusted=True) not in {b"a", b"b"}


@pytest.mark.requirement("R-364")
def test_a_browsers_id_is_not_kept() -> None:
    """It could make its requests look like another's."""
    assert the_id((b"x-request-id", b"mine"), trusted=False) != b"mine"


def test_ids_are_made_anew() -> None:
    """Also beyond what one reading of the kernel's chance gives."""
    ids = {new_request_id() for _ in range(2000)}
    assert len(ids) == 2000
    assert all(re.fullmatch(rb"[0-9a-f]{16}", one) for one in ids)
