"""uvicorn's WebSocket protocol, without what a browser could make it keep for as long as it likes.

fragments      of one message are joined as they come: kept apart, each costs many times what it holds, and `ws_max_size` does not
               count empty ones at all
refusals       are the end of a handshake. uvicorn does not note it, and logs an error for each: any peer could fill the log
pongs          for a browser that does not read are not kept: of several only the last is owed (RFC 6455 section 5.5.3)
"""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol


class BoundedWebSocketProtocol(WebSocketsSansIOProtocol):
    """One WebSocket of a browser."""

    async def send(self, message: Any) -> None:
        """One message of the application."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True

    def handle_cont(self, event: Any) -> None:
        """A fragment that is not the first; the library has seen to it that there was one."""
        fragments: list[Any] = self.frames
        if not isinstance(fragments[0], bytearray):
            fragments[0] = bytearray(fragments[0])
        fragments[0] += event.data
        if event.fin:
            self.send_receive_event_to_app()

    def handle_ping(self) -> None:
        """A ping, to which the library has its answer ready."""
        pongs = self.conn.data_to_send()
        if self.writable.is_set():
            self.transport.write(b"".join(pongs))
