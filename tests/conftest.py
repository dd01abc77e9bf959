"""Which tests run when nothing is said, and that no clock decides whether a test passes."""

import asyncio
import os
from collections.abc import Callable, Mapping

import pytest
from hypothesis import settings

from support.patient_loop import PatientLoop

MADE_BY = "(make "

settings.register_profile("default", deadline=None)  # how long an example takes says nothing on a busy machine
settings.register_profile("thorough", deadline=None, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    """Leave out each marker whose line in pyproject.toml names a verb of the Makefile, unless `-m` says what to run."""
    if not config.option.markexpr:
        lines: list[str] = config.getini("markers")
        left_out = [line.partition(":")[0] for line in lines if MADE_BY in line]
        config.option.markexpr = " and ".join(f"not {marker}" for marker in left_out)


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """A loop on which no limit is reached because the machine is busy."""
    return {"asyncio": PatientLoop}
