"""The functions of ours that one API call goes through: a signed-in user's GET with everything at hand, in the lane.

    python scripts/trace_call.py                 prints the calls in their order, and how many calls and files there were
    python scripts/trace_call.py --write         puts them into docs/explanation/walks.md
    BFF_LANE=off python scripts/trace_call.py    prints the same for the recipe, which answers in a task

The gateway serves on loopback in this process. The browser and the API are threads with sockets of their own: `sys.setprofile` counts
one thread, so nothing of theirs is counted. A session is put into the gateway's store, as a sign-in would leave it; no provider is
asked. Calls before the counted ones fill the local copy, the caches and the pool of connections.

Counted are `call` events of functions that are defined in `src/bff`: a call, and each time that a coroutine is resumed. Properties and
lambdas count. Generated code (the constructors of tuples), comprehensions and libraries do not. The pool's clock may tick during a
call, so the call is counted several times and the most frequent trace is printed.
"""

import asyncio
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection, create_server, socket
from types import CodeType, FrameType

import structlog
import uvloop

import bff
from bff.config.load import load
from bff.config.model import Address, Config
from bff.proxy.fields import SESSION_COOKIE
from bff.server.process import bind, serving
from bff.sessions.model import AccessToken, Grant, Target, session_key
from bff.tokens.sign_in import keep_sign_in
from bff.web.app import App, create_app

SOURCE = Path(bff.__file__).parent
PAGE = Path(__file__).resolve().parent.parent / "docs" / "explanation" / "walks.md"
BLOCK = re.compile(r"(<!-- trace -->\n```\n).*?(```\n)", re.DOTALL)
WARM_CALLS = 20
COUNTED_CALLS = 15
ISSUER = "http://idp.localhost:9"
COOKIE = SESSION_COOKIE
CONFIG = """\
public_url: http://localhost:{gateway}
listen: 127.0.0.1:{gateway}
management: off
session: {{store: "memory://", keys: ["a session key for a trace, of more than 32 characters"]}}
providers:
  corp: {{issuer: "{issuer}", client_id: trace, client_secret: "a secret that is never sent, for a trace"}}
routes:
  - {{path: /api, upstream: "http://127.0.0.1:{api}"}}
"""
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"id": "7"}'

Step = tuple[str, str]  # a file of ours, and a function in it


def main() -> None:
    """Print the trace, or write it into the page."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    text = as_text(uvloop.run(most_frequent_trace()))
    if sys.argv[1:] == ["--write"]:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(BLOCK.sub(lambda block: f"{block[1]}{text}{block[2]}", page), encoding="utf-8")
    else:
        print(text, end="")


def as_text(trace: list[Step]) -> str:
    """The figures, then one line for each call."""
    files = len({file for file, _ in trace})
    lines = [f"{number:3}  {file:26} {function}" for number, (file, function) in enumerate(trace, 1)]
    return "\n".join([f"{len(trace)} calls of our own functions in {files} files", "", *lines, ""])


async def most_frequent_trace() -> list[Step]:
    """The trace that most of the counted calls have."""
    sock = bind(Address(host="127.0.0.1", port=0))
    port = sock.getsockname()[1]
    with running_api() as api_port:
        app = create_app(configuration(port, api_port))
        async with serving(app, [sock]):
            request = api_call(port, await signed_in(app))
            return await asyncio.to_thread(trace_calls, asyncio.get_running_loop(), port, request)


def configuration(port: int, api_port: int) -> Config:
    """One route with the user's token, one provider that is never called."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bff.yaml"
        file.write_text(CONFIG.format(gateway=port, api=api_port, issuer=ISSUER), encoding="utf-8")
        return load(file)


