"""The metrics' text, from one process and from several."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bff.telemetry import metrics
from bff.telemetry.tallies import Tally


def test_one_process_shows_its_own_numbers() -> None:
    """The text has each metric's help and type."""
    text = metrics.exposition().decode()
    assert "# TYPE bff_logins_total counter" in text
    assert "# TYPE bff_token_call_seconds histogram" in text


def test_several_workers_show_what_their_folder_holds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `PROMETHEUS_MULTIPROC_DIR` the numbers come from the files of all workers: none yet in an empty folder."""
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert metrics.exposition() == b""


def test_the_file_of_a_worker_that_is_just_beginning_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """prometheus_client makes it, then gives it a size: for a moment it is there and has no head."""
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", WORKER], env=env, check=True, capture_output=True)
    for kind in ("counter", "histogram", "gauge_livesum", "gauge_max"):
        (tmp_path / f"{kind}_999999.db").touch()
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    assert 'bff_requests_total{route="/api",status="200"} 3.0' in metrics.exposition().decode()


WORKER = """
from bff.telemetry import metrics, requests
for _ in range(3):
    requests.answered_at_once("/api", 200).observe(0.004)
requests.api_answered(route="/api", status=502)
requests.lane_over(route="/api", status=502, seconds=0.2, upstream_seconds=0.1)
metrics.pour()
metrics.pour()
print(metrics.exposition().decode())
"""


def test_what_a_worker_counts_is_poured_into_the_files_once(tmp_path: Path) -> None:
    """Answers in one piece are an answer, a request and an upstream's time; a second pour adds nothing."""
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for workers in (1, 2):
        text = subprocess.run(
            [sys.executable, "-c", WORKER], env=env, check=True, capture_output=True, text=True
        ).stdout
        assert f'bff_requests_total{{route="/api",status="200"}} {3.0 * workers}' in text
        assert f'bff_requests_total{{route="/api",status="502"}} {1.0 * workers}' in text
        assert f'bff_request_seconds_bucket{{le="0.005",route="/api",status="2xx"}} {3.0 * workers}' in text
        assert 'bff_request_seconds_bucket{le="0.0025",route="/api",status="2xx"} 0.0' in text
        assert f'bff_upstream_seconds_count{{route="/api"}} {4.0 * workers}' in text
        assert "_created" not in text


def test_a_time_belongs_to_the_bucket_that_it_reaches() -> None:
    """As Prometheus has it: a bucket holds what is at most its bound; the last one holds the rest."""
    tally = Tally()
    for seconds in (0.0, 0.001, 0.0011, 30.0, 30.1):
        tally.observe(seconds)
    buckets, total = tally.take()
    assert (buckets[0], buckets[1], buckets[-2], buckets[-1]) == (2, 1, 1, 1)
    assert total == pytest.approx(60.1021)
    assert tally.take() == ([0] * len(buckets), 0.0)


RETIRING = """
import sys
from bff.telemetry import metrics
metrics.UPSTREAM_UP.labels("http://gone").set(1)
metrics.UPSTREAM_UP.labels("http://stays").set(1)
metrics.CLOCK_SKEW.labels("gone").set(3)
metrics.SECRET_LAST_USED.labels("gone", "client_secrets[0]").set(3)
if sys.argv[1] == "reloaded":
    metrics.UPSTREAM_UP.retire("http://gone")
    metrics.CLOCK_SKEW.keep({("stays",)})
    metrics.SECRET_LAST_USED.keep(set())
print(metrics.exposition().decode())
"""


@pytest.mark.requirement("R-171")
@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_gone_has_no_sample(tmp_path: Path, workers: int) -> None:
    """Of several workers, when it is gone in all of them; a certificate that never was has none either."""
    folder = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if workers > 1 else {}
    for state in ["named"] * (workers - 1) + ["reloaded"] * workers:
        command = [sys.executable, "-c", RETIRING, state]
        told = subprocess.run(command, env={**os.environ, **folder}, check=True, capture_output=True, text=True).stdout
        samples = [line for line in told.splitlines() if not line.startswith("#")]
        assert ['bff_upstream_up{upstream="http://stays"} 1.0' in samples] == [True]
        assert not [line for line in samples if line.startswith("bff_tls_certificate_expiry")]
        if workers == 1:
            assert not [line for line in samples if "gone" in line]
