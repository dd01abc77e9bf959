"""What a process tree used: CPU time and memory, from /proc."""

import os
from pathlib import Path

from bench.processes import tree

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """User and system time of the whole tree so far, in steps of one clock tick (10 ms)."""
    return sum(_ticks(member) for member in tree(pid)) / TICKS_PER_SECOND


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])  # utime and stime, proc(5)


def forget_peak(pid: int) -> None:
    """Let the peak start again from what is resident now."""
    for member in tree(pid):
        Path(f"/proc/{member}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """The largest resident set since `forget_peak`, summed over the tree (pages that are shared count twice)."""
    return sum(_kib(Path(f"/proc/{member}/status"), "VmHWM:") for member in tree(pid)) * 1024


def resident_bytes(pid: int) -> int:
    """The resident set now, summed over the tree."""
    return sum(_kib(Path(f"/proc/{member}/status"), "VmRSS:") for member in tree(pid)) * 1024


def proportional_bytes(pid: int) -> int:
    """PSS now: shared pages count once. Memory of the kernel (socket buffers) is in none of these figures."""
    return sum(_kib(Path(f"/proc/{member}/smaps_rollup"), "Pss:") for member in tree(pid)) * 1024


def _kib(path: Path, label: str) -> int:
    line = next(line for line in path.read_text().splitlines() if line.startswith(label))
    return int(line.split()[1])
