"""The content of a request to one of our own endpoints: small, and read whole, bounded in size and time."""

import asyncio

from bff.proxy.browser import Receive
from bff.request_head import RequestHead

MAX_BODY_BYTES = 64 * 1024
MAX_BODY_SECONDS = 10.0


def content_type(head: RequestHead) -> str:
    """The `Content-Type` field; empty if there is none."""
    return head.named.get(b"content-type", b"").decode("latin-1")


async def bounded_content(receive: Receive) -> bytes:
    """The content; nothing if it goes beyond `MAX_BODY_BYTES` or `MAX_BODY_SECONDS`, or breaks off."""
    body, more = bytearray(), True
    try:
        async with asyncio.timeout(MAX_BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return b""
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MAX_BODY_BYTES:
                    return b""
    except TimeoutError:
        return b""
    return bytes(body)
