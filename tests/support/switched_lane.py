"""The fast lane on or off."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bff.server.lane import SWITCH


@contextmanager
def switched(lane: str) -> Iterator[None]:
    """The lane is on or off in gateways that are started in the block."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv(SWITCH, lane)
        yield
