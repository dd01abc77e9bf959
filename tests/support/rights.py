"""A file or folder that the tests' user may not look into, for root too: root becomes another user for the length of a block."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def without_rights(path: Path) -> Iterator[None]:
    """`path` has no permissions in the block. Import nothing in it: root's own packages may be out of reach."""
    mode, user = path.stat().st_mode, os.geteuid()
    path.chmod(0)
    if user == 0:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        path.chmod(mode)
