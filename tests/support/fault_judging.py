"""The goals of the fault suite, and how its worlds are warmed up (`tests/faults/`).

`make faults` runs the long form, `make faults-short` the one for CI. Each run prints a line of figures; `docs/reliability.md` holds
them. What the clock of a busy machine decides has wide limits here.
"""

import asyncio
import os

from support.fault_world import FaultWorld, Report

LONG = os.environ.get("FAULTS") == "long"
MEASURING = os.environ.get("FAULTS_MEASURE") == "1"  # print figures, judge nothing
SESSIONS = 60 if LONG else 30
WARM_SECONDS = 4.0
SOON_SECONDS = 3.0
SLOW = {"lifetime_seconds": 40} if LONG else {}  # an access token has to outlive an answer that comes after 14 s
SLOW_WARM_SECONDS = 22.0 if LONG else WARM_SECONDS  # to when the first refreshes are under way
SLACK_SECONDS = 2.0  # of a busy machine


def judge(name: str, report: Report, *, recovered_within: float = SOON_SECONDS, inherent: int = 0) -> None:
    """The goals; `inherent` is how many sessions may be lost because their answer was lost with a process: the report is without their
    users, whose recovery is judged apart."""
    print(report.line(name), flush=True)
    if MEASURING:
        return
    assert report.wrong_users == 0
    assert report.resurrected == 0
    assert report.used_twice == 0
    assert report.late_tokens == 0
    assert report.lost <= inherent
    assert report.recovered_seconds <= recovered_within + SLACK_SECONDS


async def warm(world: FaultWorld, *, seconds: float = WARM_SECONDS) -> None:
    """Let every session be refreshed at least once, and two of them sign out."""
    await asyncio.sleep(seconds)
    await world.load.sign_out(2)
