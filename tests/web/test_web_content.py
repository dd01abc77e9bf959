"""The content of a request to one of our own endpoints."""

from collections.abc import Mapping
from typing import Any

import pytest

from bff.proxy.browser import Receive
from bff.web.content import MAX_BODY_BYTES, bounded_content

HALF = b"x" * (MAX_BODY_BYTES // 2)


def _messages(*messages: Mapping[str, Any]) -> Receive:
    left = iter(messages)

    async def receive() -> Any:
        return next(left)

    return receive


def _part(body: bytes, *, more: bool) -> dict[str, object]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_parts_are_joined() -> None:
    """The content is all parts in their order, up to the limit itself."""
    assert await bounded_content(_messages(_part(b"a", more=True), _part(b"b", more=False))) == b"ab"
    assert await bounded_content(_messages(_part(HALF, more=True), _part(HALF, more=False))) == HALF + HALF
    assert await bounded_content(_messages({"type": "http.request"})) == b""


@pytest.mark.parametrize("more", [True, False])
async def test_content_beyond_the_limit_is_nothing(more: bool) -> None:
    """One byte beyond the limit makes it nothing, and the rest is not read."""
    receive = _messages(_part(HALF, more=True), _part(HALF, more=True), _part(b"x", more=more))
    assert await bounded_content(receive) == b""


async def test_content_that_breaks_off_is_nothing() -> None:
    """Where the browser goes away in the middle, the first parts are not taken for the whole."""
    assert await bounded_content(_messages(_part(b"a", more=True), {"type": "http.disconnect"})) == b""