async def signed_in(app: App) -> str:
    """The session cookie of a user who has just signed in."""
    now = time.time()
    token = AccessToken(value="an-access-token", expires_at=now + 3600, refresh_at=now + 3000)
    grant = Grant(
        provider="corp",
        client_id="trace",
        issuer=ISSUER,
        subject="alice",
        sid=None,
        claims={},
        auth_time=now,
        nonce=None,
        id_token=None,
        refresh_token="a-refresh-token",  # noqa: S106 - of no provider
        refresh_token_expires_at=None,
        access_tokens=((Target(), token),),
        granted_at=now,
    )
    kept = await keep_sign_in(app.process.store, grant=grant, previous_key=None, absolute_timeout_seconds=3600, now=now)
    if await app.process.store.read(session_key(kept.session_id), touch=True, now=now) is None:
        raise RuntimeError("the session is not in the store")
    return app.gateway.signer.sign(app.gateway.cookies.session, kept.session_id)


def api_call(port: int, cookie: str) -> bytes:
    """What a page's `fetch("/api/orders/7?full=1")` sends."""
    lines = [
        "GET /api/orders/7?full=1 HTTP/1.1",
        f"Host: localhost:{port}",
        "Accept: */*",
        "Accept-Encoding: gzip, deflate, br",
        "Accept-Language: en",
        f"Cookie: {COOKIE}={cookie}",
        "Sec-Fetch-Dest: empty",
        "Sec-Fetch-Mode: cors",
        "Sec-Fetch-Site: same-origin",
        "User-Agent: trace",
        "X-CSRF: 1",
    ]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


# --- the browser, in a thread -----------------------------------------------------------------------------------------


def trace_calls(loop: asyncio.AbstractEventLoop, port: int, request: bytes) -> list[Step]:
    """Call as a browser does; the loop's thread counts."""
    with create_connection(("127.0.0.1", port), timeout=10) as browser:
        for _ in range(WARM_CALLS):
            call(browser, request)
        traces = Counter(counted(loop, browser, request) for _ in range(COUNTED_CALLS))
    return list(traces.most_common(1)[0][0])


def call(browser: socket, request: bytes) -> None:
    """One call, and all of its answer."""
    browser.sendall(request)
    received = b""
    while b'{"id": "7"}' not in received:
        data = browser.recv(65536)
        if not data:
            raise RuntimeError("the gateway closed the connection")
        received += data
    if not received.startswith(b"HTTP/1.1 200 OK\r\n"):
        raise RuntimeError(received.decode("ascii", "replace"))


def counted(loop: asyncio.AbstractEventLoop, browser: socket, request: bytes) -> tuple[Step, ...]:
    """The steps of one call."""
    steps: list[Step] = []
    known: dict[CodeType, Step | None] = {}

    def note(frame: FrameType, event: str, _: object) -> None:
        if event != "call":
            return
        code = frame.f_code
        step = known[code] = known[code] if code in known else step_of(code)
        if step is not None:
            steps.append(step)

    in_loop(loop, note)
    call(browser, request)
    in_loop(loop, None)
    return tuple(steps)


def in_loop(loop: asyncio.AbstractEventLoop, note: object) -> None:
    """Set the profiler of the loop's thread, and wait until it is set."""
    done = threading.Event()

    def set_it() -> None:
        sys.setprofile(note)  # type: ignore[arg-type]  # a profiler, or None
        done.set()

    loop.call_soon_threadsafe(set_it)
    done.wait(10)


def step_of(code: CodeType) -> Step | None:
    """File and function of ours; None for everything else."""
    file = Path(code.co_filename)
    is_comprehension = code.co_name.startswith("<") and code.co_name != "<lambda>"
    if is_comprehension or not file.is_relative_to(SOURCE):
        return None
    return file.relative_to(SOURCE).as_posix(), code.co_qualname


# --- the API, in threads ----------------------------------------------------------------------------------------------


@contextmanager
def running_api() -> Iterator[int]:
    """An API on loopback that answers every request with the same JSON; yields its port."""
    with create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield listener.getsockname()[1]


def accept(listener: socket) -> None:
    """Serve each connection in a thread until the listener is closed."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=answer, args=(connection,), daemon=True).start()


def answer(connection: socket) -> None:
    """One connection: answer each head, none of which has content."""
    with connection:
        received = b""
        while data := connection.recv(65536):
            received += data
            while b"\r\n\r\n" in received:
                received = received.partition(b"\r\n\r\n")[2]
                connection.sendall(ANSWER)


if __name__ == "__main__":
    main()
