"""bff.web.kept_content: the content of a request, for one repeat."""

from collections import deque
from typing import Any

from bff.web.kept_content import MAX_KEPT_BYTES, KeptContent


def receiving(*bodies: bytes) -> tuple[Any, deque[dict[str, Any]]]:
    """A `receive` with these pieces of content, and what it has not handed out yet."""
    pieces = [
        {"type": "http.request", "body": body, "more_body": index < len(bodies) - 1}
        for index, body in enumerate(bodies)
    ]
    messages = deque([*pieces, {"type": "http.disconnect"}])

    async def receive() -> dict[str, Any]:
        return messages.popleft()

    return receive, messages


async def test_content_that_passed_comes_again_and_then_the_rest() -> None:
    """A repeat begins with the first message, whatever was read of the first attempt."""
    receive, left = receiving(b"one", b"two", b"three")
    content = KeptContent(receive)
    assert [(await content())["body"] for _ in range(2)] == [b"one", b"two"]
    assert content.is_whole
    again = content.again(receive)
    assert [(await again())["body"] for _ in range(3)] == [b"one", b"two", b"three"]
    assert (await again())["type"] == "http.disconnect"
    assert not left


async def test_as_much_as_fits_is_kept() -> None:
    """64 KiB can be repeated, one byte more cannot, and is not held in memory."""
    for size, kept in ((MAX_KEPT_BYTES, True), (MAX_KEPT_BYTES + 1, False)):
        receive, _ = receiving(b"x" * 1000, b"x" * (size - 1000))
        content = KeptContent(receive)
        assert len((await content())["body"]) + len((await content())["body"]) == size
        assert content.is_whole == kept
        assert bool(content._kept) == kept


async def test_content_passes_unchanged_when_there_is_too_much() -> None:
    """What cannot be kept is handed on all the same."""
    bodies = [b"y" * 50_000] * 5
    receive, _ = receiving(*bodies)
    content = KeptContent(receive)
    assert [(await content())["body"] for _ in bodies] == bodies
    assert not content.is_whole
