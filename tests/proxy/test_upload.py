"""What is written of a request's content: never more, less or other than was announced."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.errors import ContentTooLarge, MalformedRequest
from bff.proxy.upload import Upload


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=10))
def test_chunks_say_exactly_what_came(pieces: list[bytes]) -> None:
    """Decoded again, chunked content is the content, and ends once."""
    upload = Upload(length=None, limit=10_000)
    wire = b"".join(
        b"".join(upload.frame(piece, last=number == len(pieces) - 1)) for number, piece in enumerate(pieces)
    )
    decoded = b""
    while True:
        size, _, wire = wire.partition(b"\r\n")
        if int(size, 16) == 0:
            break
        decoded += wire[: int(size, 16)]
        assert wire[int(size, 16) :].startswith(b"\r\n")
        wire = wire[int(size, 16) + 2 :]
    assert (decoded, wire) == (b"".join(pieces), b"\r\n")


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=6), st.integers(0, 60), st.integers(0, 60))
def test_content_with_a_length_is_held_to_it(pieces: list[bytes], length: int, limit: int) -> None:
    """Exactly the announced length within the limit passes; everything else is refused, and nothing else is raised."""
    upload = Upload(length=length, limit=limit)
    total = sum(map(len, pieces))
    try:
        wire = b"".join(
            b"".join(upload.frame(piece, last=number == len(pieces) - 1)) for number, piece in enumerate(pieces)
        )
    except ContentTooLarge:
        assert total > limit
    except MalformedRequest:
        assert total != length
    else:
        assert total == length <= limit
        assert wire == b"".join(pieces)


@pytest.mark.requirement("R-261")
def test_the_limit_itself_still_fits() -> None:
    """A limit is the most that is taken, not the first that is refused."""
    upload = Upload(length=None, limit=10)
    upload.frame(b"x" * 10, last=False)
    with pytest.raises(ContentTooLarge):
        upload.frame(b"x", last=True)
