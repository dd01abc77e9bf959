"""What is written to standard error, and how that changes while the process runs (R-171)."""

import errno
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from bff.cli import logs
from bff.config.model import LogConfig


@pytest.fixture(autouse=True)
def log_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The settings of other tests are put back; no variable of a developer's counts."""
    monkeypatch.delenv("BFF_LOG_LEVEL", raising=False)
    before, processors = structlog.get_config(), structlog.get_config()["processors"]
    kept = [*processors]
    yield
    processors[:] = kept
    structlog.configure(**before)


@pytest.mark.requirement("R-171")
def test_loggers_that_were_used_take_on_other_settings(capsys: pytest.CaptureFixture[str]) -> None:
    """Level and format hold for the next event, also of a logger that has written under the former ones."""
    log = structlog.get_logger()
    logs.configure(LogConfig(format="json", level="info"))
    log.info("one.happened", count=1)
    logs.configure(LogConfig(format="json", level="warning"))
    log.info("two.happened")
    log.warning("three.happened")
    logs.configure(LogConfig(format="console", level="debug"))
    log.debug("four.happened")
    first, second, third = capsys.readouterr().err.splitlines()
    assert json.loads(first)["event"] == "one.happened"
    assert (json.loads(second)["event"], json.loads(second)["level"]) == ("three.happened", "warning")
    assert "four.happened" in third
    assert not third.startswith("{")


@pytest.mark.parametrize("level", ["info", "warning"])
def test_an_error_passes_every_level(capsys: pytest.CaptureFixture[str], level: str) -> None:
    """So does an exception with its traceback."""
    logs.configure(LogConfig(format="json", level="info" if level == "info" else "warning"))
    log = structlog.get_logger()
    log.error("one.failed")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("two.failed")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["one.failed", "two.failed"]


SENT = ("\x1b[2J", "\x9b2J", "\x07", "\x08", "\x7f", "\x00", "\x85", "\u2028", "\u202e", "\n", "\r\x1b[2J", "\ud800")


@pytest.mark.requirement("R-275")
@pytest.mark.parametrize("sent", SENT, ids=ascii)
def test_nothing_that_was_sent_commands_a_terminal(capsys: pytest.CaptureFixture[str], sent: str) -> None:
    """On the console every character that is not printed is escaped: in a value, a list, and the lines of a traceback."""
    logs.configure(LogConfig(format="console", level="info"))
    log = structlog.get_logger()
    log.info("one.happened", path=f"/{sent}", found=[sent])
    try:
        raise ValueError(f"why{sent}")
    except ValueError:
        log.exception("two.failed")
    lines = capsys.readouterr().err.removesuffix("\n").split("\n")
    assert all(map(str.isprintable, lines))
    assert f"path={f'/{sent}'!r}" in lines[0]


def test_what_is_printed_stays_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """A path and a name in any script have no quotes and no escapes."""
    logs.configure(LogConfig(format="console", level="info"))
    structlog.get_logger().info("one.happened", path="/api/x", user="Zoë李")
    assert capsys.readouterr().err.rstrip().endswith("path=/api/x user=Zoë李")


class Unbuffered(io.RawIOBase):
    """Standard error as PYTHONUNBUFFERED makes it, which the image sets: each write is a system call."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: object) -> int:
        """One system call."""
        self.writes.append(bytes(memoryview(data)))  # type: ignore[arg-type]
        return len(self.writes[-1])


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_event_is_one_write(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    """Its line end comes with it: of several workers, which share standard error, no two events come on one line."""
    unbuffered = Unbuffered()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(unbuffered, write_through=True))
    logs.configure(LogConfig(format=form, level="info"))
    log = structlog.get_logger()
    log.info("one.happened", count=1)
    log.info("two.happened")
    assert [written[-1:] for written in unbuffered.writes] == [b"\n"] * 2


@pytest.mark.parametrize("reason", [errno.ENOSPC, errno.EPIPE, errno.EAGAIN])
def test_an_event_that_cannot_be_written_is_lost(monkeypatch: pytest.MonkeyPatch, reason: int) -> None:
    """A full disk or a collector that has gone fails no request; once it can be written again, events are."""

    class Failing(Unbuffered):
        failing = True

        def write(self, data: object) -> int:
            if self.failing:
                raise OSError(reason, "not now")
            return super().write(data)

    raw = Failing()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, write_through=True))
    logs.configure(LogConfig(format="json", level="info"))
    structlog.get_logger().info("one.happened")
    raw.failing = False
    structlog.get_logger().info("two.happened")
    assert json.loads(raw.writes[-1])["event"] == "two.happened"


def test_the_gateway_starts_without_standard_files(tmp_path: Path) -> None:
    """With all three closed no socket takes a descriptor of theirs: it would get what is written to standard error."""
    script = (
        "import os, socket, sys\n"
        "from bff.cli import logs\n"
        "from bff.config.model import LogConfig\n"
        "logs.open_standard_files()\n"
        "logs.configure(LogConfig())\n"
        "free = socket.socket().fileno()\n"
        "sys.stderr.write('lost')\n"
        "open(sys.argv[1], 'w').write(str(free))\n"
    )
    found = tmp_path / "found"
    command = f'exec "{sys.executable}" -c "$1" "$2" <&- >&- 2>&-'
    subprocess.run(["/bin/sh", "-c", command, "sh", script, str(found)], check=True)
    assert int(found.read_text()) > 2
