"""A process that has imported `bff` and forks for each command, which begins in milliseconds in place of half a second.

`bff_command.py` starts it as a script and sends it requests on the socket whose number is its argument: JSON and the three standard
files each. It answers with the exit status of the fork. It ends when the socket does.
"""

import gc
import importlib
import json
import os
import pkgutil
import socket
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

MAX_REQUEST_BYTES = 200_000


def serve(asked: socket.socket) -> None:
    """Fork for each request, until there are no more."""
    while True:
        request, files, _, _ = socket.recv_fds(asked, MAX_REQUEST_BYTES, 3)
        if not request:
            return
        child = os.fork()
        if child == 0:
            asked.close()
            _become_command(json.loads(request), files)
        for file in files:
            os.close(file)
        asked.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def _become_command(request: dict[str, Any], files: list[int]) -> NoReturn:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["bff", *request["arguments"]]
    with _measured():
        status = _status()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


@contextmanager
def _measured() -> Iterator[None]:
    """Note what lines run, and for which test file, where scripts/coverage_by_module.py asks for it."""
    data_file = os.environ.get("COVERAGE_OF_COMMANDS")
    if data_file is None:
        yield
        return
    import coverage

    import bff

    test_file = os.environ["PYTEST_CURRENT_TEST"].partition("::")[0].removeprefix("tests/")
    measured = coverage.Coverage(
        data_file=data_file, data_suffix=True, source=list(bff.__path__), context=test_file, config_file=False
    )
    measured.start()
    yield
    measured.stop()
    measured.save()


def _status() -> int:
    """What the interpreter makes of how `bff` ends."""
    from bff.cli.main import main

    try:
        main()
    except SystemExit as ended:
        if isinstance(ended.code, int):
            return ended.code
        if ended.code is None:
            return 0
        print(ended.code, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - as the interpreter does, which prints it
        traceback.print_exc()
    return 1


def import_everything() -> None:
    """What commands import when they run."""
    package = importlib.import_module("bff")
    for module in pkgutil.walk_packages(package.__path__, "bff."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.freeze()  # else each fork's first collection would copy what they all share


if __name__ == "__main__":
    import_everything()
    serve(socket.socket(fileno=int(sys.argv[1])))
