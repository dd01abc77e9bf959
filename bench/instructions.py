"""User-space instructions per request, by callgrind: the figure that a busy machine does not move.

Stand-alone, for a gateway that is installed anywhere:

    python -m bench.instructions --bff .venv/bin/bff [--bff other/bin/bff] [--sessions] [--top 30] [--keep]

One keep-alive connection, one request at a time, in a real session: eleven fields as a browser sends them, a JWT of about 900 bytes
to the upstream, 1 KB back. A warm-up comes first, so that caches are filled and CPython has specialised its bytecode. Timers of the
gateway that fire meanwhile are counted too.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httptools

from bench import callgrind
from bench.browser import Browser, sessions_of
from bench.callgrind import Callgrind, CallgrindFailedError
from bench.check import NotDeliveredError
from bench.processes import LOAD_CORE, PROXY_CORE, DidNotStartError, free_port
from bench.sign_in import SignInFailedError
from bench.start import start_all
from bench.streams import allow_files
from bench.variants import bff_at
from bench.websocket import echo_times, open_sockets
from bench.world import MissingPartError, World, running
from bench.wrk import LoadFailedError

REQUESTS = 1500
WARM = 500
SESSIONS = 500
PATH = "/storm/1k"  # the upstream accepts the bearer of every session there
START_SECONDS = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Instructions per request for one session and for many in turn, per WebSocket message and its echo; callgrind's files."""

    one: float
    message: float
    in_turn: float | None
    dumps: tuple[Path, ...]


def count_instructions(
    world: World, browser: Browser, *, requests: int = REQUESTS, warm: int = WARM, sessions: int = SESSIONS
) -> Count | None:
    """Start the variant once more, under callgrind and beside the one that runs; None where a variant has no such way.

    Both serve the same sessions, so that all sign-ins are made at the fast one.
    """
    proxy, port = browser.proxy, free_port()
    if proxy.variant.beside is None:
        return None
    others = sessions_of(world, proxy, sessions)
    grind = Callgrind(target=world.directory / f"callgrind.{proxy.variant.name}")
    launch, log = grind.launch(proxy.variant.beside(world, proxy.port, port)), world.log(grind.target.name)
    serve = running(launch.command, core=PROXY_CORE, log=log, port=port, env=launch.env, seconds=START_SECONDS)
    with serve as grind.pid:
        one = _per_request(grind, port, [browser], requests=requests, warm=warm)
        dumps = [grind.dump]
        message = _per_message(grind, port, browser, messages=requests, warm=warm)
        dumps.append(grind.dump)
        in_turn = None
        if others:
            in_turn = _per_request(grind, port, others, requests=max(requests, 2 * sessions), warm=2 * sessions)
            dumps.append(grind.dump)
    return Count(one=one, message=message, in_turn=in_turn, dumps=tuple(dump for dump in dumps if dump))


def _per_request(grind: Callgrind, port: int, browsers: Sequence[Browser], *, requests: int, warm: int) -> float:
    heads = [browser.head("GET", PATH) for browser in browsers]
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        _ask(sock, heads, warm)
        grind.begin()
        _ask(sock, heads, requests)
        return grind.end() / requests


def _per_message(grind: Callgrind, port: int, browser: Browser, *, messages: int, warm: int) -> float:
    with open_sockets(browser, count=1, port=port) as (one,):
        echo_times(one, warm)
        grind.begin()
        echo_times(one, messages)
        return grind.end() / messages


def _ask(sock: socket.socket, heads: Sequence[bytes], count: int) -> None:
    for number in range(count):
        sock.sendall(heads[number % len(heads)])
        answer = _Answer()
        while not answer.complete:
            data = sock.recv(65536)
            if not data:
                raise LoadFailedError("the gateway closed a connection that should be kept")
            answer.parser.feed_data(data)
        if answer.parser.get_status_code() != 200 or not answer.length:
            raise LoadFailedError(f"answered {answer.parser.get_status_code()} with {answer.length} bytes")


class _Answer:
    """One response."""

    def __init__(self) -> None:
        self.complete = False
        self.length = 0
        self.parser = httptools.HttpResponseParser(self)

    def on_body(self, body: bytes) -> None:
        self.length += len(body)

    def on_message_complete(self) -> None:
        self.complete = True


def main(arguments: Sequence[str] | None = None) -> int:
    """0: counted; 1: an answer was wrong; 2: it cannot run here."""
    options = _parse(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if (install := callgrind.missing()) is not None:
        print(f"cannot run here: valgrind ({install})", file=sys.stderr)
        return 2
    allow_files(16384)
    os.sched_setaffinity(0, {LOAD_CORE})
    directory = Path(tempfile.mkdtemp(prefix="bff-instructions-"))
    try:
        _count_and_print(directory, options)
    except MissingPartError as missing:
        print(f"cannot run here: {missing}", file=sys.stderr)
        return 2
    except (NotDeliveredError, LoadFailedError, SignInFailedError, DidNotStartError, CallgrindFailedError) as failure:
        print(f"failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if options.keep:
            print(f"files in {directory}", file=sys.stderr)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__.partition("\n")[0])
    parser.add_argument("--bff", type=Path, action="append", help="path of a `bff` program; may be repeated")
    parser.add_argument("--requests", type=int, default=REQUESTS, help=f"counted requests ({REQUESTS})")
    parser.add_argument("--warm", type=int, default=WARM, help=f"requests before them ({WARM})")
    parser.add_argument("--sessions", action="store_true", help=f"count {SESSIONS} sessions in turn as well")
    parser.add_argument(
        "--env", action="append", default=[], metavar="NAME=VALUE", help="for the gateway, e.g. BFF_LANE=off"
    )
    parser.add_argument("--top", type=int, default=0, help="print so many functions, inclusive and self")
    parser.add_argument(
        "--keep", action="store_true", help="keep callgrind's files and the logs, and print 30 functions"
    )
    options = parser.parse_args(arguments)
    options.top = options.top or (30 if options.keep else 0)
    options.bff = [path.absolute() for path in options.bff or [Path(sys.executable).parent / "bff"]]
    return options


def _count_and_print(directory: Path, options: argparse.Namespace) -> None:
    env = dict(pair.split("=", 1) for pair in options.env)
    variants = [bff_at(f"bff_{number}", str(path), path, env=env) for number, path in enumerate(options.bff, 1)]
    with contextlib.ExitStack() as stack:
        world, browsers = start_all(stack, directory, variants)
        for browser in browsers:
            sessions = SESSIONS if options.sessions else 0
            count = count_instructions(world, browser, requests=options.requests, warm=options.warm, sessions=sessions)
            if count is not None:
                _print(browser.proxy.variant.title, count, options)


def _print(title: str, count: Count, options: argparse.Namespace) -> None:
    print(f"{title}: {count.one:,.0f} instructions/request", flush=True)
    print(f"{title}: {count.message:,.0f} instructions/WebSocket message and echo", flush=True)
    if count.in_turn is not None:
        print(f"{title}: {count.in_turn:,.0f} instructions/request, {SESSIONS} sessions in turn", flush=True)
    if options.top:
        _print_top(count.dumps, options.top, options.requests)


def _print_top(dumps: Sequence[Path], count: int, requests: int) -> None:
    for dump in dumps:
        for inclusive in (True, False):
            print(f"\n{dump.name}: {'inclusive' if inclusive else 'self'} instructions per request")
            rows = callgrind.top_functions(dump, count=count, inclusive=inclusive, requests=requests)
            print("\n".join(rows), flush=True)


if __name__ == "__main__":
    sys.exit(main())
