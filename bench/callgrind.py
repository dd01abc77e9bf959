"""A program under valgrind's callgrind: count its user-space instructions between two points, and say where they are.

Instrumentation is off while the program starts and warms up, which is then several times faster, and on for what is counted.
Callgrind counts what the program executes itself: not the kernel, and not other processes.
"""

import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from bench.processes import LOAD_CORE, find
from bench.variants import Launch

INSTALL = "apt install valgrind"
CONTROL_SECONDS = 60
ROW = re.compile(r"^\s*(?P<count>[\d,]+) +\( *(?P<share>[\d.]+)%\) +(?P<where>.+)$")
# The same order in every dictionary of every run, or two runs differ by some hundred instructions a request.
FIXED = {"PYTHONHASHSEED": "0"}


class CallgrindFailedError(RuntimeError):
    """Valgrind did not do what it was asked; the text holds its answer."""


def missing() -> str | None:
    """What to install, if anything."""
    tools = ("valgrind", "callgrind_control", "callgrind_annotate")
    return None if all(find(tool) for tool in tools) else INSTALL


@dataclass(slots=True, kw_only=True)
class Callgrind:
    """One program. `launch` starts it, `pid` is set once it runs; `dump` names the file of the last count."""

    target: Path
    pid: int = 0
    dump: Path | None = field(default=None, init=False)
    dumps: int = field(default=0, init=False)

    def launch(self, plain: Launch) -> Launch:
        """The command under callgrind. valgrind replaces itself by the program, so the process id stays."""
        options = ["--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={self.target}"]
        return Launch(command=[find("valgrind") or "valgrind", *options, *plain.command], env={**plain.env, **FIXED})

    def begin(self) -> None:
        """Instrument from here, with all counters at zero."""
        self._control("--instr=on")
        self._control("--zero")

    def end(self) -> int:
        """The instructions since `begin`; instrumentation is off again.

        Raises:
            CallgrindFailedError: there is no new dump, or it has no total.
        """
        self._control("--dump")
        self._control("--instr=off")
        self.dumps += 1
        self.dump = self.target.with_name(f"{self.target.name}.{self.dumps}")
        return _total(self.dump)

    def _control(self, option: str) -> None:
        command = ["taskset", "--cpu-list", str(LOAD_CORE), find("callgrind_control") or "callgrind_control"]
        command += [option, str(self.pid)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CONTROL_SECONDS, check=False)
        if done.returncode or "OK" not in done.stdout:
            raise CallgrindFailedError(f"callgrind_control {option}: {done.stdout}{done.stderr}")


def _total(dump: Path) -> int:
    try:
        lines = dump.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        raise CallgrindFailedError(f"{dump} was not written") from None
    total = next((line for line in lines if line.startswith(("totals:", "summary:"))), None)
    if total is None:
        raise CallgrindFailedError(f"{dump} has no total")
    return int(total.split()[1])


def top_functions(dump: Path, *, count: int, inclusive: bool, requests: int) -> list[str]:
    """The functions with the most instructions, one a line: instructions per request, share, file and function.

    Inclusive shares of functions that call themselves (CPython's interpreter) can be above 100 %.
    """
    how = ["--auto=no", "--threshold=100", f"--inclusive={'yes' if inclusive else 'no'}"]
    command = [find("callgrind_annotate") or "callgrind_annotate", *how, str(dump)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    rows = [row for line in said if (row := ROW.match(line)) and row["where"] != "PROGRAM TOTALS"]
    return [_row_text(row, requests) for row in rows[:count]]


def _row_text(row: re.Match[str], requests: int) -> str:
    place, _, library = row["where"].partition(" [")
    instructions = int(row["count"].replace(",", "")) / requests
    return f"{instructions:12,.0f} {row['share']:>7} %  {Path(place).name}  {Path(library.rstrip(']')).name}"
