"""Both event loops that we run on, for the tests of connections: asyncio's and uvloop's differ in how connections end."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop

from support.patient_loop import PatientLoop

LoopFactory = Callable[[], asyncio.AbstractEventLoop]


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    """`test_upstream_*` and `test_forward` on both, everything else on asyncio's."""
    if item.path.name.startswith(("test_upstream_", "test_forward.", "test_forward_canary")):
        return {"asyncio": PatientLoop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": PatientLoop}
