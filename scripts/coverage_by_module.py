"""How much of each module is run by its own test files, after `tests/maxi_cov.py` of python-websockets.

    python scripts/coverage_by_module.py           every module; exit code 1 if one is below its floor
    python scripts/coverage_by_module.py web/      the modules of one package

A line that other modules' tests happen to run is not tested: the test of the module would not fail if it were wrong. So the test
files run once, each line is noted with the test file that ran it, and of a module count the lines that its own test files ran: those
that `coverage_by_module.toml` names, else those named after it (of an endpoint, the journey too), else those of its package. What an
import runs counts for each module. That file holds floors, and exceptions with their reasons, too. Of other processes, only the
commands that `tests/support/bff_command.py` runs in a fork are measured.
"""

import importlib
import io
import os
import pkgutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import coverage
import pytest

REPOSITORY = Path(__file__).parent.parent
SOURCE = REPOSITORY / "src" / "bff"
TESTS = REPOSITORY / "tests"
RULES_FILE = Path(__file__).with_suffix(".toml")
RULES = tomllib.loads(RULES_FILE.read_text(encoding="utf-8"))
IMPORTED = "import"
NOT_MEASURED = ("browser", "docs", "faults", "node", "support")
WORKERS = 2
PARTS = 8  # of the test files: more than workers, so that both have work until the end
TOLERANCE = 2  # percent: what a run under load, or a line more in a small module, may cost


def modules(below: str) -> list[str]:
    """The modules below this folder of the package, e.g. `web/app.py`."""
    return sorted(
        name
        for file in SOURCE.rglob("*.py")
        if (name := file.relative_to(SOURCE).as_posix()).startswith(below)
        and file.name not in {"__init__.py", "__main__.py"}
    )


def own_tests(module: str) -> list[str]:
    """The module's own test files, e.g. `web/test_web_health.py` and `journeys/test_access_rules.py`."""
    if module in RULES["tests"]:
        return list(RULES["tests"][module])
    package = Path(module).parent.as_posix()
    of_package = [] if package == "." else sorted((TESTS / package.split("/")[0]).rglob("test_*.py"))
    return sorted({file.relative_to(TESTS).as_posix() for file in _named_after(module) or of_package})


def _named_after(module: str) -> list[Path]:
    """The test files beside it that have its name, and an endpoint's journey."""
    folder, stem = Path(module).parent, Path(module).stem
    named = [file for pattern in (f"test_{stem}.py", f"test_*_{stem}.py") for file in (TESTS / folder).glob(pattern)]
    return named + (list(TESTS.glob(f"journeys/test_{stem}.py")) if folder == Path("web") else [])


def test_files() -> list[str]:
    """The test files that can be measured, the largest first."""
    files = [file for file in TESTS.rglob("test_*.py") if file.relative_to(TESTS).parts[0] not in NOT_MEASURED]
    return [file.relative_to(TESTS).as_posix() for file in sorted(files, key=lambda file: -file.stat().st_size)]


