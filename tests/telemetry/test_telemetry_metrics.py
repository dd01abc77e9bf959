"""The metrics' text, from one process and from several."""

from pathlib import Path

import pytest

from bff.telemetry import metrics


def test_one_process_shows_its_own_numbers() -> None:
    """The text has each metric's help and type."""
    text = metrics.exposition().decode()
    assert "# TYPE bff_logins_total counter" in text
    assert "# TYPE bff_token_call_seconds histogram" in text


def test_several_workers_show_what_their_folder_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `PROMETHEUS_MULTIPROC_DIR` the numbers come from the files of all workers: none yet in an empty folder."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert metrics.exposition() == b""
