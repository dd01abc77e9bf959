"""`docs/how-to/rotate-secrets.md`, walked through under load: its commands print what it says, and no request fails."""

import asyncio
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
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
                printed = await self.typed(step.command)
                seen = without_particulars(tuple(printed.splitlines()), known)
                if seen == wanted:
                    self._here = known
                    return
                assert step.command == "bff secrets status", printed

    async def used(self, position: str) -> str | None:
        """When the provider's secret or key at this place was last used, as the status says."""
        told = json.loads(await self.typed("bff secrets status --json"))["secrets"]
        (at,) = [
            secret["last_used_at"] for secret in told if (secret["owner"], secret["position"]) == ("corp", position)
        ]
        return None if at is None else str(at)

    async def typed(self, command: str) -> str:
        """What a command prints; it must end well."""
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


def switched_to(world: FaultWorld, position: int) -> bool:
    """Whether a process has found that the provider takes the secret, or key, at this place."""
    switches = [event for gateway in world.balancer.gateways for event in gateway.events("provider.secret_switched")]
    return any(event["position"] == position for event in switches)


async def until(holds: Callable[[], bool]) -> None:
    """Return once it holds; sessions are refreshed every few seconds."""
    async with asyncio.timeout(SEEN_WITHIN_SECONDS):
        while not holds():
            await asyncio.sleep(0.05)


async def nothing_happened(world: FaultWorld, name: str) -> None:
    """No session was lost, and no request failed."""
    world.over()
    report = await world.report()
    print(report.line(name), flush=True)
    assert (report.lost, report.wrong_users, report.broken, report.used_twice) == (0, 0, 0, 0)
    assert set(report.statuses) == {200}


async def test_both_rotations_fail_no_request_and_show_the_switch() -> None:
    """Every command of the page, in its order, while sessions are refreshed every few seconds; the provider knows one secret at a
    time, which is the harder case. The log says each switch, as the page says."""
    async with fault_world(sessions=20, processes=2) as world:
        operator = Operator(world)
        dropped = False
        for step in (*steps("A client secret"), *steps("Session keys")):
            await operator.walk(step)
            if step.command == "bff secrets status" and not dropped:
                await until(
                    lambda: switched_to(world, 1)
                )  # the provider refused the new one once, and took the old one
                dropped = True
                new = (world.folder / "corp-new").read_text().strip()
                world.provider.clients["shop"] = replace(world.provider.clients["shop"], secret=new)
                await until(lambda: switched_to(world, 0))
        await nothing_happened(world, "both rotations")


@pytest.mark.requirement("R-090")
@pytest.mark.parametrize("looks", ["in time", "late"])
async def test_a_client_key_is_rotated_under_load(looks: str) -> None:
    """The steps of the page, at a provider that fetches our keys from `/bff/jwks/corp`. One that looks too late refuses the new
    key and takes the old one, until it looks; no request fails in either case."""
    async with fault_world(sessions=20, processes=2, by_key=True) as world:
        known = world.provider.jwks_of_client
        assert known is not None
        operator = Operator(world)
        first = set(known.kids)
        await operator.typed("bff secrets new signing-key --out corp-key.pem && mv corp-key.pem corp-key-old.pem")
        assert await operator.used("client_keys[1]") is None
        if looks == "in time":
            await known.look()
            assert known.kids > first
        await operator.typed(
            "cp corp-key-new.pem tmp && mv corp-key-old.pem corp-key-new.pem && mv tmp corp-key-old.pem"
        )
        if looks == "late":
            await until(lambda: switched_to(world, 1))
            assert known.refused > 0
            assert await operator.used("client_keys[0]") is None
            await known.look()
            await operator.typed("cp corp-key-new.pem tmp && mv tmp corp-key-old.pem")
        async with asyncio.timeout(SEEN_WITHIN_SECONDS):
            while await operator.used("client_keys[0]") is None:
                await asyncio.sleep(0.5)
        assert looks == "late" or known.refused == 0
        await nothing_happened(world, f"client key rotated, provider looks {looks}")
