"""`docs/how-to/rotate-secrets.md`, walked through under load: its commands print what it says, and no request fails."""

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from support.bff_command import environment
from support.documented import page
from support.fault_world import FaultWorld, fault_world

pytestmark = pytest.mark.faults

SEEN_WITHIN_SECONDS = 60.0
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command of the page, and the lines that it prints."""

    command: str
    printed: tuple[str, ...]


def steps(title: str) -> list[Step]:
    """The commands of a section, in order."""
    section = page("how-to/rotate-secrets.md").partition(f"## {title}\n")[2].partition("\n## ")[0]
    lines = [
        line.strip()
        for block in re.findall(r"```console\n(.*?)```", section, flags=re.DOTALL)
        for line in block.splitlines()
    ]
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    return [
        Step(command=lines[start].removeprefix("$ "), printed=tuple(line for line in lines[start + 1 : end] if line))
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)
    ]


def without_particulars(lines: Iterator[str] | tuple[str, ...], fingerprints: dict[str, int]) -> list[list[str]]:
    """The cells of what was printed; a time, a process and a fingerprint stand for all others, one fingerprint for itself."""
    return [[_particular(cell, fingerprints) for cell in re.split(r"  +", line)] for line in lines]


def _particular(cell: str, fingerprints: dict[str, int]) -> str:
    if re.fullmatch(r"[0-9a-f]{8}", cell):
        return f"fingerprint {fingerprints.setdefault(cell, len(fingerprints))}"
    if _TIME.fullmatch(cell):
        return "a time"
    return "a process" if re.fullmatch(r"\S+:\d+", cell) else cell


class Operator:
    """Types the commands of the page, and compares what they print."""

    def __init__(self, world: FaultWorld) -> None:
        self.world = world
        self._in_page: dict[str, int] = {}
        self._here: dict[str, int] = {}

    async def walk(self, step: Step) -> None:
        """Type one command; a status is asked for again until it shows what the page shows, within a minute."""
        wanted = without_particulars(step.printed, self._in_page)
        async with asyncio.timeout(SEEN_WITHIN_SECONDS):
            while True:
                known = dict(self._here)
                printed = await self._typed(step.command)
                seen = without_particulars(tuple(printed.splitlines()), known)
                if seen == wanted:
                    self._here = known
                    return
                assert step.command == "bff secrets status", printed

    async def _typed(self, command: str) -> str:
        bff = f"{shlex.quote(sys.executable)} -m bff"
        typed = re.sub(r"^bff ", f"{bff} ", command)
        ran = await asyncio.to_thread(
            subprocess.run,
            ["/bin/sh", "-c", typed],
            cwd=self.world.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env=environment(PYTHONPATH=os.pathsep.join(sys.path)),
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout


def test_the_page_has_commands_to_walk_through() -> None:
    """Each rotation asks for the status at least once after it began."""
    assert [step.command for step in steps("A client secret")].count("bff secrets status") == 3
    assert [step.command for step in steps("Session keys")].count("bff secrets status") == 1


async def test_both_rotations_fail_no_request_and_show_the_switch() -> None:
    """Every command of the page, in its order, while sessions are refreshed every few seconds; the provider knows one secret at a
    time, which is the harder case."""
    async with fault_world(sessions=20, processes=2) as world:
        operator = Operator(world)
        dropped = False
        for step in (*steps("A client secret"), *steps("Session keys")):
            await operator.walk(step)
            if step.command == "bff secrets status" and not dropped:
                dropped = True
                new = (world.folder / "corp-new").read_text().strip()
                world.provider.clients["shop"] = replace(world.provider.clients["shop"], secret=new)
        world.over()
        report = await world.report()
        print(report.line("both rotations"), flush=True)
        assert (report.lost, report.wrong_users, report.broken, report.used_twice) == (0, 0, 0, 0)
        assert set(report.statuses) == {200}
