"""Reading files that the configuration names: regular ones only, and without waiting."""

import errno
import os
import socket
import ssl
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bff import regular_files


def pipe(path: Path) -> None:
    """A named pipe without a writer: opening it waits."""
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    """A socket's name."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def read(path: Path) -> bytes:
    """Up to 10 bytes."""
    return regular_files.read(path, limit=10)


def flaw(path: Path, use: Callable[[Path], object]) -> str:
    """Why it is refused; empty if it is not."""
    try:
        use(path)
    except OSError as error:
        return regular_files.flaw_of(error)
    return ""


NOT_REGULAR: list[tuple[Callable[[Path], None], str]] = [
    (pipe, "no regular file"),
    (unix_socket, os.strerror(errno.ENXIO)),
    (Path.mkdir, "no regular file"),
]


@pytest.mark.parametrize(("make", "reason"), NOT_REGULAR)
def test_only_regular_files_are_read(make: Callable[[Path], None], reason: str) -> None:
    """Anything else is an error at once, also behind a link; no descriptor is left open."""
    with tempfile.TemporaryDirectory() as folder:  # short enough for a socket's name
        path, link = Path(folder) / "it", Path(folder) / "link"
        make(path)
        link.symlink_to(path)
        before = len(os.listdir("/dev/fd"))
        for name in (path, link):
            assert [flaw(name, regular_files.require), flaw(name, read)] == [reason, reason]
        assert len(os.listdir("/dev/fd")) == before


def test_the_reason_is_one_that_an_operator_understands(tmp_path: Path) -> None:
    """It holds no name, and no line of CPython's source."""
    assert flaw(tmp_path / "none", read) == "No such file or directory"
    error = ssl.SSLError(116, "[X509: KEY_VALUES_MISMATCH] key values mismatch (_ssl.c:4061)")
    assert regular_files.flaw_of(error) == "[X509: KEY_VALUES_MISMATCH] key values mismatch"
    assert regular_files.flaw_of(OSError()) == "OSError"


def test_a_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    """All of it, or an error."""
    (tmp_path / "file").write_bytes(b"x" * 2048)
    assert regular_files.read(tmp_path / "file", limit=2048) == b"x" * 2048
    with pytest.raises(OSError, match="larger than 1 KiB"):
        regular_files.read(tmp_path / "file", limit=2047)


def test_a_stamp_differs_when_a_file_does(tmp_path: Path) -> None:
    """Another content, another file of the same name, other rights; not when it was only read."""
    path = tmp_path / "file"
    path.write_text("one")
    stamps = [regular_files.stamp(path)]
    regular_files.read(path, limit=10)
    assert regular_files.stamp(path) == stamps[0]
    path.write_text("three")
    stamps.append(regular_files.stamp(path))
    (tmp_path / "new").write_text("three")
    os.utime(tmp_path / "new", ns=(0, stamps[-1][2]))
    (tmp_path / "new").rename(path)
    stamps.append(regular_files.stamp(path))
    for _ in range(100_000):  # a kernel's clock has ticks of some milliseconds
        path.chmod(0o400)
        if regular_files.stamp(path) != stamps[-1]:
            break
    stamps.append(regular_files.stamp(path))
    assert len(set(stamps)) == len(stamps)


def test_a_pipe_without_a_writer_may_be_opened_where_pipes_are_meant(tmp_path: Path) -> None:
    """`bff check -c` takes one: it reads as an empty file."""
    pipe(tmp_path / "pipe")
    with open(tmp_path / "pipe", "rb", opener=regular_files.open_without_waiting) as opened:
        assert opened.read() == b""
