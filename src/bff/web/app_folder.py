"""The folder of one `files` route on the disk: a name becomes an open file, or nothing.

Nothing outside the folder is ever read. A name is resolved, links and all; if it leads out of the folder it is not there. Then the
resolved path is opened segment by segment and no segment may be a link (`O_NOFOLLOW`): what is swapped for a link between the two
steps is not followed. Type, size and time are those of the open file, not of a name.
"""

import errno
import hashlib
import os
import stat
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from threading import Lock

MAX_DIGESTS = 1024
MAX_DIGESTED_BYTES = 64 * 1024 * 1024  # 35 ms; what is longer is known by its size, and by its beginning
FIRST_BYTES = 64 * 1024  # read together with the opening: most files of an app are not longer

_NOT_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM})
_FILE = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_BELOW = os.open in os.supports_dir_fd  # not on Windows, where links need a privilege


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenFile:
    """A regular file of the folder; `first` are its first bytes, all of them where it is short. Close it.

    `digest` tells two states of the file apart: it is of all bytes, up to `MAX_DIGESTED_BYTES`.
    """

    content: BufferedReader
    first: bytes
    digest: bytes
    size: int
    modified_ns: int

    def read(self, at: int, size: int) -> bytes:
        """At most `size` bytes from `at` on; blocks."""
        self.content.seek(at)
        return self.content.read(size)

    def close(self) -> None:
        """Give the descriptor back."""
        self.content.close()


class IsFolder(Exception):
    """The name is a folder's."""


def open_file(folder: Path, name: str) -> OpenFile | None:
    """The file of this name below `folder`; None: there is none that may be read. Blocks.

    Raises:
        IsFolder: it is a folder.
        OSError: the disk fails, or descriptors run out.
    """
    try:
        root = os.path.realpath(folder, strict=True)
        path = os.path.realpath(os.path.join(root, name), strict=True)
        if os.path.commonpath([root, path]) != root:
            return None
        descriptor = _open(root, path)
    except ValueError:  # NUL
        return None
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    return _regular(descriptor)


def _regular(descriptor: int) -> OpenFile | None:
    """The open file with its first bytes; the descriptor is closed where it is none."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        os.close(descriptor)
        if stat.S_ISDIR(found.st_mode):
            raise IsFolder
        return None
    content = os.fdopen(descriptor, "rb")
    first = content.read(FIRST_BYTES)
    if len(first) < found.st_size <= MAX_DIGESTED_BYTES:
        digest = _digests.of(content, found)
    else:
        digest = hashlib.sha256(b"%d " % found.st_size + first).digest()
    return OpenFile(content=content, first=first, digest=digest, size=found.st_size, modified_ns=found.st_mtime_ns)


class _Digests:
    """SHA-256 of files that are longer than `FIRST_BYTES`, worked out once for each state of a file; used by several threads."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, ...], bytes] = {}
        self._lock = Lock()

    def of(self, content: BufferedReader, found: os.stat_result) -> bytes:
        """The digest of an open file; blocks for as long as reading it takes."""
        state = (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)
        with self._lock:
            digest = self._kept.get(state)
        if digest is None:
            content.seek(0)
            digest = hashlib.file_digest(content, "sha256").digest()
            with self._lock:
                if len(self._kept) >= MAX_DIGESTS:
                    del self._kept[next(iter(self._kept))]  # the oldest
                self._kept[state] = digest
        return digest


_digests = _Digests()


def _open(root: str, path: str) -> int:
    """Open `path`, which is below `root` and free of links; one that has become a link since raises ELOOP."""
    if not _BELOW:
        return os.open(path, _FILE | getattr(os, "O_BINARY", 0))
    segments = os.path.relpath(path, root).split(os.sep)
    at = os.open(root, _FOLDER)
    try:
        for segment in segments[:-1]:
            inner = os.open(segment, _FOLDER | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = inner
        return os.open(segments[-1], _FILE, dir_fd=at)
    finally:
        os.close(at)


def exists(folder: Path, name: str) -> bool:
    """Whether a file of this name seems to be there. Only `open_file` proves it."""
    return os.path.isfile(os.path.join(folder, name))
