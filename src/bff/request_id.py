"""The id of a request: what the log, the answer, the upstream and a page name it by (R-364).

A trusted proxy's `X-Request-Id` is kept, so that its log and ours meet. Any other one is dropped and one is made: a browser that could
choose ids could make its requests look like another's. Ids need not be secret, so one reading of the kernel's chance serves 512.
"""

import re
from binascii import hexlify
from collections.abc import Iterable, Iterator
from os import urandom

NAME = b"x-request-id"

_GIVEN = re.compile(rb"[\x21-\x7e]{1,128}")  # visible ASCII: it is written to logs, pages and fields
_DIGITS = 16
_AT_ONCE = 512


def of_trusted(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The id in a trusted proxy's fields; a new one if there is none, several, or one that is no id."""
    given = [value for name, value in fields if name == NAME]
    if len(given) == 1 and _GIVEN.fullmatch(given[0]):
        return given[0]
    return new_request_id()


def _made() -> Iterator[bytes]:
    while True:
        digits = hexlify(urandom(_DIGITS // 2 * _AT_ONCE))
        for at in range(0, len(digits), _DIGITS):
            yield digits[at : at + _DIGITS]


new_request_id = _made().__next__  # measured by callgrind: a third of `secrets.token_hex`
