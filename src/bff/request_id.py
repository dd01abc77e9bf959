"""The id of a request: what the log, the answer, the upstream and a page name it by (R-364).

A trusted proxy's `X-Request-Id` is kept, so that its log and ours meet. Any other one is dropped and one is made: a browser that could
choose ids could make its requests look like another's. Ids need not be secret, so one reading of the kernel's chance serves 512.
"""

import re
from binascii import hexlify
from collections.abc import Callable, Iterable
from itertools import chain, repeat
from os import urandom

NAME = b"x-request-id"

_GIVEN = re.compile(rb"[\x21-\x7e]{1,128}")  # visible ASCII: it is written to logs, pages and fields
_SIXTEEN_DIGITS = re.compile(rb".{16}")
_BYTES_AT_ONCE = 4096


def of_trusted(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The id in a trusted proxy's fields; a new one if there is none, several, or one that is no id."""
    given = [value for name, value in fields if name == NAME]
    if len(given) == 1 and _GIVEN.fullmatch(given[0]):
        return given[0]
    return new_request_id()


# Measured by callgrind: a quarter of `secrets.token_hex`; the interpreter runs no frame for it.
new_request_id: Callable[[], bytes] = chain.from_iterable(
    map(_SIXTEEN_DIGITS.findall, map(hexlify, map(urandom, repeat(_BYTES_AT_ONCE))))
).__next__
