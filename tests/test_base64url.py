"""The one spelling of bytes in tokens and challenges: the vectors of RFC 4648, without padding."""

import pytest

from bff.base64url import base64url


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"f", "Zg"),  # RFC 4648 section 10, without the padding (RFC 7515 section 2)
        (b"fo", "Zm8"),
        (b"foo", "Zm9v"),
        (b"foob", "Zm9vYg"),
        (b"\xfb\xff\xbe", "-_--"),  # its section 5: - and _ for + and /
    ],
)
def test_bytes_have_one_spelling(data: bytes, text: str) -> None:
    """Of the alphabet that URLs take, and without padding."""
    assert base64url(data) == text
