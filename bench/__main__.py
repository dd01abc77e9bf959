"""`python -m bench`: start everything, check it, time it, print the table."""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import FrameType

from bench import machine, report, wrk
from bench.browser import Browser
from bench.callgrind import CallgrindFailedError
from bench.check import NotDeliveredError
from bench.processes import LOAD_CORE, PROXY_CORE, DidNotStartError
from bench.revision import old_gateway
from bench.scenarios import SCENARIOS, Results, Scenario
from bench.sign_in import SignInFailedError
from bench.start import say, start_all
from bench.streams import allow_files
from bench.variants import VARIANTS, Variant
from bench.world import MissingPartError, World
from bench.wrk import LoadFailedError

TOOLS = {"taskset": "util-linux", "setpriv": "util-linux"}


def main(arguments: Sequence[str] | None = None) -> int:
    """0: measured; 1: something was delivered wrong; 2: it cannot run here."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, _terminated)
    try:
        _refuse_without_tools()
        allow_files(16384)
        os.sched_setaffinity(0, {LOAD_CORE})
        return _run(options)
    except MissingPartError as missing:
        print(f"cannot run here: {missing}", file=sys.stderr)
        return 2
    except (NotDeliveredError, LoadFailedError, SignInFailedError, DidNotStartError, CallgrindFailedError) as failure:
        print(f"failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each timed load (default 5)")
    parser.add_argument(
        "--rounds", type=int, default=3, help="interleaved rounds, of which medians are taken (default 3)"
    )
    parser.add_argument("--quick", action="store_true", help="one second of 1 KB per variant, to see that it works")
    parser.add_argument("--against", metavar="REV", help="measure `bff serve` of this git revision as well")
    parser.add_argument("--only", type=_names(variant.name for variant in VARIANTS), help="variants, comma-separated")
    parser.add_argument("--scenario", type=_names(scenario.name for scenario in SCENARIOS), help="scenarios likewise")
    parser.add_argument("--json", type=Path, help="write every round's figures to this file")
    parser.add_argument("--into", type=Path, help="put the tables into this page, below its line `<!-- figures`")
    parser.add_argument("--keep", action="store_true", help="keep the temporary directory: configurations and logs")
    options = parser.parse_args(arguments)
    if options.quick:
        options.seconds, options.rounds = 1.0, 1
        options.scenario = options.scenario or ["1k"]
    return options


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    allowed = list(known)

    def parse(text: str) -> list[str]:
        names = text.split(",")
        if unknown := set(names) - set(allowed):
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(allowed)}")
        return names

    return parse


def _terminated(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _refuse_without_tools() -> None:
    for tool, package in TOOLS.items():
        if shutil.which(tool) is None:
            raise MissingPartError(f"{tool} (apt install {package})")
    if (install := wrk.missing()) is not None:
        raise MissingPartError(f"wrk ({install})")
    if not {PROXY_CORE, LOAD_CORE} <= os.sched_getaffinity(0):
        raise MissingPartError("two cores, 0 and 1")


def _run(options: argparse.Namespace) -> int:
    scenarios = [scenario for scenario in SCENARIOS if options.scenario is None or scenario.name in options.scenario]
    variants = _available(_wanted(options.only, options.against))
    busy = f"{os.getloadavg()[0]:.1f} (load average; an idle machine has 0)"
    with contextlib.ExitStack() as stack:
        directory = _directory(stack, keep=options.keep)
        world, browsers = start_all(stack, directory, variants)
        results = _rounds(world, browsers, scenarios, seconds=options.seconds, rounds=options.rounds)
    facts = {**machine.facts([browser.proxy.variant for browser in browsers]), "other work at the start": busy}
    tables = report.render(results, scenarios=scenarios, variants=variants, facts=facts)
    print(tables)
    if options.into:
        report.write_into(options.into, tables)
    if options.json:
        options.json.write_text(json.dumps({"facts": facts, "results": results}, indent=1))
    return 0


def _wanted(only: list[str] | None, against: str | None) -> list[Variant]:
    """The old gateway stands beside the new one, so that each round measures them one after the other."""
    wanted = [variant for variant in VARIANTS if only is None or variant.name in only]
    if against is None:
        return wanted
    place = next((number for number, variant in enumerate(wanted, 1) if variant.name == "bff"), len(wanted))
    return [*wanted[:place], old_gateway(against), *wanted[place:]]


def _available(wanted: list[Variant]) -> list[Variant]:
    found = []
    for variant in wanted:
        if (install := variant.missing()) is not None:
            say(f"left out: {variant.title} ({install})")
            continue
        found.append(variant)
    return found


def _directory(stack: contextlib.ExitStack, *, keep: bool) -> Path:
    directory = Path(tempfile.mkdtemp(prefix="bff-bench-"))
    directory.chmod(0o755)  # Apache's worker is another user
    if keep:
        say(f"files in {directory}")
    else:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
    return directory


def _rounds(
    world: World, browsers: list[Browser], scenarios: list[Scenario], *, seconds: float, rounds: int
) -> Results:
    results: Results = {scenario.name: {} for scenario in scenarios}
    for scenario in scenarios:
        for number in range(rounds if scenario.repeats else 1):
            for browser in browsers:
                if browser.proxy.variant.only_in is not None and scenario.name not in browser.proxy.variant.only_in:
                    continue
                name, began = browser.proxy.variant.name, time.monotonic()
                figures = scenario.measure(world, browser, seconds)
                results[scenario.name].setdefault(name, []).append(figures)
                shown = {key: round(value, 4) if isinstance(value, float) else value for key, value in figures.items()}
                say(f"{scenario.name} round {number + 1} {name}: {shown} ({time.monotonic() - began:.1f} s)")
    return results


if __name__ == "__main__":
    sys.exit(main())
