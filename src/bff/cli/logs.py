"""What is written to standard error: one event for each outcome, as JSON or for a person.

Libraries log through `logging`; they are kept at warning, because at debug some of them print fields and URLs (invariant 10).
"""

import logging
import os
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TextIO, cast

import click
import structlog

from bff.config.model import LogConfig

LEVEL_VARIABLE = "BFF_LOG_LEVEL"
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


def configure(settings: LogConfig) -> None:
    """Set up logging for this process, also anew (R-171); `BFF_LOG_LEVEL` wins over the file.

    Loggers keep the list of processors that they were first used with, so that list is changed in place; the level is one of them.

    Raises:
        click.UsageError: it names no level.
    """
    level = LEVELS[level_in_force(settings)]
    as_json = settings.format == "json" or (settings.format is None and not sys.stderr.isatty())
    processors = structlog.get_config()["processors"]
    processors[:] = [
        partial(_drop_below, level),
        structlog.contextvars.merge_contextvars,  # the request that the task works for
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        *_renderers(as_json=as_json),
    ]
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.NOTSET),
        # An event and its line end in one write.
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", _Events(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_LibraryHandler()]
    root.setLevel(logging.WARNING)


@dataclass(frozen=True, slots=True, weakref_slot=True)  # structlog keeps a lock for each file, weakly
class _Events:
    """The file that events are written to. One that cannot be written is lost: a full disk, or a collector that has gone, is no reason
    to fail the request that the event is about. Equal for equal files, which have one lock."""

    file: TextIO

    def write(self, text: str) -> None:
        """Write one event."""
        with suppress(OSError):
            self.file.write(text)

    def flush(self) -> None:
        """Hand it to the system."""
        with suppress(OSError):
            self.file.flush()


def open_standard_files() -> None:
    """Open those of the three standard files that this process was started without (`2>&-`): to nowhere.

    A descriptor that is free would be the next socket's, and what a library writes to standard error would go to a browser.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process runs


def silence() -> None:
    """Write no event: for a command that says itself what it finds."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))


def level_in_force(settings: LogConfig) -> str:
    """The level of the environment, else the file's.

    Raises:
        click.UsageError: `BFF_LOG_LEVEL` names none.
    """
    level = os.environ.get(LEVEL_VARIABLE, "").lower() or settings.level
    if level not in LEVELS:
        raise click.UsageError(f"{LEVEL_VARIABLE} is not one of {', '.join(LEVELS)}")
    return level


def _drop_below(level: int, _: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if LEVELS.get(method, logging.ERROR) < level:
        raise structlog.DropEvent
    return event


def _renderers(*, as_json: bool) -> tuple[Any, ...]:
    if as_json:
        return (structlog.processors.JSONRenderer(),)
    # Where `rich` is installed, structlog's default prints the local variables of each frame, tokens too (invariant 10).
    plain = structlog.dev.plain_traceback
    return _escape, structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)


@dataclass(frozen=True, slots=True)
class _Escaped:
    """A text that the console shows as Python writes it: structlog quotes texts with white space and line ends, and no others."""

    text: str

    def __repr__(self) -> str:
        return repr(self.text)


def _escape(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape what a terminal would act on: paths and claims are logged as they came, and ESC, or C1's CSI, begins a command to it
    (ECMA-48 section 5.4)."""
    for name, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[name] = _printable_lines(value) if name == "exception" else _Escaped(value)
    return event


def _printable_lines(text: str) -> str:
    lines = text.split("\n")
    return "\n".join(line if line.isprintable() else repr(line)[1:-1] for line in lines)


class _LibraryHandler(logging.Handler):
    """Hands what libraries log to structlog, so that a log has one format; ANSI and line ends come out escaped in JSON."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one library event."""
        facts: dict[str, Any] = {"logger": record.name, "level_name": record.levelname.lower()}
        if record.exc_info:
            facts["exc_info"] = record.exc_info
        structlog.get_logger().warning("library.message", message=ascii(record.getMessage()), **facts)
