"""Files that the configuration names. They are read in the thread of the event loop, so reading one never waits.

Opening a named pipe waits for its writer unless O_NONBLOCK is set (POSIX, open()). So a file is opened with it, and judged by what was
opened: only a regular file is read, of a bounded size.
"""

import errno
import os
import stat
from pathlib import Path

Stamp = tuple[int, int, int, int]


def stamp(path: Path | str) -> Stamp:
    """What differs when a file was changed or replaced, or may be read now where it could not be (ctime).

    Raises:
        OSError: there is none.
    """
    found = os.stat(path)
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def read(path: Path | str, *, limit: int) -> bytes:
    """All of a file of at most `limit` bytes.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger.
    """
    with open(_opened(path), "rb") as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit // 1024} KiB")
    return content


def require(path: Path | str) -> None:
    """To be asked before a library opens a file by its name.

    Raises:
        OSError: it cannot be read, or is no regular file.
    """
    os.close(_opened(path))


def open_without_waiting(path: Path | str, flags: int) -> int:
    """The descriptor of a file or pipe; a pipe that has no writer reads as an empty file."""
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def flaw_of(error: OSError) -> str:
    """Why a file cannot be used, without its name."""
    return (error.strerror or type(error).__name__).partition(" (_ssl.c")[0]  # a line of CPython's source


def _opened(path: Path | str) -> int:
    """Raises: OSError: it cannot be read, or is no regular file."""
    descriptor = open_without_waiting(path, os.O_RDONLY)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "no regular file")
    return descriptor