class ByTestFile:
    """A plugin of pytest: what a test runs is noted under its file."""

    def __init__(self, measured: coverage.Coverage) -> None:
        self._measured = measured

    def pytest_sessionstart(self) -> None:
        """Import every module of the package, so that no test file is taken for what an import runs."""
        self._measured.switch_context(IMPORTED)
        package = importlib.import_module("bff")
        for module in pkgutil.walk_packages(package.__path__, "bff."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Switch before the fixtures of a test are made."""
        self._measured.switch_context(item.path.relative_to(TESTS).as_posix())
        return (yield)


def measure(data_file: str, files: Sequence[str]) -> int:
    """Run these test files in this process; the exit code of pytest."""
    os.environ["COVERAGE_CORE"] = "ctrace"  # the other core of coverage notes no contexts
    os.environ["COVERAGE_OF_COMMANDS"] = f"{data_file}.command"
    measured = coverage.Coverage(data_file=data_file, source=[str(SOURCE)], config_file=False)
    measured.start()
    code = pytest.main(
        ["-p", "no:cacheprovider", *(str(TESTS / file) for file in files)], plugins=[ByTestFile(measured)]
    )
    measured.stop()
    measured.save()
    return int(code)


def measured_in_workers(folder: str, files: Sequence[str]) -> coverage.CoverageData:
    """What all of these test files ran, measured in two processes at a time."""
    numbers = range(min(PARTS, len(files)))  # without a file pytest would run all
    parts = [(f"{folder}/data.{number}", files[number::PARTS]) for number in numbers]

    def run(part: tuple[str, Sequence[str]]) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(  # noqa: S603 - this file, with names of test files
            [sys.executable, __file__, "--measure", part[0], *part[1]], capture_output=True, check=False
        )

    with ThreadPoolExecutor(WORKERS) as pool:
        for ran in pool.map(run, parts):
            output = ran.stdout.decode()
            failures = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
            if failures:  # `make test` says why; here, less has run than should
                print(*failures, sep="\n")
            elif ran.returncode != pytest.ExitCode.OK:
                # Also where a test did not end, and faulthandler ended the process: its code is that of failed tests.
                sys.exit(output[-5000:] + ran.stderr.decode()[-5000:])
    whole = coverage.CoverageData(no_disk=True)
    for file in Path(folder).iterdir():
        ran_in_process = coverage.CoverageData(basename=str(file))
        ran_in_process.read()
        whole.update(ran_in_process)
    return whole


def percent_run(module: str, data: coverage.CoverageData) -> tuple[int, list[int]]:
    """How much of a module its own tests run, in percent rounded down, and the lines that they do not run."""
    statements, excluded = _statements(SOURCE / module)
    # "" is what pytest imports with a conftest.py, before the session starts.
    contexts = ("", IMPORTED, *own_tests(module))
    data.set_query_contexts(["^" + name.replace(".", r"\.") + "$" for name in contexts])
    ran = set(data.lines(str(SOURCE / module)) or ()) & statements
    wanted = statements - excluded
    missing = sorted(wanted - ran)
    return (100 if not wanted else 100 * (len(wanted) - len(missing)) // len(wanted)), missing


def _statements(file: Path) -> tuple[set[int], set[int]]:
    _, statements, excluded, _, _ = coverage.Coverage(data_file=None, config_file=False).analysis2(str(file))
    return set(statements), set(excluded)


def main(below: str) -> int:
    """Print what is below its floor, and what has risen above its exception."""
    exceptions, failed = RULES["exceptions"], False
    wanted = sorted({file for module in modules(below) for file in own_tests(module)})
    files = [file for file in test_files() if file in wanted]
    with tempfile.TemporaryDirectory() as folder:
        data = measured_in_workers(folder, files)
    out = io.StringIO()
    for module in modules(below):
        percent, missing = percent_run(module, data)
        floor = exceptions[module]["floor"] if module in exceptions else RULES["floor"]
        is_below = percent < floor - TOLERANCE
        failed |= is_below
        mark = "BELOW" if is_below else "-----" if module in exceptions else "     "
        print(f"{mark} {percent:3}% of {floor:3}%  {module:40} {_ranges(missing)}", file=out)
        if is_below:
            print(_what_to_do(module), file=out)
    unknown = _unknown_names()
    failed |= bool(unknown)
    print(out.getvalue(), *(f"no such file: {name}\n" for name in unknown), sep="", end="")
    return int(failed)


def _what_to_do(module: str) -> str:
    """For a module below its floor."""
    name = Path(module).stem
    if not _named_after(module) and module not in RULES["tests"]:
        beside = Path("tests", module).parent / f"test_{name}.py"
        return f"      it has no test file of its own: write {beside}, or name those that test it under [tests] in {RULES_FILE.name}"
    measured = ", ".join(own_tests(module))
    return f"      measured by {measured}: test these lines there, or give a floor with its reason under [exceptions]"


def _unknown_names() -> list[str]:
    """What the rules name and is not there, so that a renamed file is not silently unmeasured."""
    known = {*modules(""), *test_files()}
    tests = [file for files in RULES["tests"].values() for file in files]
    return [name for name in (*RULES["exceptions"], *RULES["tests"], *tests) if name not in known]


def _ranges(lines: Sequence[int]) -> str:
    shown = ",".join(str(line) for line in lines)
    return shown if len(shown) <= 70 else shown[:67] + "..."


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        sys.exit(measure(sys.argv[2], sys.argv[3:]))
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else ""))
