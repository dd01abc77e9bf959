"""The parent of several workers (R-171); `tests/cli/test_sighup.py` runs it whole."""

import signal
import threading

import pytest
from uvicorn.supervisors.multiprocess import SIGNALS

from bff.server.process import server_config
from bff.server.reloading import RELOAD
from bff.server.workers import Workers, _Pause

pytestmark = pytest.mark.requirement("R-171")


def test_a_sighup_ends_the_parents_pause() -> None:
    """A reload does not wait for the parent's next look at its workers; the next pause begins anew."""
    signal.pthread_sigmask(signal.SIG_BLOCK, RELOAD)
    try:
        # To this thread: another one of the test run does not hold it back, and it would end the whole run.
        signal.pthread_kill(threading.get_ident(), signal.SIGHUP)
        pause = _Pause()
        assert pause.wait(60) is False
        assert pause.hung_up
        assert pause.wait(0) is False
        assert not pause.hung_up
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, RELOAD)


def test_a_sighup_that_another_thread_takes_is_a_reload() -> None:
    """A library that started a thread before the signal was blocked has it delivered there, to uvicorn's handler: workers stay."""
    kept = {number: signal.getsignal(number) for number in SIGNALS}
    read: list[str] = []
    try:
        workers = Workers(
            server_config("bff.cli.serve:app_from_environment", factory=True), [], reread=lambda: read.append("file")
        )
        signal.raise_signal(
            signal.SIGHUP
        )  # as the handler is called: on the main thread, whichever thread took the signal
        workers.handle_signals()
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
    assert read == ["file"]


def test_the_pause_is_the_end_once_it_is_set() -> None:
    """What ends the parent is seen at once."""
    pause = _Pause()
    pause.set()
    assert pause.wait(60)
    assert pause.wait()


@pytest.mark.parametrize("sent", [True, False])
def test_a_system_without_a_timed_wait_looks_after_the_pause(monkeypatch: pytest.MonkeyPatch, sent: bool) -> None:
    """macOS has none."""
    monkeypatch.delattr(signal, "sigtimedwait")
    signal.pthread_sigmask(signal.SIG_BLOCK, RELOAD)
    try:
        if sent:
            signal.pthread_kill(threading.get_ident(), signal.SIGHUP)
        pause = _Pause()
        assert pause.wait(0) is False
        assert pause.hung_up is sent
        assert not signal.sigpending() & RELOAD
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, RELOAD)


def test_a_worker_that_begins_slowly_is_not_killed() -> None:
    """The parent kills who does not answer in this time, and a worker answers once it has read its modules: 7 s were too many."""
    assert server_config("bff.cli.serve:app_from_environment", factory=True).timeout_worker_healthcheck >= 30
